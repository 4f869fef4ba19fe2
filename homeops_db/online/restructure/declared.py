"""What an author declares of a column or a key, as items of the manifest and as SQL."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Computed

from homeops_db.catalog.manifest import Item
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import carried
from homeops_db.online.restructure.sides import Shape

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def made(column: "sa.Column[Any]", old: Shape) -> list[Item]:
    """Give what a new column has by the revision; one that was there keeps what it has."""
    if old.field(column.name) is not None:
        return []
    made = []
    name = sql.Identifier(column.name).as_string()
    alter = f"ALTER TABLE {{table}} ALTER COLUMN {carried.escaped(name)}"
    default = default_of(column)
    if default is not None:
        set_ = f"{alter} SET DEFAULT {carried.escaped(default)}"
        made.append(Item("column default", column.name, (carried.escaped(default),), (set_,)))
    if not column.nullable:
        made.append(not_null(column.name))
    if column.comment is not None:
        said = carried.escaped(sql.Literal(column.comment).as_string())
        comment = f"COMMENT ON COLUMN {{table}}.{carried.escaped(name)} IS {said}"
        made.append(Item("column comment", column.name, (carried.escaped(column.comment),), (comment,)))
    return made


def default_of(column: "sa.Column[Any]") -> str | None:
    """Write a new column's default by the revision; None where it has none.

    Raises:
        ObjectError: It is an identity.
    """
    given = column.server_default
    if given is None or isinstance(given, Computed):
        return None
    if not isinstance(given, sa.DefaultClause):
        raise ObjectError(
            f"Column {column.name} is an identity, and rows that are there would need numbers. Nothing was "
            "changed. Make the column first: online.add_column."
        )
    text = given.arg
    return sql.Literal(text).as_string() if isinstance(text, str) else str(text.compile(dialect=_DIALECT))


def generated_of(computed: Computed) -> str:
    """Write what stands behind the type of a generated column."""
    kind = "VIRTUAL" if computed.persisted is False else "STORED"
    return f" GENERATED ALWAYS AS ({computed.sqltext}) {kind}"


def not_null(column: str) -> Item:
    """Give what keeps NULL from a column."""
    name = carried.escaped(sql.Identifier(column).as_string())
    return Item(
        "column not null", column, ("NOT NULL",), (f"ALTER TABLE {{table}} ALTER COLUMN {name} SET NOT NULL",)
    )


def primary_key(table: Table, before: Sequence[Item], names: Sequence[str]) -> Item:
    """Give another primary key, under the name of the one before it."""
    name = before[0].name if before else sql.Identifier(f"{table.name}_pkey").as_string()
    definition = f"PRIMARY KEY ({', '.join(sql.Identifier(one).as_string() for one in names)})"
    definition = carried.escaped(definition)
    return Item(
        "primary key", name, (definition,), (f"ALTER TABLE {{table}} ADD CONSTRAINT {{name}} {definition}",)
    )
