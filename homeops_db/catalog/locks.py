"""Who holds which lock on a table, who waits, and for whom (pg_locks, pg_stat_activity)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

ACCESS_EXCLUSIVE: Final = "ACCESS EXCLUSIVE"
SHARE_ROW_EXCLUSIVE: Final = "SHARE ROW EXCLUSIVE"
SHARE: Final = "SHARE"
SHARE_UPDATE_EXCLUSIVE: Final = "SHARE UPDATE EXCLUSIVE"
ROW_SHARE: Final = "ROW SHARE"

_MODES: Final = {
    "AccessShareLock": "ACCESS SHARE",
    "RowShareLock": ROW_SHARE,
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": SHARE_UPDATE_EXCLUSIVE,
    "ShareLock": SHARE,
    "ShareRowExclusiveLock": SHARE_ROW_EXCLUSIVE,
    "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": ACCESS_EXCLUSIVE,
}
"""pg_locks' words and those of LOCK TABLE, weakest first."""

_CONFLICTS: Final = {
    "ACCESS SHARE": "7",
    ROW_SHARE: "67",
    "ROW EXCLUSIVE": "4567",
    SHARE_UPDATE_EXCLUSIVE: "34567",
    SHARE: "23567",
    SHARE_ROW_EXCLUSIVE: "234567",
    "EXCLUSIVE": "1234567",
    ACCESS_EXCLUSIVE: "01234567",
}
"""The places in `_MODES` of the modes that conflict
(https://www.postgresql.org/docs/17/explicit-locking.html#LOCKING-TABLES)."""

# A prepared transaction has no pid; its virtual transaction is -1/ and its xid. Other roles' ages
# and states are hidden from a role without pg_read_all_stats, and so are autovacuum's: what has a
# pid and no user is a worker of the server's own.
_SESSION: LiteralString = """
       coalesce(l.pid, 0) as pid, p.gid as prepared,
       coalesce(a.application_name, '') as application, coalesce(a.usename, p.owner, '') as role,
       coalesce(a.state, '') as state,
       extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 * 1000 as age_ms,
       coalesce(a.backend_type = 'autovacuum worker',
                a.pid is not null and a.usesysid is null) as is_autovacuum,
       coalesce(a.query, '') ~ 'to prevent wraparound' as is_wraparound,
       coalesce(left(regexp_replace(a.query, '\\s+', ' ', 'g'), 100), '') as query
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
left join pg_prepared_xacts p on l.pid is null and l.virtualtransaction = '-1/' || p.transaction
"""

HOLDERS: LiteralString = f"""
select coalesce(format('%%I.%%I', n.nspname, c.relname), l.locktype) as object, l.mode,
{_SESSION}
left join pg_class c on c.oid = l.relation
left join pg_namespace n on n.oid = c.relnamespace
where l.granted and l.locktype = 'relation' and l.relation = any(%(oids)s::oid[])
  and l.mode = any(%(modes)s)
  and l.database = (select oid from pg_database where datname = current_database())
  and l.pid is distinct from %(pid)s
order by age_ms desc nulls last, pid
"""  # noqa: S608 - of constants

# Only rows that wait are asked for their blockers: pg_blocking_pids stops the lock manager for a moment.
WAITING: LiteralString = """
select l.pid, l.pid = %(pid)s as is_ours, l.locktype, coalesce(l.relation, 0)::bigint as relation, l.mode,
       coalesce(format('%%I.%%I', n.nspname, c.relname), l.locktype) as object,
       coalesce(extract(epoch from clock_timestamp() - l.waitstart)::float8 * 1000, 0) as waited_ms,
       coalesce(l.waitstart::text, '') as since, pg_blocking_pids(l.pid) as blocked_by
from pg_locks l
left join pg_class c on c.oid = l.relation
left join pg_namespace n on n.oid = c.relnamespace
where not l.granted and (l.pid = %(pid)s or %(pid)s = any(pg_blocking_pids(l.pid)))
"""

SESSIONS: LiteralString = f"""
select distinct on (l.pid) '' as object, '' as mode,
{_SESSION}
where l.granted and l.pid = any(%(pids)s) and l.locktype = 'virtualxid'
order by l.pid
"""

DEADLOCK_TIMEOUT: LiteralString = "select setting::int from pg_settings where name = 'deadlock_timeout'"

CANCEL: LiteralString = "select pg_cancel_backend(%(pid)s)"


@dataclass(frozen=True)
class Holder:
    """A session, prepared transaction or autovacuum worker that holds a lock in our way.

    ``age_ms`` is its transaction's, None where our role may not see it.
    """

    object: str
    mode: str
    pid: int
    prepared: str | None
    application: str
    role: str
    state: str
    age_ms: float | None
    is_autovacuum: bool
    is_wraparound: bool
    query: str

    @property
    def lock(self) -> str:
        """The lock's mode in the words of LOCK TABLE."""
        return _MODES.get(self.mode, self.mode)


@dataclass(frozen=True)
class Waiting:
    """A lock request that isn't granted: ours, or one that waits for us. ``waited_ms`` is until now."""

    pid: int
    is_ours: bool
    locktype: str
    relation: int
    mode: str
    object: str
    waited_ms: float
    since: str
    blocked_by: list[int]

    @property
    def lock(self) -> str:
        """The lock's mode in the words of LOCK TABLE."""
        return _MODES.get(self.mode, self.mode)


def holders(connection: Connection, oids: Sequence[int], mode: str, *, ours: int) -> list[Holder]:
    """Read who holds a lock on one of the tables that conflicts with ``mode``, oldest first.

    Args:
        connection: Any; takes no lock on a table.
        oids: The tables.
        mode: In the words of LOCK TABLE.
        ours: The pid that is left out.
    """
    words = list(_MODES)
    modes = [words[int(place)] for place in _CONFLICTS[mode]]
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(HOLDERS, {"oids": list(oids), "modes": modes, "pid": ours}).fetchall()


def waiting(connection: Connection, pid: int) -> list[Waiting]:
    """Read the lock request of ``pid`` that isn't granted, and those of everybody who waits for it."""
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(WAITING, {"pid": pid}).fetchall()


def sessions(connection: Connection, pids: Sequence[int]) -> list[Holder]:
    """Read the transactions of these sessions; those that have ended are left out."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(SESSIONS, {"pids": list(pids)}).fetchall()


def deadlock_timeout_ms(connection: Connection) -> int:
    """Read how long a waiting session lets pass before it asks an autovacuum to yield, in milliseconds."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(DEADLOCK_TIMEOUT).fetchone() or 1000)


def cancel(connection: Connection, pid: int) -> None:
    """Cancel the running statement of one of our own sessions."""
    connection.execute(CANCEL, {"pid": pid})
