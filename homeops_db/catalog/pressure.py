"""What others feel at this moment: who waits behind us, how long statements run, which dead rows are left."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# Whoever waits for somebody who waits for us, waits for us. pg_locks is shown to everybody.
QUEUE: LiteralString = """
with recursive waiting as materialized (
    select l.pid, pg_blocking_pids(l.pid) as blocked_by
    from (select distinct pid from pg_locks where not granted and pid is not null) l
), behind (pid) as (
    select unnest(%(ours)s::int[])
    union
    select w.pid from waiting w join behind b on b.pid = any(w.blocked_by)
)
select count(*)::int from behind where pid <> all(%(ours)s::int[])
"""

# Other roles' state and times are null without pg_read_all_stats. Walsenders, autovacuum and background
# workers aren't the traffic; nor are other databases.
STATEMENTS: LiteralString = """
select pid, query_start as began, extract(epoch from clock_timestamp() - query_start)::float8 as seconds
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend'
  and state in ('active', 'fastpath function call') and query_start >= %(since)s
  and pid <> all(%(ours)s::int[]) and pid <> pg_backend_pid()
"""

# Autovacuum comes when there are more dead rows than ``due_rows`` (PostgreSQL 18 caps that). A crash
# empties the counters: pg_class still knows about how many rows there were.
DEAD_ROWS: LiteralString = """
select c.oid::bigint as oid, format('%%I.%%I', n.nspname, c.relname) as table,
       pg_stat_get_dead_tuples(c.oid) as dead_rows,
       greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint - pg_stat_get_dead_tuples(c.oid), 0)
           as live_rows,
       least(coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::float8)
             + coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::float8)
             * greatest(c.reltuples, 0),
             nullif(greatest(coalesce(
                 o.cap, current_setting('autovacuum_vacuum_max_threshold', true)::float8), -1), -1)
       )::float8 as due_rows,
       current_setting('autovacuum')::bool and current_setting('track_counts')::bool
           and coalesce(o.is_on, true) as is_autovacuumed,
       pg_stat_get_autovacuum_count(c.oid) as autovacuums
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join lateral (
    select max(option_value) filter (where option_name = 'autovacuum_enabled')::bool as is_on,
           max(option_value::float8) filter (
               where option_name = 'autovacuum_vacuum_threshold' and option_value !~ '-') as threshold,
           max(option_value::float8) filter (
               where option_name = 'autovacuum_vacuum_scale_factor' and option_value !~ '-') as scale,
           max(option_value::float8) filter (where option_name = 'autovacuum_vacuum_max_threshold') as cap
    from pg_options_to_table(c.reloptions)
    where option_name ~ '^autovacuum_(enabled|vacuum_(threshold|scale_factor|max_threshold))$'
) o on true
where c.oid = any(%(oids)s::oid[])
order by c.oid
"""

# Whatever keeps rows of this database that are dead from being removed. A running transaction does by
# its own number, a snapshot by the oldest number that was running; a VACUUM's snapshot doesn't count, and
# a slot's catalog_xmin only for catalogs. Where it isn't the whole transaction that surely is as old, its
# running statement is; a walsender's "statement" is as old as its connection, and says nothing.
SNAPSHOTS: LiteralString = """
select h.kind, h.name, h.pid, h.role, h.state,
       extract(epoch from clock_timestamp() - h.since)::float8 as known_s,
       here.next::text::bigint - (h.age - age(here.next::xid)) as xid
from (
    select case when w.pid is not null and a.datid is null then 'standby' else 'session' end as kind,
           coalesce(a.application_name, '') as name, a.pid, coalesce(a.usename::text, '') as role,
           coalesce(a.state, '') as state,
           case when w.pid is not null then null
                when a.backend_xid is not null or a.state is distinct from 'active' then a.xact_start
                else a.query_start end as since,
           greatest(age(a.backend_xid), age(a.backend_xmin)) as age
    from pg_stat_activity a
    left join pg_stat_get_wal_senders() w on w.pid = a.pid
    where (a.datid is null or a.datname = current_database())
      and (a.backend_xid is not null or a.backend_xmin is not null)
      and a.pid <> pg_backend_pid() and coalesce(a.leader_pid, a.pid) <> all(%(ours)s::int[])
      and not exists (select from pg_stat_progress_vacuum v where v.pid = a.pid)
    union all
    select 'prepared', gid, 0, owner::text, '', prepared, age(transaction)
    from pg_prepared_xacts
    where database = current_database()
    union all
    select 'slot', slot_name::text, coalesce(active_pid, 0), '', '', null, age(xmin)
    from pg_replication_slots
    where xmin is not null
) h
cross join (select pg_snapshot_xmax(pg_current_snapshot()) as next) here
order by xid, known_s desc nulls last
"""


@dataclass(frozen=True)
class Statement:
    """A statement that another session is running, and for how long."""

    pid: int
    began: datetime
    seconds: float


@dataclass(frozen=True)
class DeadRows:
    """How many rows of a table are dead. Sessions report that a second late, or ten when they fall idle.

    Attributes:
        oid: The table's.
        table: Its name.
        dead_rows: Dead rows, estimated.
        live_rows: The others, estimated.
        due_rows: Dead rows with which autovacuum comes.
        is_autovacuumed: Whether autovacuum is on, for the server and for the table.
        autovacuums: How many of them have ended.
    """

    oid: int
    table: str
    dead_rows: int
    live_rows: int
    due_rows: float
    is_autovacuumed: bool
    autovacuums: int


@dataclass(frozen=True)
class Snapshot:
    """Somebody who keeps dead rows from being removed.

    Attributes:
        kind: "session", "standby" (its feedback), "slot" (the same, through a slot) or "prepared".
        name: application_name, slot, or the prepared transaction's identifier.
        pid: The backend's; 0 without one.
        role: Whose.
        state: Of the session; empty where hidden.
        known_s: For how long at least, in seconds; None where that isn't shown.
        xid: What died in transactions from this number on is kept.
    """

    kind: str
    name: str
    pid: int
    role: str
    state: str
    known_s: float | None
    xid: int


def queue(connection: Connection, ours: Collection[int]) -> int:
    """Count the sessions that wait for one of these backends, or for one that does. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(QUEUE, {"ours": list(ours)}).fetchone() or 0)


def statements(connection: Connection, ours: Collection[int], *, since: datetime) -> list[Statement]:
    """Read the statements that other sessions of this database are running. Takes no lock.

    Args:
        connection: Any.
        ours: The backends that are left out, beside this one.
        since: Those that began before are left out.
    """
    with connection.cursor(row_factory=class_row(Statement)) as cursor:
        return cursor.execute(STATEMENTS, {"ours": list(ours), "since": since}).fetchall()


def dead_rows(connection: Connection, oids: Collection[int]) -> list[DeadRows]:
    """Read how many rows of these tables are dead, and whether autovacuum is to see to it. Takes no lock."""
    with connection.cursor(row_factory=class_row(DeadRows)) as cursor:
        return cursor.execute(DEAD_ROWS, {"oids": list(oids)}).fetchall()


def snapshots(connection: Connection, ours: Collection[int]) -> list[Snapshot]:
    """Read who keeps dead rows of this database, the oldest first; ``ours`` are left out. Takes no lock."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(SNAPSHOTS, {"ours": list(ours)}).fetchall()
