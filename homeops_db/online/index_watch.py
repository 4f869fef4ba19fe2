"""Watches an index build from the second connection: shows how far it is, and ends a wait without end.

CREATE INDEX CONCURRENTLY waits for every transaction that is older than its steps. That hurts nobody;
but a forgotten transaction would make a revision wait for ever, so it is broken off like any other wait.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import Connection

from homeops_db.catalog import locks, progress
from homeops_db.catalog.locks import Holder, Waiting
from homeops_db.catalog.progress import Build
from homeops_db.history.target import Show
from homeops_db.locking.observer import Observer
from homeops_db.locking.watch import Cost
from homeops_db.online.work import Work

INTERVAL: Final = 0.2
"""Seconds between two looks."""

# Where a phase begins, and how much of the whole is counted in it: of a btree's build on three million
# rows, measured. Sorting isn't counted (what stands there is the phase before's).
_PHASES: Final = {
    "building index: scanning table": (0.0, 0.20),
    "building index: sorting live tuples": (0.20, 0.0),
    "building index: sorting dead tuples": (0.28, 0.0),
    "building index: loading tuples in tree": (0.28, 0.35),
    "building index": (0.0, 0.63),
    "waiting for writers before validation": (0.63, 0.0),
    "index validation: scanning index": (0.63, 0.17),
    "index validation: sorting tuples": (0.80, 0.0),
    "index validation: scanning table": (0.83, 0.17),
    "waiting for old snapshots": (1.0, 0.0),
    "waiting for readers before marking dead": (1.0, 0.0),
    "waiting for readers before dropping": (1.0, 0.0),
}


@dataclass
class Watch:
    """One long statement as the watching thread sees it.

    Attributes:
        gave_up: Whether it waited too long, and was cancelled.
        phase: What it was doing when it was looked at last.
        blockers: Whom it waited for when it was given up.
    """

    observer: Observer
    give_up_after: timedelta
    show: Callable[[Build], None]
    gave_up: bool = False
    phase: str = ""
    blockers: list[Holder] = field(default_factory=list)
    waited: timedelta = timedelta(0)
    _began: float = field(default_factory=time.monotonic)
    _since: float | None = None
    _pids: set[int] = field(default_factory=set)
    _xids: set[str] = field(default_factory=set)
    _victims: dict[tuple[int, str], float] = field(default_factory=dict)
    _armed: bool = False
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def cost(self) -> Cost:
        """Who waited behind the statement; waits shorter than two looks may be missed."""
        return Cost(len({pid for pid, _ in self._victims}), sum(self._victims.values()))

    def run(self) -> None:
        """Look until the statement has ended."""
        while not self._ended.wait(INTERVAL):
            try:
                with self._looking:
                    self._look()
            except (psycopg.Error, OSError) as error:
                logging.getLogger(__name__).warning(
                    "the watching connection failed (%s): the build goes on unwatched", str(error).strip()
                )
                return

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let the statement be broken off inside the block, and not what follows it."""
        with self._looking:
            self._armed = True
        try:
            yield
        finally:
            with self._looking:  # a cancel that is on its way has arrived
                self._armed = False

    def end(self) -> None:
        """Let the thread end."""
        self._ended.set()

    def _look(self) -> None:
        def ask(connection: Connection) -> tuple[Build | None, list[Waiting]]:
            pid = self.observer.pid
            return progress.build(connection, pid), locks.waiting(connection, pid)

        build, requests = self.observer.ask(ask)
        asked = next((found for found in requests if found.is_ours), None)
        self._count(requests)
        if build is not None:
            self.phase = build.phase
            self.show(build)
        # Between two transactions that it waits for, the phase alone tells that it still waits.
        if asked is None and not (build is not None and build.phase.startswith("waiting")):
            self._since = None
            return
        if self._since is None:
            self._since, self._pids, self._xids = time.monotonic(), set(), set()
        self._wait(asked)

    def _count(self, requests: list[Waiting]) -> None:
        longest = (time.monotonic() - self._began) * 1000
        for found in requests:
            if not found.is_ours and found.since:
                self._victims[found.pid, found.since] = min(found.waited_ms, longest)

    def _wait(self, asked: Waiting | None) -> None:
        assert self._since is not None
        if asked is not None:
            self._pids, self._xids = set(asked.blocked_by), {asked.xid}
        self.waited = timedelta(seconds=time.monotonic() - self._since)
        if self._armed and self.waited > self.give_up_after and not self.gave_up:
            pids, xids = sorted(self._pids), sorted(self._xids)
            self.blockers = self.observer.ask(lambda connection: locks.sessions(connection, pids, xids))
            self.gave_up = self.observer.ask(
                lambda connection: locks.cancel_waiting(connection, self.observer.pid)
            )


@contextmanager
def watching(
    work: Work, show: Callable[[Build], None], *, give_up_after: timedelta | None = None
) -> Iterator[Watch]:
    """Watch one statement for the block; when it ends, so does everything that the watch might still do."""
    watch = Watch(work.observer, give_up_after or work.policy.give_up_after, show)
    thread = threading.Thread(target=watch.run, name="index-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        work.cost += watch.cost


def told(show: Show, subject: str, start: float = 0.0, width: float = 1.0) -> Callable[[Build], None]:
    """Make what tells a display of one build, which is a part of the work between ``start`` and more."""

    def tell(build: Build) -> None:
        show(f"index {subject}: {build.phase}", start + width * fraction(build))

    return tell


def fraction(build: Build) -> float:
    """Estimate how much of a whole build is done, 0 to 1."""
    begin, part = _PHASES.get(build.phase) or _PHASES.get(build.phase.split(":")[0]) or (0.0, 0.0)
    return begin + part * build.share
