"""The generated rows, which nobody may change: counted, and summed up by hashes that the server makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection, sql

from homeops_db.catalog.shapes import Shape

_WHICH: Final = {
    "core.audit_log": "id <= {rows}",
    "core.system_config": "key like 'rehearsal.%'",
}
"""How generated rows are told from others where the key is no uuid."""

_BY_KEY: Final = "{key} < '00000001-0000-0000-0000-000000000000'"
_KEPT_BY_TRIGGER: Final = "updated_at"
_COMPARED_AS: Final = {("financial.transactions", "amount"): "numeric(15,2)"}
"""Columns whose type is another one later: what is compared must read the same before and after."""

_SUM: Final = """
select count(*), coalesce(bit_xor(hashtextextended(row({columns})::text, 0)), 0) from {table} where {which}
"""


@dataclass(frozen=True)
class Sum:
    """How many generated rows a table has, and what they come to. ``error`` is why it can't be said."""

    rows: int
    hash: int
    error: str | None = None


def sums(connection: Connection, shapes: Sequence[Shape], sizes: dict[str, int]) -> dict[str, Sum]:
    """Sum up every generated row of each table, by the columns that it had in v1.0.0.

    ``updated_at`` is left out: its trigger renews it when a revision fills a column. Takes ACCESS SHARE.

    Args:
        connection: In autocommit.
        shapes: The tables as they were in v1.0.0.
        sizes: How many rows were generated for each.
    """
    connection.execute("set timezone = 'UTC'")
    return {str(shape): _sum(connection, shape, sizes[str(shape)]) for shape in shapes}


def differences(before: dict[str, Sum], now: dict[str, Sum]) -> list[str]:
    """Say of which tables the rows aren't what they were, a line each."""
    return [
        f"{table}: {now[table].error or _difference(before[table], now[table])}"
        for table in before
        if now[table] != before[table]
    ]


def _difference(before: Sum, now: Sum) -> str:
    if now.rows != before.rows:
        return f"{now.rows:,} generated rows instead of {before.rows:,}"
    return f"among {now.rows:,} generated rows there are some with other values"


def _sum(connection: Connection, shape: Shape, rows: int) -> Sum:
    table = str(shape)
    columns = [_text(table, column) for column in shape.columns if column != _KEPT_BY_TRIGGER]
    which = _WHICH.get(table, _BY_KEY).format(rows=rows, key=shape.key)
    query = sql.SQL(_SUM).format(
        columns=sql.SQL(", ").join(columns),
        table=sql.Identifier(shape.schema, shape.name),
        which=sql.SQL(which),
    )
    try:
        found = connection.execute(query).fetchone()
    except psycopg.Error as error:
        return Sum(0, 0, error.diag.message_primary or str(error))
    assert found is not None
    return Sum(*found)


def _text(table: str, column: str) -> sql.Composable:
    kind = _COMPARED_AS.get((table, column))
    cast = sql.SQL(f"::{kind}::text" if kind else "::text")
    return sql.Identifier(column) + cast
