"""Whether a table is what it was: which files it has, and by which transactions its rows were written."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

# Whoever holds a lock that keeps writers out knows: what is written later has this number, or a higher one.
NEXT_TRANSACTION: LiteralString = "select pg_snapshot_xmax(pg_current_snapshot())::text"

# As it stands in xmin of the rows that it writes.
THIS_TRANSACTION: LiteralString = "select pg_current_xact_id()::xid::text"

# Another one after TRUNCATE, CLUSTER, VACUUM FULL, or a rewriting ALTER TABLE.
FILES: LiteralString = """
select c.oid::bigint, pg_relation_filenode(c.oid)::bigint from pg_class c
where c.oid = any(%(oids)s) and pg_relation_filenode(c.oid) is not null
"""


def next_transaction(connection: Connection) -> int:
    """Read the number that the next transaction gets that writes something. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(NEXT_TRANSACTION).fetchone() or 0)


def this_transaction(connection: Connection) -> str:
    """Read the number of the open transaction, as xmin has it. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(THIS_TRANSACTION).fetchone())


def files(connection: Connection, oids: Sequence[int]) -> dict[int, int]:
    """Read the files of tables by their oids. Takes no lock."""
    return dict(connection.execute(FILES, {"oids": list(oids)}).fetchall())
