"""Counts who waits behind us and how long, and breaks our own try off when it costs too much."""

import logging
import threading
import time
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

_SHARE: Final = 2
"""Before the next look passes so many times as long as the last one took: a crowded lock table is spared."""


@dataclass(frozen=True)
class Cost:
    """What taking a lock cost others: how many sessions waited behind us, and how long in all.

    A session that waited behind two tries counts twice.
    """

    victims: int = 0
    victim_ms: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.victims + other.victims, self.victim_ms + other.victim_ms)


@dataclass
class Watch:
    """One try as the watching thread sees it.

    Attributes:
        broken_off: Whether it cost too much, and our statement was cancelled.
        blockers: Pids that it waited for; a prepared transaction's is 0.
        wanted: The relations that it waited for, by oid.
        rows: What else it waited for: rows of which table, or the kind of lock.
        row_blockers: The pids that it waited for there.
        row_xids: The transactions that it waited for there.
    """

    observer: Observer
    policy: Policy
    broken_off: bool = False
    blockers: set[int] = field(default_factory=set)
    wanted: dict[int, Waiting] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    row_blockers: set[int] = field(default_factory=set)
    row_xids: set[str] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)
    _waits: dict[tuple[int, str], float] = field(default_factory=dict)
    _armed: bool = False
    _paused: bool = False
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def cost(self) -> Cost:
        """What the try cost so far."""
        return Cost(len({pid for pid, _ in self._waits}), sum(self._waits.values()))

    def run(self) -> None:
        """Look until the try has ended."""
        pause = INTERVAL
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                with self._looking:
                    if not self._paused:
                        self._look()
            except psycopg.Error as error:
                logging.getLogger(__name__).warning(
                    "the watching connection failed (%s): this try goes on unwatched", str(error).strip()
                )
                return
            pause = max(INTERVAL, _SHARE * (time.monotonic() - began))

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let the try be broken off inside the block, and nowhere else.

        A cancel that met its COMMIT or ROLLBACK would leave the connection in a failed transaction.
        """
        with self._looking:
            self._armed = True
        try:
            yield
        finally:
            with self._looking:  # a cancel that is on its way has arrived
                self._armed = False

    def pause(self, pause: bool) -> None:
        """Look away, or look again. When it returns, nothing that was seen before is acted upon any more."""
        with self._looking:
            self._paused = pause

    def end(self) -> None:
        """Let the thread end."""
        self._ended.set()

    def _look(self) -> None:
        asked = None
        for found in self.observer.ask(lambda connection: locks.waiting(connection, self.observer.pid)):
            if found.is_ours:
                asked = found
                self._note(found)
            elif found.since:
                # A victim's victim may have waited for it before we came.
                waited = min(found.waited_ms, (time.monotonic() - self._began) * 1000)
                key = (found.pid, found.since)
                self._waits[key] = max(waited, self._waits.get(key, 0.0))
        # Only a try that still waits is broken off: once it has the lock, it is faster to let it finish.
        # While it waits for older snapshots (virtualxid: an index build), nobody is held up by its waiting.
        if asked is not None and asked.locktype != "virtualxid" and self._armed and self._too_dear():
            self.broken_off |= self.observer.ask(
                lambda connection: locks.cancel_waiting(connection, self.observer.pid)
            )

    def _note(self, asked: Waiting) -> None:
        self.blockers.update(asked.blocked_by)
        if asked.locktype == "relation":
            self.wanted[asked.relation] = asked
        else:
            self.rows.add(_in_words(asked))
            self.row_blockers.update(asked.blocked_by)
            self.row_xids.add(asked.xid)

    def _too_dear(self) -> bool:
        cost = self.cost
        return cost.victims > self.policy.max_victims or cost.victim_ms > self.policy.max_victim_ms


def _in_words(asked: Waiting) -> str:
    if asked.locktype not in {"transactionid", "tuple"}:
        return f"a lock of kind {asked.locktype}"
    return "rows" if asked.object == asked.locktype else f"rows of {asked.object}"


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
