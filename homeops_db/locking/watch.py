"""Counts who waits behind us and how long, and breaks our own try off when it costs too much."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import psycopg

from homeops_db.catalog import locks
from homeops_db.catalog.locks import Waiting
from homeops_db.locking.observer import Observer
from homeops_db.locking.policy import Policy

INTERVAL: Final = 0.01
"""Seconds between two looks. A wait is known up to this much too short."""


@dataclass(frozen=True)
class Cost:
    """What taking a lock cost others: how many sessions waited behind us, and how long in all."""

    victims: int = 0
    victim_ms: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.victims + other.victims, self.victim_ms + other.victim_ms)


@dataclass
class Watch:
    """One try as the watching thread sees it."""

    observer: Observer
    policy: Policy
    broken_off: bool = False
    blockers: set[int] = field(default_factory=set)
    row_blockers: set[int] = field(default_factory=set)
    wanted: dict[int, Waiting] = field(default_factory=dict)
    _waits: dict[tuple[int, str], float] = field(default_factory=dict)
    _paused: bool = False
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def cost(self) -> Cost:
        """What the try cost so far."""
        return Cost(len(self._waits), sum(self._waits.values()))

    def run(self) -> None:
        """Look until the try has ended."""
        while not self._ended.wait(INTERVAL):
            try:
                with self._looking:
                    if not self._paused:
                        self._look()
            except psycopg.Error as error:
                logging.getLogger(__name__).warning(
                    "the watching connection failed (%s): this try goes on unwatched", str(error).strip()
                )
                return

    def pause(self, pause: bool) -> None:
        """Look away, or look again. When it returns, nothing that was seen before is acted upon any more."""
        with self._looking:
            self._paused = pause

    def end(self) -> None:
        """Let the thread end."""
        self._ended.set()

    def _look(self) -> None:
        asked = None
        for found in locks.waiting(self.observer.connection, self.observer.pid):
            if found.is_ours:
                asked = found
                self.blockers.update(found.blocked_by)
                if found.locktype == "relation":
                    self.wanted[found.relation] = found
                else:
                    self.row_blockers.update(found.blocked_by)
            else:
                key = (found.pid, found.since)
                self._waits[key] = max(found.waited_ms, self._waits.get(key, 0.0))
        # Only a try that still waits is broken off: once it has the lock, it is faster to let it finish.
        if asked is not None and not self.broken_off and self._too_dear():
            self.broken_off = True
            locks.cancel(self.observer.connection, self.observer.pid)

    def _too_dear(self) -> bool:
        cost = self.cost
        return cost.victims > self.policy.max_victims or cost.victim_ms > self.policy.max_victim_ms


_watch: ContextVar[Watch | None] = ContextVar("homeops_lock_watch", default=None)


@contextmanager
def watching(observer: Observer, policy: Policy) -> Iterator[Watch]:
    """Watch one try for the block; when it ends, so does everything that the watch might still do."""
    watch = Watch(observer, policy)
    thread = threading.Thread(target=watch.run, name="lock-watch", daemon=True)
    token = _watch.set(watch)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        _watch.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """Let the watch of the enclosing try, if there is one, look away: an operation inside has its own."""
    outer = _watch.get()
    if outer is None:
        yield
        return
    outer.pause(True)
    try:
        yield
    finally:
        outer.pause(False)
