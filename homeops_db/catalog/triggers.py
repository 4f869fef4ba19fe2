"""Triggers by the order in which they fire, and whether they always do."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

# tgtype: 1 is FOR EACH ROW, 2 BEFORE, 4 INSERT, 16 UPDATE. The bytes of a name decide who is first.
FIRING_AFTER: LiteralString = """
select distinct t.tgname::text
from pg_trigger t
where t.tgrelid = any(%(oids)s::oid[]) and not t.tgisinternal and t.tgtype & 3 = 3 and t.tgtype & 20 <> 0
  and t.tgname::text collate "C" > %(prefix)s and not starts_with(t.tgname::text, %(prefix)s)
order by 1
"""

FIRING_ALWAYS: LiteralString = """
select tgname::text from pg_trigger where tgrelid = %(oid)s::oid and not tgisinternal and tgenabled = 'A'
"""


def firing_after(connection: Connection, oids: Sequence[int], prefix: str) -> list[str]:
    """Name what changes a row of some tables after the triggers whose names begin so. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(FIRING_AFTER, {"oids": list(oids), "prefix": prefix}).fetchall()


def firing_always(connection: Connection, oid: int) -> list[str]:
    """Name the triggers of a table that fire for replicated rows too. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(FIRING_ALWAYS, {"oid": oid}).fetchall()
