"""Decides whether a backfill goes on or waits: reads the signals, and keeps them from flapping."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.errors import NotSupportedError, ProgrammingError

from homeops_db.catalog import replication
from homeops_db.catalog.replication import Now
from homeops_db.locking.observer import Observer
from homeops_db.locking.pace import Pace
from homeops_db.online.backfill.horizon import Horizon
from homeops_db.online.backfill.signals import (
    Active,
    Dead,
    Lag,
    Level,
    Look,
    Queue,
    Retention,
    Signal,
    WalRate,
)

_ENDS_AT: Final = 0.8
"""Share of a limit below which a reason to wait ends: it begins above the whole."""

_SHORTEST: Final = 1.0
"""Seconds that a reason lasts at least: short naps were measured to hurt the traffic."""


@dataclass(frozen=True)
class Reason:
    """A reason to wait.

    Attributes:
        signal: Which: "replication lag", "replication slot", "queue", "active time", "WAL rate",
            "dead rows" or "old snapshot". It stays the same while the text counts on.
        text: One line for people.
    """

    signal: str
    text: str


@dataclass
class _Switch:
    """A signal, and whether it is a reason to wait."""

    signal: Signal
    since: float | None = None
    text: str = ""

    def waited(self, clock: float) -> float:
        return 0.0 if self.since is None else clock - self.since

    def turn(self, level: Level, clock: float) -> None:
        if self.since is None:
            self.since = clock if level.share > 1 else None
        elif level.share <= _ENDS_AT and self.waited(clock) >= _SHORTEST:
            self.since = None
        self.text = level.text if level.share > _ENDS_AT or not self.text else self.text


@dataclass
class Governor:
    """Looks at the server, about once a second.

    Attributes:
        observer: A connection of its own. It only reads.
        tables: Gives the tables that are being filled now, leaf by leaf, by oid.
        ours: Gives the pids of all our backends: the workers, and whatever else the run has open.
        clock: Gives seconds.
        reasons: All reasons at the last look, the first of them first.
    """

    observer: Observer
    tables: Callable[[], Collection[int]]
    ours: Callable[[], Collection[int]]
    clock: Callable[[], float] = time.monotonic
    reasons: Sequence[Reason] = ()
    _began: datetime | None = None
    _server: Now | None = None
    _refused: dict[str, str] = field(default_factory=dict)
    _horizon: Horizon = field(default_factory=Horizon)
    _switches: list[_Switch] = field(default_factory=list)

    def __post_init__(self) -> None:
        signals: list[Signal] = [Lag(), Retention(), Queue(), Active(), WalRate(), Dead(), self._horizon]
        self._switches = [_Switch(signal) for signal in signals]

    def look(self, pace: Pace) -> Reason | None:
        """Tell why to wait, if there is a reason; None to go on.

        A reason begins above its limit, ends below four fifths of it, and lasts a second at least. A limit
        of 0 isn't looked at. Takes no lock; some milliseconds.

        Raises:
            psycopg.OperationalError: The server is gone, or too busy to answer.
        """
        self.observer.ask(lambda connection: self._look(connection, pace))
        self.reasons = [
            Reason(switch.signal.name, switch.text) for switch in self._switches if switch.since is not None
        ]
        return self.reasons[0] if self.reasons else None

    @property
    def oldest_snapshot_age(self) -> timedelta:
        """For how long dead rows have been kept at the last look, at least; 0 if nobody keeps any."""
        return timedelta(seconds=self._horizon.age)

    @property
    def unseen(self) -> Sequence[str]:
        """What the server doesn't show to our role, in words; known after the first look."""
        found = [f"{name}: {why}" for name, why in self._refused.items()]
        if self._server is None:
            return found
        if not self._server.sees_all_roles:
            may = f"role {self._server.role} may not see {{}} (GRANT pg_monitor TO {self._server.role})"
            found += [
                may.format("how far standbys are behind"),
                may.format("how long other roles' statements are running"),
                may.format("since when other roles' transactions, begun before this run, are open"),
            ]
        if not self._server.tracks_activities:
            found.append("nobody sees how long statements are running: track_activities is off")
        return found

    def _look(self, connection: Connection, pace: Pace) -> None:
        self._server = replication.now(connection)
        clock = self.clock()
        self._began = self._began or self._server.now
        ours, tables = list(self.ours()), list(self.tables())
        for switch in self._switches:
            look = Look(pace, self._server, clock, self._began, ours, tables, switch.waited(clock))
            is_off = switch.signal.is_off(pace)
            if is_off:  # whoever switches a limit off wants to go on at once
                switch.since = None
            if not is_off or switch.signal is self._horizon:
                switch.turn(self._level(switch.signal, connection, look), clock)

    def _level(self, signal: Signal, connection: Connection, look: Look) -> Level:
        """Read one signal. What this server refuses is said, and the others are looked at."""
        try:
            return signal.level(connection, look)
        except (ProgrammingError, NotSupportedError) as error:
            self._refused[signal.name] = error.diag.message_primary or str(error)
            return Level()
