"""Looks who holds the tables, and waits for old transactions instead of queueing behind them.

A waiting request for a strong lock makes everybody who comes later wait behind it. Reading pg_locks
makes nobody wait: so whoever will not be gone within one short try is waited for by looking.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from homeops_db.catalog import locks
from homeops_db.catalog.locks import Holder
from homeops_db.locking import report
from homeops_db.locking.observer import Observer
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost

_FIRST_PAUSE: Final = 0.02  # seconds
_LAST_PAUSE: Final = 0.1  # the lock is to be taken within 200 ms of its release


@dataclass
class Patience:
    """How long all tries together may take, and what has been tried.

    ``row_blockers`` are the pids that a try waited for because of a row, not of a table.
    """

    policy: Policy
    tries: int = 0
    cost: Cost = field(default_factory=Cost)
    blockers: list[Holder] = field(default_factory=list)
    row_blockers: set[int] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)

    @property
    def waited(self) -> timedelta:
        """Time since the first look."""
        return timedelta(seconds=time.monotonic() - self._began)

    @property
    def is_over(self) -> bool:
        """Whether it is time to give up."""
        return self.waited > self.policy.give_up_after


def until_clear(observer: Observer, wanted: Sequence[Wanted], patience: Patience) -> list[Holder]:
    """Wait until nobody old holds the tables; nobody waits for us meanwhile.

    Args:
        observer: Looks; no lock is taken.
        wanted: The tables, and the lock of each.
        patience: Ends the wait.

    Returns:
        The autovacuum workers in the way: they yield when they are asked long enough.

    Raises:
        LockTimeoutError: The wait can't end (a prepared transaction, a VACUUM against wraparound),
            or patience is over; the text is the report.
    """
    first_seen: dict[tuple[int, str], float] = {}
    told: set[int] = set()
    pause = _FIRST_PAUSE
    while True:
        found = [holder for want in wanted for holder in _holders(observer, want)]
        found += locks.sessions(observer.connection, sorted(patience.row_blockers))
        for holder in found:
            if holder.prepared is not None or holder.is_wraparound:
                raise report.endless(lock=_lock(wanted), tables=_tables(wanted), blocker=holder)
        old = [h for h in found if not h.is_autovacuum and _age(h, first_seen) > patience.policy.old_after]
        if not old:
            return [holder for holder in found if holder.is_autovacuum]
        patience.blockers = old
        if patience.is_over:
            raise gave_up(wanted, patience)
        _tell(old, told)
        time.sleep(pause)
        pause = min(pause * 1.2, _LAST_PAUSE)


def gave_up(wanted: Sequence[Wanted], patience: Patience) -> Exception:
    """Make the report of this patience's end."""
    return report.gave_up(
        lock=_lock(wanted),
        tables=_tables(wanted),
        blockers=patience.blockers,
        tries=patience.tries,
        waited=patience.waited,
        cost=patience.cost,
        policy=patience.policy,
    )


def _holders(observer: Observer, want: Wanted) -> list[Holder]:
    return locks.holders(observer.connection, want.oids, want.mode, ours=observer.pid)


def _age(holder: Holder, first_seen: dict[tuple[int, str], float]) -> timedelta:
    """A transaction's age; what our role may not see is as old as we have been looking at it."""
    if holder.age_ms is not None:
        return timedelta(milliseconds=holder.age_ms)
    now = time.monotonic()
    return timedelta(seconds=now - first_seen.setdefault((holder.pid, holder.object), now))


def _tell(old: Sequence[Holder], told: set[int]) -> None:
    for holder in old:
        if holder.pid not in told:
            told.add(holder.pid)
            logging.getLogger(__name__).info("waiting for %s", report.described(holder))


def _lock(wanted: Sequence[Wanted]) -> str:
    return " and ".join(dict.fromkeys(want.mode for want in wanted)) or "a lock"


def _tables(wanted: Sequence[Wanted]) -> list[str]:
    return [str(want.table) for want in wanted] or ["rows that the revision changes"]
