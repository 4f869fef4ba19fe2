"""Keys that occur more than once: how many, which, and how to find them."""

from typing import Any, LiteralString

import psycopg
from psycopg import Connection, sql

from homeops_db.catalog.indexes import Keys
from homeops_db.catalog.tables import Table
from homeops_db.errors import ViolationError
from homeops_db.online.violations import SHOWN, short

# A big table is sorted for the count; the error isn't worth more than this.
_TIMEOUT: LiteralString = "SET LOCAL statement_timeout = '60s'"


def violation(
    connection: Connection, table: Table, index: str, keys: Keys | None, *, said: str | None, left: str
) -> ViolationError:
    """Make the error of a unique index that can't be built: the count, up to 10 keys, and their query.

    Reads the table for 60 s at most, and holds ACCESS SHARE meanwhile.

    Args:
        connection: In autocommit, outside a transaction.
        table: The table.
        index: The index's name.
        keys: What it holds apart, where that could be read.
        said: The server's own words about one key.
        left: What became of the index.
    """
    find = _query(table, keys).as_string(connection) if keys is not None else ""
    rows = _rows(connection, table, keys) if keys is not None else None
    return ViolationError(
        f"{_found(table, keys, rows, said)}, so unique index {index} can't be built. {left} Mend the rows, "
        "then run the same command again." + (f" To find them: {find}" if find else "")
    )


def _found(table: Table, keys: Keys | None, rows: list[tuple[Any, ...]] | None, said: str | None) -> str:
    if rows is None or keys is None:
        words = (said or "A key is duplicated").rstrip(".")
        return f"Table {table}: {words}"
    if not rows:
        return f"A key of table {table} was duplicated while the index was built, and is no more"
    total = rows[0][0]
    shown = "; ".join(f"{_described(keys, values)} {count} times" for _, count, values in rows)
    more = "; …" if total > len(rows) else ""
    keys_occur = f"{total} keys of table {table} occur" if total > 1 else f"A key of table {table} occurs"
    return f"{keys_occur} more than once ({shown}{more})"


def _rows(connection: Connection, table: Table, keys: Keys) -> list[tuple[Any, ...]] | None:
    try:
        with connection.transaction():
            # An error is better than a count of the rows that a policy lets us see.
            connection.execute("SET LOCAL row_security = off")
            connection.execute(_TIMEOUT)
            return connection.execute(_query(table, keys, texts=True)).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled):
        return None


def _query(table: Table, keys: Keys, *, texts: bool = False) -> sql.Composed:
    # In the server's own writing, and each in brackets: a key may be any expression.
    expressions = [f"({key})" for key in keys.expressions]
    listed = ", ".join(expressions)
    shown = f"{listed}, count(*)"
    if texts:
        values = ", ".join(f"{key}::text" for key in expressions)
        shown = f"count(*) OVER () AS homeops_keys, count(*) AS homeops_rows, ARRAY[{values}]::text[]"
    where = [f"({keys.predicate})"]
    if not keys.nulls_are_equal:
        where += [f"{key} IS NOT NULL" for key in expressions]
    return sql.SQL(
        "SELECT {} FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 ORDER BY count(*) DESC{}"
    ).format(
        sql.SQL(shown),
        sql.Identifier(table.schema, table.name),
        sql.SQL(" AND ".join(where)),
        sql.SQL(listed),
        sql.SQL(f" LIMIT {SHOWN}" if texts else ""),
    )


def _described(keys: Keys, values: list[str | None]) -> str:
    names = ", ".join(keys.expressions)
    return f"({names})=({', '.join(map(short, values))})"
