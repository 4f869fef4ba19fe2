"""A UNIQUE constraint as a revision asks for it, and as the server reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError
from sqlalchemy.sql.elements import conv

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.tables import Table
from homeops_db.online import constraint, index_definition, rendered, subject
from homeops_db.online.subject import Named, identifier
from homeops_db.online.work import Work


@dataclass(frozen=True)
class Asked:
    """What stands in the revision, apart from the table.

    Attributes:
        name: The constraint's name.
        columns: Its columns.
        of_index: Options that its index has.
        of_constraint: Options that only the constraint has: its deferral.
    """

    name: str
    columns: Sequence[str]
    of_index: Mapping[str, Any]
    of_constraint: Mapping[str, Any]

    def sql(self, table: Named, name: str | None = None) -> str:
        """Write the statement that adds the constraint, and builds its index, in one."""
        options = {**self.of_index, **self.of_constraint}
        if "postgresql_include" in options:
            # Alembic makes the constraint's table of its key alone, and SQLAlchemy looks names up there.
            options["postgresql_include"] = [sa.column(name) for name in options["postgresql_include"]]

        def create(op: Operations) -> None:
            op.create_unique_constraint(
                conv(name or self.name),
                table[0],
                list(self.columns),
                schema=table[1],
                **options,
            )

        return rendered.statement(create)

    def only(self, table: Named, name: str | None = None) -> str:
        """Write the statement that adds it to a partitioned table, and leaves the partitions alone."""
        start = "ALTER TABLE "
        return f"{start}ONLY {self.sql(table, name).removeprefix(start)}"

    def adoption(self, table: Named, name: str) -> str:
        """Write the statement that makes a constraint of a unique index, and keeps its name."""
        adopt = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}")
        statement = adopt.format(identifier(table), sql.Identifier(name), sql.Identifier(name)).as_string()
        return statement + self.deferral

    def index(self, name: str) -> index_definition.Asked:
        """Give what writes the statement that builds its index."""
        return index_definition.Asked(name, self.columns, True, self.of_index)

    @property
    def deferral(self) -> str:
        """How the deferral is written: what is asked for, less what isn't."""
        plain = Asked(self.name, self.columns, self.of_index, {})
        return self.sql((self.name, None)).removeprefix(plain.sql((self.name, None)))


def meaning(work: Work, asked: Asked, table: Table) -> str:
    """Have the server say how it reads the definition, on an empty clone of the table.

    Raises:
        ObjectError: A column is missing, or can't be in a unique index.
    """

    def ask(connection: Connection, clone: str) -> str:
        connection.execute(asked.sql((clone, "pg_temp")).encode())
        made = tables.table(connection, clone, "pg_temp")
        assert made is not None
        found = constraints.constraint(connection, made.oid, asked.name)
        assert found is not None
        return found.definition

    try:
        return subject.on_clone(work, table, ask, like="")
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(table, error) from error


def attachment(parent: Named, parent_index: str, schema: str | None, index: str) -> str:
    """Write the statement that attaches a partition's index to the one of its parent."""
    attach = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}")
    return attach.format(identifier((parent_index, parent[1])), identifier((index, schema))).as_string()
