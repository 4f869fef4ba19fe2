"""What a backfill waits for, each by one plain read: how far a limit is used up, and a line for people."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from psycopg import Connection

from homeops_db.catalog import pressure, replication
from homeops_db.catalog.pressure import DeadRows
from homeops_db.catalog.replication import Now, Slot, Standby
from homeops_db.locking.amounts import size, span
from homeops_db.locking.pace import Pace

_ENOUGH: Final = 0.8
"""Share of max_slot_wal_keep_size that may be used: past the whole of it, a checkpoint loses the slot."""

_INNOCENT: Final = 10
"""So many times its limit a statement goes on while we wait, and is slow without us."""

_LONGEST_DEBT: Final = 30.0
"""Seconds for which WAL above the limit is made up for at most."""

_SHORTEST: Final = 0.5
"""Seconds between two looks from which a rate says something."""

_LONGEST: Final = 10.0
"""Seconds between two looks from which it says nothing about now: nobody looked while the run was paused."""

_CHANCES: Final = 2
"""Autovacuums that end while we wait: the first may have begun before, and passed the rows by."""


@dataclass(frozen=True)
class Level:
    """How much of a limit is used up (above 1 there is reason to wait), and that in words."""

    share: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Look:
    """What a signal needs to know at one look.

    Attributes:
        pace: The limits.
        server: The server at this moment.
        clock: Our own clock, in seconds.
        began: When the first look was, by the server's clock.
        ours: Pids of our own backends.
        tables: The tables that are being filled.
        waited: For how long this signal has been a reason to wait, in seconds; 0 if it isn't.
    """

    pace: Pace
    server: Now
    clock: float
    began: datetime
    ours: Collection[int]
    tables: Collection[int]
    waited: float


class Signal(Protocol):
    """One thing to wait for."""

    @property
    def name(self) -> str:
        """What it is called."""

    def is_off(self, pace: Pace) -> bool:
        """Whether its limits are 0."""

    def level(self, connection: Connection, look: Look, /) -> Level:
        """Read where it stands."""


@dataclass
class Lag:
    """Standbys and readers of logical slots, by bytes and by time.

    The server's own replay_lag stays what it was while nothing comes from the standby. So a position that
    doesn't move counts as well, from when it was seen first; and nobody who has everything is late.
    """

    name: str = "replication lag"
    _stood: dict[int, tuple[int, float]] = field(default_factory=dict)

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_replication_bytes and not pace.max_replication_lag

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        found = replication.standbys(connection)
        late = {one: self._seconds(one, look.clock) for one in found if (one.behind_bytes or 0) > 0}
        self._stood = {one.pid: self._stood[one.pid] for one in late}
        levels = [level for one, seconds in late.items() for level in _lags(one, seconds, look.pace)]
        return max(levels, key=lambda level: level.share, default=Level())

    def _seconds(self, standby: Standby, clock: float) -> float:
        position, since = self._stood.get(standby.pid, (None, clock))
        if position is None or position != standby.position:
            since = clock
        self._stood[standby.pid] = (standby.position or 0, since)
        return max(standby.replay_lag_s or 0.0, clock - since)


def _lags(standby: Standby, seconds: float, pace: Pace) -> list[Level]:
    behind, most, longest = standby.behind_bytes or 0, pace.max_replication_bytes, pace.max_replication_lag
    is_received = standby.replays and not standby.is_logical and 2 * (standby.unreceived_bytes or 0) < behind
    rest = ", received but not replayed" if is_received else ""
    rest = ", catching up" if standby.state == "catchup" else rest
    who = f"{_kind(standby)} {standby.name} is"
    found = []
    if most:
        found.append(Level(behind / most, f"{who} {size(behind)} behind{rest} (limit {size(most)})"))
    if longest:
        limit = longest.total_seconds()
        found.append(Level(seconds / limit, f"{who} {span(seconds)} behind{rest} (limit {span(limit)})"))
    return found


def _kind(standby: Standby) -> str:
    if standby.is_logical:
        return "subscriber"
    return "standby" if standby.replays else "receiver of WAL"


@dataclass
class Retention:
    """WAL that replication slots keep back: it fills the disk, or the slot is lost."""

    name: str = "replication slot"

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_slot_bytes

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        levels = [_kept(slot, look.pace.max_slot_bytes) for slot in replication.slots(connection)]
        return max(levels, key=lambda level: level.share, default=Level())


def _kept(slot: Slot, limit: int) -> Level:
    who = f"read by {slot.reader or 'a client without a name'}" if slot.is_active else "and nobody reads it"
    most, why = limit, ""
    if slot.most_kept_bytes is not None and _ENOUGH * slot.most_kept_bytes < limit:
        most = math.ceil(_ENOUGH * slot.most_kept_bytes)
        why = f", for it is lost at {size(slot.most_kept_bytes)}"
    text = f"replication slot {slot.name} keeps back {size(slot.kept_bytes)} of WAL (limit {size(most)}{why})"
    share = slot.kept_bytes / most
    if slot.is_nearly_lost:  # a checkpoint may take it at any moment, whatever is counted
        share, text = max(share, 2.0), f"{text}; the next checkpoint may lose it"
    return Level(share, f"{text}, {who}")


@dataclass
class Queue:
    """Sessions that wait behind a batch."""

    name: str = "queue"

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_queue

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        count, limit = pressure.queue(connection, look.ours), look.pace.max_queue
        waits = "session waits" if count == 1 else "sessions wait"
        return Level(count / limit, f"{count} {waits} behind a batch (limit {limit})")


@dataclass
class Active:
    """How long others' statements are running that began after the backfill.

    A statement that goes on and on while we wait is slow without us, and isn't waited for any longer: a
    report, an export, a session that waits for an advisory lock.
    """

    name: str = "active time"
    _innocent: set[tuple[int, datetime]] = field(default_factory=set)

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_active_p95

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        found = pressure.statements(connection, look.ours, since=look.began)
        limit = look.pace.max_active_p95.total_seconds()
        longest = _INNOCENT * limit
        self._innocent &= {(one.pid, one.began) for one in found}
        if look.waited > longest:
            self._innocent |= {(one.pid, one.began) for one in found if one.seconds > longest}
        seconds = sorted(one.seconds for one in found if (one.pid, one.began) not in self._innocent)
        if not seconds:
            return Level()
        p95 = seconds[math.ceil(0.95 * len(seconds)) - 1]
        what = (
            "the statement of another session is"
            if len(seconds) == 1
            else f"the p95 of {len(seconds)} statements of other sessions is"
        )
        return Level(p95 / limit, f"{what} at {span(p95)} (limit {span(limit)})")


@dataclass
class WalRate:
    """WAL that the whole server writes in a second, from two looks.

    Waiting is all or nothing, so what was written above the limit is made up for: the mean keeps to it.
    """

    name: str = "WAL rate"
    _last: tuple[float, int] | None = None
    _rate: float = 0.0
    _debt: float = 0.0

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_wal_rate

    def level(self, _connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        limit = look.pace.max_wal_rate
        self._count(look, limit)
        if look.waited and self._debt > 0 and self._rate <= limit:
            left = f"the server has written {size(self._debt)} of WAL above its limit"
            return Level(1.0, f"{left} (limit {size(limit)} a second)")
        return Level(
            self._rate / limit, f"the server writes {size(self._rate)} of WAL a second (limit {size(limit)})"
        )

    def _count(self, look: Look, limit: int) -> None:
        lsn, last = look.server.lsn, self._last
        if lsn is None:  # a standby now
            self._last, self._rate = None, 0.0
            return
        passed, written = (look.clock - last[0], lsn - last[1]) if last else (math.inf, 0)
        if passed < _SHORTEST:
            return
        if passed > _LONGEST:
            self._last, self._rate, self._debt = (look.clock, lsn), 0.0, 0.0
            return
        # On another server the position may be behind where it was: a rate below 0, and no debt.
        self._last, self._rate = (look.clock, lsn), written / passed
        self._debt = min(max(0.0, self._debt + written - limit * passed), _LONGEST_DEBT * limit)


_FEW: Final = 10_000
"""Dead rows that are soon removed, whatever their share is: a small table isn't waited for."""


@dataclass
class Dead:
    """Dead rows that autovacuum doesn't keep up with. Where it is off, this isn't looked at.

    Sessions report dead rows up to a second late. When autovacuums have ended while we waited and the rows
    are still there, something keeps them, and waiting doesn't help.
    """

    name: str = "dead rows"
    _began: dict[int, int] = field(default_factory=dict)
    _kept: set[int] = field(default_factory=set)

    def is_off(self, pace: Pace) -> bool:
        """See `Signal`."""
        return not pace.max_dead_share

    def level(self, connection: Connection, look: Look) -> Level:
        """See `Signal`."""
        found = pressure.dead_rows(connection, look.tables)
        levels = [self._of(one, look) for one in found if one.is_autovacuumed]
        return max(levels, key=lambda level: level.share, default=Level())

    def _of(self, table: DeadRows, look: Look) -> Level:
        limit = look.pace.max_dead_share
        dead = table.dead_rows / max(1, table.dead_rows + table.live_rows)
        is_due = table.dead_rows > max(table.due_rows, _FEW)
        if dead <= limit or not is_due:
            self._kept.discard(table.oid)
        if not look.waited:
            self._began[table.oid] = table.autovacuums
        elif table.autovacuums >= self._began.setdefault(table.oid, table.autovacuums) + _CHANCES:
            self._kept.add(table.oid)
        if table.oid in self._kept or not is_due:
            return Level()
        return Level(
            dead / limit, f"{dead:.0%} of the rows of {table.table} are dead, and autovacuum is behind "
            f"(limit {limit:.0%})"
        )  # fmt: skip
