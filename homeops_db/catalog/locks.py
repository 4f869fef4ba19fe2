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

# A prepared transaction has no pid, and keeps the virtual transaction of the session that prepared it
# until the server starts again: so it is found by the lock on its own xid. Ages, states and queries of
# others are hidden from a role without pg_read_all_stats; what has a pid and no user is autovacuum.
_SESSION: LiteralString = """
       coalesce(l.pid, 0) as pid, l.virtualtransaction as transaction, p.gid as prepared,
       coalesce(a.application_name, '') as application, coalesce(a.usename, p.owner, '') as role,
       coalesce(a.state, '') as state,
       extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 * 1000 as age_ms,
       coalesce(a.backend_type = 'autovacuum worker',
                a.pid is not null and a.usesysid is null) as is_autovacuum,
       coalesce(left(regexp_replace(a.query, '\\s+', ' ', 'g'), 100), '') as query
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
left join pg_locks x on l.pid is null and x.pid is null and x.locktype = 'transactionid'
                    and x.virtualtransaction = l.virtualtransaction
left join pg_prepared_xacts p on p.transaction = x.transactionid
"""

# Autovacuum says so in its query; where that is hidden, the table's age tells.
_WRAPAROUND: LiteralString = """
case when a.backend_type is not null
     then a.backend_type = 'autovacuum worker' and a.query ~ 'to prevent wraparound'
     else a.pid is not null and a.usesysid is null and c.relfrozenxid::text <> '0' and (
         age(c.relfrozenxid) > least(
             current_setting('autovacuum_freeze_max_age')::int,
             (select o.option_value::int from pg_options_to_table(c.reloptions) o
              where o.option_name = 'autovacuum_freeze_max_age'))
         or mxid_age(c.relminmxid) > least(
             current_setting('autovacuum_multixact_freeze_max_age')::int,
             (select o.option_value::int from pg_options_to_table(c.reloptions) o
              where o.option_name = 'autovacuum_multixact_freeze_max_age')))
end
"""

# Who waits for a lock is before us too. Parallel workers are left out: their leader holds the same.
HOLDERS: LiteralString = f"""
select *
from (
    select distinct on (l.virtualtransaction)
           format('%%I.%%I', n.nspname, c.relname) as object, l.mode, l.granted,
           {_WRAPAROUND} as is_wraparound,
    {_SESSION}
    join pg_class c on c.oid = l.relation
    join pg_namespace n on n.oid = c.relnamespace
    where l.locktype = 'relation' and l.relation = any(%(oids)s::oid[]) and l.mode = any(%(modes)s)
      and l.database = (select oid from pg_database where datname = current_database())
      and l.pid is distinct from %(pid)s and a.leader_pid is null
      and (l.pid is not null or p.gid is not null)
    order by l.virtualtransaction, is_wraparound desc, l.granted desc, object
) found
order by age_ms desc nulls last, pid
"""  # noqa: S608 - of constants

# Whoever waits for a row holds the lock on its tuple: that names the table. (format('%I', null) is an error.)
WAITING: LiteralString = """
select l.pid, l.pid = %(pid)s as is_ours, l.locktype, coalesce(l.relation, 0)::bigint as relation, l.mode,
       coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), l.locktype) as object,
       coalesce(l.transactionid::text, '') as xid,
       coalesce(extract(epoch from clock_timestamp() - l.waitstart)::float8 * 1000, 0) as waited_ms,
       coalesce(l.waitstart::text, '') as since, pg_blocking_pids(l.pid) as blocked_by
from pg_locks l
left join pg_locks t on l.locktype = 'transactionid' and t.pid = l.pid and t.locktype = 'tuple' and t.granted
left join pg_class c on c.oid = coalesce(l.relation, t.relation)
left join pg_namespace n on n.oid = c.relnamespace
where not l.granted
"""

SESSIONS: LiteralString = f"""
select distinct on (l.virtualtransaction)
       '' as object, '' as mode, true as granted,
       coalesce(a.backend_type = 'autovacuum worker' and a.query ~ 'to prevent wraparound', false)
           as is_wraparound,
{_SESSION}
where l.granted
  and (l.locktype = 'virtualxid' and l.pid = any(%(pids)s)
       or l.locktype = 'transactionid' and p.gid is not null and l.transactionid::text = any(%(xids)s))
order by l.virtualtransaction
"""

# PUBLIC's privileges count too. An owner may have taken them from itself: ALTER TABLE then still works.
MAY_LOCK: LiteralString = """
select c.relkind in ('r', 'p') and has_table_privilege(
    c.oid,
    case when %(mode)s = 'ACCESS SHARE' then 'SELECT'
         when current_setting('server_version_num')::int < 170000 then 'UPDATE, DELETE, TRUNCATE'
         else 'UPDATE, DELETE, TRUNCATE, MAINTAIN' end)
from pg_class c
where c.oid = %(oid)s
"""

# Whoever has got the lock meanwhile is let be.
CANCEL_WAITING: LiteralString = """
select pg_cancel_backend(l.pid)
from pg_locks l
where l.pid = %(pid)s and not l.granted
limit 1
"""

# What is held on a partition or chunk is shown as its parent's.
HELD_BY: LiteralString = """
select distinct format('%%I.%%I', n.nspname, c.relname) as object, l.mode
from pg_stat_activity a
join pg_locks l on l.pid = a.pid and l.locktype = 'relation' and l.granted and l.database = a.datid
left join pg_inherits i on i.inhrelid = l.relation
join pg_class c on c.oid = coalesce(i.inhparent, l.relation) and c.oid = any(%(oids)s::oid[])
join pg_namespace n on n.oid = c.relnamespace
where a.datname = current_database() and a.application_name = %(application)s
"""


@dataclass(frozen=True)
class Holder:
    """A session, prepared transaction or autovacuum worker in our way.

    ``granted`` is False for one that waits for its lock, before us. ``transaction`` tells its
    transactions apart, and ``age_ms`` is None where our role may not see it.
    """

    object: str
    mode: str
    granted: bool
    pid: int
    transaction: str
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
    """A lock request that isn't granted: ours, or one that waits for us.

    ``waited_ms`` is until now; ``since`` is empty for the first moment of a wait. ``object`` is the
    relation, that of the row which is waited for, or the kind of lock.
    """

    pid: int
    is_ours: bool
    locktype: str
    relation: int
    mode: str
    object: str
    xid: str
    waited_ms: float
    since: str
    blocked_by: list[int]

    @property
    def lock(self) -> str:
        """The lock's mode in the words of LOCK TABLE."""
        return _MODES.get(self.mode, self.mode)


def holders(connection: Connection, oids: Sequence[int], mode: str, *, ours: int) -> list[Holder]:
    """Read who holds or awaits a lock on one of the tables that conflicts with ``mode``, oldest first.

    Each transaction stands there once. Takes no lock.

    Args:
        connection: Any.
        oids: The tables.
        mode: In the words of LOCK TABLE.
        ours: The pid that is left out.
    """
    words = list(_MODES)
    modes = [words[int(place)] for place in _CONFLICTS[mode]]
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(HOLDERS, {"oids": list(oids), "modes": modes, "pid": ours}).fetchall()


def waiting(connection: Connection, pid: int) -> list[Waiting]:
    """Read the request of ``pid`` that isn't granted, and those that wait for it, or for one that does.

    Takes no lock.
    """
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        found = cursor.execute(WAITING, {"pid": pid}).fetchall()
    behind = {pid}
    while more := {row.pid for row in found if behind.intersection(row.blocked_by)} - behind:
        behind |= more
    return [row for row in found if row.pid in behind]


def held_by(connection: Connection, application: str, oids: Sequence[int]) -> list[tuple[str, str]]:
    """Read which of these tables are locked by sessions of this application_name, and how.

    Each table stands there once for each mode, in the words of LOCK TABLE. Takes no lock.
    """
    found = connection.execute(HELD_BY, {"application": application, "oids": list(oids)}).fetchall()
    return [(str(table), _MODES[mode]) for table, mode in found]


def sessions(connection: Connection, pids: Sequence[int], xids: Sequence[str] = ()) -> list[Holder]:
    """Read the transactions of these sessions, and the prepared ones of these xids; ended ones are left out.

    Takes no lock.
    """
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(SESSIONS, {"pids": list(pids), "xids": list(xids)}).fetchall()


def is_stronger(mode: str, than: str) -> bool:
    """Whether a lock conflicts with more than another one, both in the words of LOCK TABLE."""
    return len(_CONFLICTS[mode]) > len(_CONFLICTS[than])


def may_lock(connection: Connection, oid: int, mode: str) -> bool:
    """Read whether LOCK TABLE would accept this relation and our role. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(MAY_LOCK, {"oid": oid, "mode": mode}).fetchone())


def cancel_waiting(connection: Connection, pid: int) -> bool:
    """Cancel the statement of one of our own sessions if it still waits for a lock. Says whether it did."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(CANCEL_WAITING, {"pid": pid}).fetchone())
