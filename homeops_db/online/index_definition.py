"""An index as a revision asks for it, and as the server reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import sqlalchemy as sa
from alembic.operations import Operations
from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError
from sqlalchemy.sql.elements import conv

from homeops_db.catalog import indexes, tables
from homeops_db.catalog.tables import Table
from homeops_db.online import constraint, rendered, subject
from homeops_db.online.work import Work

Column = str | sa.TextClause | sa.ColumnElement[Any]

_PER_CHUNK: Final = "timescaledb.transaction_per_chunk"


class Render(Protocol):
    """Writes the statement that makes an index, for a table of this name."""

    def __call__(self, table: str, schema: str | None, *, concurrently: bool) -> str:
        """Write it; without a schema, the name stands alone."""


@dataclass(frozen=True)
class Asked:
    """What stands in the revision: a `Render`, and what it is made of."""

    name: str
    columns: Sequence[Column]
    unique: bool
    options: Mapping[str, Any]

    def __call__(self, table: str, schema: str | None, *, concurrently: bool) -> str:
        """Write the statement."""

        def create(op: Operations) -> None:
            op.create_index(
                conv(self.name),
                table,
                list(self.columns),
                schema=schema,
                unique=self.unique,
                postgresql_concurrently=concurrently,
                **self.options,
            )

        return rendered.statement(create)

    @property
    def per_chunk(self) -> "Asked":
        """The same for a hypertable: each of its chunks in a transaction of its own."""
        storage = {**(self.options.get("postgresql_with") or {}), _PER_CHUNK: True}
        return replace(self, options={**self.options, "postgresql_with": storage})


@dataclass(frozen=True)
class Definition:
    """An index apart from its name and its table.

    Attributes:
        meaning: As the server writes it (`indexes.Index.definition`).
        rest: What follows the table's name in CREATE INDEX.
        unique: Whether it is.
    """

    meaning: str
    rest: str
    unique: bool

    def create(self, name: str, table: Table, how: str = "") -> sql.Composable:
        """Write the statement that makes it under another name; ``how`` is ONLY or CONCURRENTLY."""
        return sql.SQL("CREATE {}INDEX {}{} ON {}{} {}").format(
            sql.SQL("UNIQUE " if self.unique else ""),
            sql.SQL("CONCURRENTLY " if how == "CONCURRENTLY" else ""),
            sql.Identifier(name),
            sql.SQL("ONLY " if how == "ONLY" else ""),
            sql.Identifier(table.schema, table.name),
            sql.SQL(self.rest),
        )


def rest_of(render: Render, name: str) -> tuple[str, bool]:
    """Give what follows the table's name in the statement, and whether the index is unique."""
    text = render(subject.CLONE, None, concurrently=False)
    marker = f" ON {subject.CLONE} "
    begin = text.index(marker, len("CREATE INDEX ") + len(name))  # a name may hold anything
    return text[begin + len(marker) :], text.startswith("CREATE UNIQUE ")


def read(work: Work, table: Table, name: str, render: Render) -> Definition:
    """Have the server say how it reads the definition, on an empty clone of the table.

    Raises:
        ObjectError: A column is missing, a function isn't immutable, or whatever else the server says.
    """

    def ask(connection: Connection, clone: str) -> str:
        connection.execute(render(clone, "pg_temp", concurrently=False).encode())
        made = tables.table(connection, clone, "pg_temp")
        assert made is not None
        (only,) = indexes.of_table(connection, made.oid)
        return only.definition

    try:
        meaning = subject.on_clone(work, table, ask, like="")
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(table, error) from error
    rest, unique = rest_of(render, name)
    return Definition(meaning, rest, unique)
