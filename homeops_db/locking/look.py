"""Looks who holds the tables, and waits for old transactions instead of queueing behind them.

A waiting request for a strong lock makes everybody who comes later wait behind it. Reading pg_locks
makes nobody wait: so whoever will not be gone within one short try is waited for by looking.
"""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from psycopg import Connection

from homeops_db.catalog import locks
from homeops_db.catalog.locks import Holder
from homeops_db.errors import LockTimeoutError
from homeops_db.locking import report
from homeops_db.locking.observer import Observer
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost, Watch

_FIRST_LOOK: Final = 0.02  # seconds between two looks
_LAST_LOOK: Final = 0.1  # the lock is to be taken within 200 ms of its release
_FIRST_PAUSE: Final = 0.1  # after a failed try: the traffic that it held up runs off first
_LAST_PAUSE: Final = 5.0
_BUSY: Final = timedelta(seconds=1)
_FORGOTTEN: Final = timedelta(seconds=1)


@dataclass
class Patience:
    """How long all tries together may take, and what has been tried.

    Attributes:
        blockers: Who was in the way last.
        rows: What else than tables the last try waited for.
        row_blockers: The pids that it waited for there.
        row_xids: The transactions that it waited for there.
        has_looked: Whether there was a first look.
    """

    policy: Policy
    tries: int = 0
    cost: Cost = field(default_factory=Cost)
    blockers: list[Holder] = field(default_factory=list)
    rows: set[str] = field(default_factory=set)
    row_blockers: set[int] = field(default_factory=set)
    row_xids: set[str] = field(default_factory=set)
    has_looked: bool = False
    _began: float = field(default_factory=time.monotonic)
    _first_seen: dict[str, float] = field(default_factory=dict)

    @property
    def waited(self) -> timedelta:
        """Time since the first look."""
        return timedelta(seconds=time.monotonic() - self._began)

    @property
    def left(self) -> float:
        """Seconds until it is time to give up."""
        return (self.policy.give_up_after - self.waited).total_seconds()

    @property
    def is_over(self) -> bool:
        """Whether it is time to give up."""
        return self.left <= 0

    def begin(self) -> None:
        """Count the time from now on."""
        self._began = time.monotonic()

    def pause(self) -> float:
        """Seconds to pause after so many failed tries: doubled each time, with jitter."""
        if not self.tries:
            return 0.0
        longest = min(_FIRST_PAUSE * 2 ** min(self.tries - 1, 10), _LAST_PAUSE)
        return max(0.0, min(random.uniform(longest / 2, longest), self.left))  # noqa: S311 - no secret

    def learn(self, watch: Watch) -> None:
        """Take over what a failed try cost, and which rows it waited for."""
        self.cost += watch.cost
        self.rows, self.row_blockers, self.row_xids = watch.rows, watch.row_blockers, watch.row_xids

    def age(self, holder: Holder) -> timedelta:
        """A transaction's age. Where our role may not see it, it is as old as we have been looking at it.

        Whoever was there at the first look already counts as old.
        """
        if holder.age_ms is not None:
            return timedelta(milliseconds=holder.age_ms)
        now = time.monotonic()
        began = now if self.has_looked else now - 2 * self.policy.old_after.total_seconds()
        return timedelta(seconds=now - self._first_seen.setdefault(holder.transaction, began))


def until_clear(observer: Observer, wanted: Sequence[Wanted], patience: Patience) -> list[Wanted]:
    """Wait until nobody old holds the tables; nobody waits for us meanwhile.

    After a failed try it waits somewhat longer for a moment in which nobody holds them at all. And where
    transactions of some length come one after the other, so that somebody old is always there, it waits
    until none of them is left that was there when it began to look: then it is worth a try.

    Args:
        observer: Looks; no lock is taken.
        wanted: The tables, and the lock of each.
        patience: Ends the wait.

    Returns:
        Those that an autovacuum worker is at: it yields when it is asked long enough.

    Raises:
        LockTimeoutError: The wait can't end (a prepared transaction, a VACUUM against wraparound),
            or patience is over; the text is the report.
    """
    began, calm, told = time.monotonic(), timedelta(seconds=patience.pause()), set[str]()
    look = _FIRST_LOOK
    while True:
        found = _in_the_way(observer, wanted, patience)
        vacuumed = [want for want, holder in found if want is not None and _yields(holder)]
        others = [holder for _, holder in found if not _yields(holder)]
        old = [holder for holder in others if patience.age(holder) > patience.policy.old_after]
        patience.has_looked = True
        _refuse_endless(wanted, patience, old)
        elapsed = timedelta(seconds=time.monotonic() - began)
        if not old and (not others or elapsed >= calm or patience.is_over):
            return vacuumed
        if old and elapsed > _BUSY and all(patience.age(holder) < elapsed for holder in old):
            return vacuumed
        patience.blockers = old or patience.blockers
        if patience.is_over:
            raise gave_up(wanted, patience)
        _tell(old, told)
        time.sleep(min(look, max(0.0, patience.left)))
        look = min(look * 1.2, _LAST_LOOK)


def gave_up(wanted: Sequence[Wanted], patience: Patience) -> LockTimeoutError:
    """Make the report of this patience's end."""
    return report.gave_up(
        what=what(wanted, patience.rows),
        blockers=patience.blockers,
        tries=patience.tries,
        waited=patience.waited,
        cost=patience.cost,
        policy=patience.policy,
    )


def what(wanted: Sequence[object], rows: set[str]) -> str:
    """Name the locks: of the tables, and the rows."""
    return " and ".join([*map(str, wanted), *sorted(rows)]) or "a lock"


def _in_the_way(
    observer: Observer, wanted: Sequence[Wanted], patience: Patience
) -> list[tuple[Wanted | None, Holder]]:
    def look(connection: Connection) -> list[tuple[Wanted | None, Holder]]:
        rows = locks.sessions(connection, sorted(patience.row_blockers), sorted(patience.row_xids))
        return [
            *(
                (want, holder)
                for want in wanted
                for holder in locks.holders(connection, want.oids, want.mode, ours=observer.pid)
            ),
            *((None, holder) for holder in rows),
        ]

    return observer.ask(look)


def _yields(holder: Holder) -> bool:
    return holder.is_autovacuum and not holder.is_wraparound


def _refuse_endless(wanted: Sequence[Wanted], patience: Patience, old: Sequence[Holder]) -> None:
    """Refuse to wait for what won't end; a two-phase commit on its way and a short VACUUM do."""
    for holder in old:
        if (holder.prepared is not None or holder.is_wraparound) and patience.age(holder) > _FORGOTTEN:
            raise report.endless(what=what(wanted, patience.rows), blocker=holder, tries=patience.tries)


def _tell(old: Sequence[Holder], told: set[str]) -> None:
    for holder in old:
        if holder.transaction not in told:
            told.add(holder.transaction)
            logging.getLogger(__name__).info("waiting for %s", report.described(holder))
