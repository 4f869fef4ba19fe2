"""How far the WAL is, and who is behind in it: standbys, replication slots."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row

# What isn't flushed can't be sent: so nobody is behind in it. On a standby the function is an error.
_FLUSHED: LiteralString = "case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() - '0/0' end"

NOW: LiteralString = f"""
select current_user as role, clock_timestamp() as now, ({_FLUSHED})::bigint as lsn,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next_xid,
       pg_has_role('pg_read_all_stats', 'USAGE') as sees_all_roles,
       current_setting('track_activities')::bool as tracks_activities
"""

# A standby's position is what it has replayed. Others confirm when it suits them (pg_receivewal every
# ten seconds, some readers of logical slots once a minute): what could be sent to them is theirs. A base
# backup has no position. Without pg_read_all_stats everything but pid and name is null.
STANDBYS: LiteralString = f"""
select r.pid, s.slot_type is not distinct from 'logical' as is_logical, r.replay_lsn is not null as replays,
       coalesce(nullif(nullif(r.application_name, ''), 'walreceiver'), s.slot_name::text, 'walreceiver')
           || coalesce(' at ' || host(r.client_addr), '') as name,
       coalesce(r.state, '') as state, (p.position - '0/0')::bigint as position,
       (here.lsn - (p.position - '0/0'))::bigint as behind_bytes,
       (here.lsn - (r.flush_lsn - '0/0'))::bigint as unreceived_bytes,
       case when s.slot_type is distinct from 'logical' then extract(epoch from r.replay_lag)::float8 end
           as replay_lag_s
from pg_stat_replication r
left join pg_replication_slots s on s.active_pid = r.pid
cross join lateral (
    select case when s.slot_type is distinct from 'logical' and r.replay_lsn is not null then r.replay_lsn
                else r.sent_lsn end as position
) p
cross join (select {_FLUSHED} as lsn) here
where r.state is distinct from 'backup'
order by r.pid
"""  # noqa: S608 - of constants

# A lost slot keeps nothing back any more; one that was never read has nothing to keep yet.
SLOTS: LiteralString = f"""
select s.slot_name::text as name, s.active as is_active, coalesce(a.application_name, '') as reader,
       (here.lsn - (s.restart_lsn - '0/0'))::bigint as kept_bytes,
       s.wal_status = 'unreserved' as is_nearly_lost,
       nullif(greatest(pg_size_bytes(current_setting('max_slot_wal_keep_size')), 0), 0) as most_kept_bytes
from pg_replication_slots s
left join pg_stat_activity a on a.pid = s.active_pid
cross join (select {_FLUSHED} as lsn) here
where s.restart_lsn is not null and s.wal_status is distinct from 'lost' and here.lsn is not null
order by s.slot_name
"""  # noqa: S608 - of constants


@dataclass(frozen=True)
class Now:
    """The server at this moment.

    Attributes:
        role: Our own.
        now: The server's clock.
        lsn: How far the WAL is, in bytes; None on a standby.
        next_xid: The number of the next transaction, without wraparound.
        sees_all_roles: Whether our role is shown what other roles' sessions do.
        tracks_activities: Whether the server notes what sessions do.
    """

    role: str
    now: datetime
    lsn: int | None
    next_xid: int
    sees_all_roles: bool
    tracks_activities: bool


@dataclass(frozen=True)
class Standby:
    """Somebody who is sent the WAL. Everything but its name is None where our role may not see it.

    Attributes:
        pid: Of its walsender.
        is_logical: Whether it reads a logical slot.
        replays: Whether it says how far it has replayed, or applied.
        name: Its application_name, or its slot's name, and its address.
        state: startup, catchup, streaming, stopping; empty where hidden.
        position: How far it is, in bytes of WAL: what a standby has replayed, what others were sent.
        behind_bytes: By how much that is less than there is.
        unreceived_bytes: How much it hasn't written to its disk.
        replay_lag_s: How long ago what it has just replayed was sent, in seconds. It stays as it is while
            nothing is replayed, and for a while after everything is.
    """

    pid: int
    is_logical: bool
    replays: bool
    name: str
    state: str
    position: int | None
    behind_bytes: int | None
    unreceived_bytes: int | None
    replay_lag_s: float | None


@dataclass(frozen=True)
class Slot:
    """A replication slot and the WAL that it keeps back; ``reader`` is who reads it now.

    ``most_kept_bytes`` is max_slot_wal_keep_size: with more, the slot is lost. ``is_nearly_lost`` says that
    the next checkpoint may do it.
    """

    name: str
    is_active: bool
    reader: str
    kept_bytes: int
    is_nearly_lost: bool
    most_kept_bytes: int | None


def now(connection: Connection) -> Now:
    """Read how far the server is, and what our role may see. Takes no lock."""
    with connection.cursor(row_factory=class_row(Now)) as cursor:
        row = cursor.execute(NOW).fetchone()
    assert row is not None
    return row


def standbys(connection: Connection) -> list[Standby]:
    """Read who is sent the WAL, and how far each one is. Takes no lock.

    Standbys of standbys aren't among them.
    """
    with connection.cursor(row_factory=class_row(Standby)) as cursor:
        return cursor.execute(STANDBYS).fetchall()


def slots(connection: Connection) -> list[Slot]:
    """Read which replication slots keep WAL back. Takes no lock."""
    with connection.cursor(row_factory=class_row(Slot)) as cursor:
        return cursor.execute(SLOTS).fetchall()
