"""The rows of the application's tables, compared as an older version knows them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, LiteralString

from psycopg import Connection, sql

from tests.history.sent import tables

Rows = Mapping[str, tuple[tuple[str, ...], list[dict[str, Any]]]]
"""Of each table, its columns and its rows."""

# A backfill is a change of the row, and is meant to be seen as one.
TOUCHED: Final = "updated_at"
# Rows may come to it: what changes rows is written there.
GROWING: Final = frozenset({"core.audit_log"})
_COLUMNS: LiteralString = """
select attname from pg_attribute
where attrelid = %s::regclass and attnum > 0 and not attisdropped and attname !~ '^homeops_(new|old)_'
order by attname
"""


def rows(db: Connection) -> Rows:
    """Read all rows, but for what online changes keep beside them."""
    found = {}
    for table in tables(db):
        columns = tuple(name for (name,) in db.execute(_COLUMNS, (table,)).fetchall())
        texts = db.execute(sql.SQL("select to_jsonb(t)::text from {} t").format(sql.SQL(table))).fetchall()
        found[table] = (columns, [_parsed(text) for (text,) in texts])
    return found


def lost(before: Rows, after: Rows, *, corrected: Iterable[str] = ()) -> list[str]:
    """Name what isn't there any more, or has become another: in tables and columns that both know.

    Args:
        before: The rows before the revision.
        after: The rows after it.
        corrected: ``schema.table.column`` where a correction of data changes values.
    """
    told = []
    for table in sorted(before.keys() & after.keys()):
        known = [
            column
            for column in before[table][0]
            if column in after[table][0] and column != TOUCHED and f"{table}.{column}" not in corrected
        ]
        was, now = (Counter(_said(row, known) for row in side[table][1]) for side in (before, after))
        told += [f"{table}: lost {row}" for row in (was - now).elements()]
        if table not in GROWING:
            told += [f"{table}: came {row}" for row in (now - was).elements()]
    return told


def _said(row: dict[str, Any], columns: list[str]) -> str:
    return ", ".join(f"{column} = {row[column]}" for column in columns)


def _parsed(text: str) -> dict[str, Any]:
    """Read numbers so that 1.50 and 1.5 are one: the same value, whatever the column's type."""
    row: dict[str, Any] = json.loads(text, parse_float=_number, parse_int=_number)
    return row


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():f}"
