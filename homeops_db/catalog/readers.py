"""Who reads by a snapshot that was taken before some transaction: it sees rows as they were then."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A snapshot is at least as old as the oldest number that was running when it was taken; everybody is shown
# that of everybody. One that holds no transaction of its own (a standby's, through a walsender) reads nothing
# here, nor does autovacuum, which has no role, or a VACUUM.
OLDER: LiteralString = """
select *
from (
    select a.pid, l.virtualtransaction as transaction,
           here.next::text::bigint - (age(a.backend_xmin) - age(here.next::xid)) as xid
    from pg_stat_activity a
    join pg_locks l on l.pid = a.pid and l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.granted
    cross join (select pg_snapshot_xmax(pg_current_snapshot()) as next) here
    where a.datname = current_database() and a.backend_xmin is not null and a.usesysid is not null
      and a.pid <> pg_backend_pid() and a.pid <> all(%(ours)s::int[])
      and not exists (select from pg_stat_progress_vacuum v where v.pid = a.pid)
) found
where xid < %(since)s
order by xid, pid
"""

RUNNING: LiteralString = "select pg_snapshot_xmin(pg_current_snapshot())::text"


@dataclass(frozen=True)
class Reader:
    """A transaction that reads by an old snapshot.

    Attributes:
        pid: Its session.
        transaction: Tells the session's transactions apart.
        xid: What was written in transactions from this number on may be hidden from it.
    """

    pid: int
    transaction: str
    xid: int


def older(connection: Connection, since: int, *, ours: Collection[int] = ()) -> list[Reader]:
    """Read who may not see all that was written before the transaction ``since``. Takes no lock.

    Somebody may be among them whose snapshot is new, while a transaction runs that is older than ``since``.

    Args:
        connection: Any; it is left out.
        since: A transaction's number, in 64 bits.
        ours: Sessions that are left out too.
    """
    with connection.cursor(row_factory=class_row(Reader)) as cursor:
        return cursor.execute(OLDER, {"since": since, "ours": list(ours)}).fetchall()


def oldest_running(connection: Connection) -> int:
    """Read the lowest number of a running transaction: no snapshot that is taken from now on is older.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(RUNNING).fetchone() or 0)
