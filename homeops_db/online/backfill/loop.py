"""The control loop: watches the workers, the server and the operator, and tells each what the others do."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, TypeVar

import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable

from homeops_db.errors import LockTimeoutError, OnlineError
from homeops_db.history import backfills
from homeops_db.history.backfills import Told
from homeops_db.history.target import WAITS, Show
from homeops_db.locking import pace as pacing
from homeops_db.locking.amounts import between, count
from homeops_db.locking.pace import Pace
from homeops_db.online.backfill import ending
from homeops_db.online.backfill.governor import Governor
from homeops_db.online.backfill.keeper import LOCK_TIMEOUT, Keeper
from homeops_db.online.backfill.meter import Meter
from homeops_db.online.backfill.plan import described
from homeops_db.online.backfill.ranges import Range
from homeops_db.online.backfill.worker import Shared, Worker

T = TypeVar("T")

BEAT: Final = 1.0
"""Seconds between two looks at the server and the operator; also the shortest wait."""

_GLANCE: Final = 0.2


@dataclass
class Loop:
    """Runs workers over ranges until all are done.

    Attributes:
        shared: What the workers have in common.
        keeper: The connection that holds the claim.
        governor: Asks the server whether there is a reason to wait.
        show: Shows the progress: stage, share done, and how it goes.
        assert_ours: Raises when the migration lock is lost.
        between: Is called now and then while no worker need wait; may hold them.
        phase: What is being done, in a word.
        estimated: Rows to do, about.
        waits: Seconds that were waited, by reason.
    """

    shared: Shared
    keeper: Keeper
    governor: Governor
    show: Show
    assert_ours: Callable[[], None]
    between: Callable[[], None]
    estimated: int | None = None
    phase: str = "filling"
    meter: Meter = field(default_factory=Meter)
    waits: dict[str, float] = field(default_factory=dict)
    _held_by: str = ""
    _since: float | None = None
    _told: set[str] = field(default_factory=set)
    _last_beat: float = 0.0

    def run(self, ranges: Sequence[Range], workers: int) -> None:
        """Do all ranges; raises what ended it before.

        Ctrl-C lets the batches in hand end.
        """
        control = self.shared.control
        control.give([one for one in ranges if not one.is_done])
        self.meter = Meter()
        self._look_first()
        threads = [
            threading.Thread(target=Worker(number, self.shared).run, name=f"backfill-{number}", daemon=True)
            for number in range(min(workers, max(1, len(ranges))))
        ]
        control.begin(len(threads))
        for thread in threads:
            thread.start()
        try:
            while control.is_busy:
                control.wait(_GLANCE)
                self._step(ranges)
        except BaseException as error:
            control.stop(error)
            raise
        finally:
            for thread in threads:
                thread.join()
        if control.failure is not None:
            raise control.failure
        self._listen()  # its commit waits for the disk: no crash takes back what was done until now

    def _look_first(self) -> None:
        """Look before anybody begins: who is late already isn't made later, and a paused one waits."""
        self._listen()
        self._hold(0.0)
        for unseen in self.governor.unseen:
            if unseen not in self._told:
                self._told.add(unseen)
                logging.getLogger(__name__).warning("backfill %s: %s", self.shared.job.subject, unseen)

    def _step(self, ranges: Sequence[Range]) -> None:
        if time.monotonic() - self._last_beat < BEAT or self.shared.control.is_stopped:
            return
        passed = time.monotonic() - self._last_beat if self._last_beat else 0.0
        self._last_beat = time.monotonic()
        done = sum(one.rows_done for one in ranges)
        share = sum(one.share(one.position) for one in ranges) / max(1, len(ranges))
        self.meter.look(self.shared.control.rows, share)
        self._listen()
        self._hold(passed)
        self.show(self.phase, share, self.note(done))
        if self.shared.control.waits_for is None:
            self.between()

    def aside(self, work: Callable[[Connection], T]) -> T:
        """Do something long on a connection of its own, and go on listening meanwhile.

        While somebody locks a table, it is tried again.

        Raises:
            OnlineError: The operator has cancelled the backfill: so is what was being done.
        """
        began = time.monotonic()
        while True:
            try:
                return self._aside(work)
            except LockNotAvailable:
                if time.monotonic() - began > self.keeper.patience.total_seconds():
                    raise

    def _aside(self, work: Callable[[Connection], T]) -> T:
        connection = self.shared.sessions.open(lock_timeout=LOCK_TIMEOUT)
        with connection, ThreadPoolExecutor(1, "backfill-aside") as executor:
            future = executor.submit(work, connection)
            try:
                while not wait([future], timeout=_GLANCE).done:
                    self._breathe()
                    ending.refuse_cancelled(self.shared)
            except BaseException:
                connection.cancel()
                raise
            return future.result()

    def _breathe(self) -> None:
        if time.monotonic() - self._last_beat >= BEAT:
            self._last_beat = time.monotonic()
            self._listen()

    def enter(self, phase: str) -> None:
        """Begin something else."""
        self.phase = phase
        self.beat()
        self.show(phase, 0.0, "")

    def wait_for(self, reason: str) -> bool:
        """Show what is waited for outside of the batches; False when it shall be waited no longer."""
        if time.monotonic() - self._last_beat >= BEAT:
            self._last_beat = time.monotonic()
            self.shared.control.hold = reason
            self._listen()
            self.shared.control.hold = None
            self.show(self.phase, 0.0, f"{WAITS}{reason}")
        return not self.shared.control.is_stopped

    def beat(self) -> Told | None:
        """Show the state to other terminals, and read what they tell."""
        self.assert_ours()
        left = self.meter.left()
        return self.keeper.ask(
            lambda connection: backfills.beat(
                connection,
                self.shared.backfill_id,
                self.shared.epoch,
                phase=self.phase,
                waiting_for=self.shared.control.waits_for,
                plan=described(list(self.shared.plans.values())),
                estimated_rows=self.estimated,
                rows_per_second=self.meter.rows_per_second,
                seconds_left_low=left and left[0],
                seconds_left_high=left and left[1],
            )
        )

    def note(self, done: int) -> str:
        """Say how it goes, in one line."""
        reason = self.shared.control.waits_for
        if reason is not None:
            return f"{WAITS}{reason}"
        of = f" of about {count(self.estimated)}" if self.estimated else ""
        words = [f"{count(done)}{of} rows"]
        if self.meter.rows_per_second is not None:
            words.append(f"{count(self.meter.rows_per_second)} rows/s")
        left = self.meter.left()
        if left is not None:
            words.append(f"{between(*left)} left")
        return ", ".join(words)

    def _listen(self) -> None:
        """Show the state, and do what the operator says."""
        control = self.shared.control
        before = control.pauses
        told = self.beat()
        if told is None:
            raise OnlineError(
                f"Another run has taken backfill {self.shared.backfill_id} over. What was committed stays. "
                "Look at it: homeops-db backfill list"
            )
        if told.state == backfills.CANCELLED:
            control.stop()
        control.pace = pacing.changed(control.pace, told.pace)
        control.heard(is_paused=told.state == backfills.PAUSED, before=before)

    def _hold(self, passed: float) -> None:
        """Let the workers wait, or go on: coarsely, for short naps were measured to hurt the traffic."""
        control = self.shared.control
        if self._held_by:
            self.waits[self._held_by] = self.waits.get(self._held_by, 0.0) + passed
        signal, reason = ("paused", "paused") if control.is_paused else self._ask(control.pace)
        self._held_by = signal
        if control.is_paused:
            self._since = None
            return
        control.set_hold(reason)
        if reason is None:
            self._since = None
        else:
            self._since = self._since or time.monotonic()
            self._give_up(reason, time.monotonic() - self._since)

    def _give_up(self, reason: str, waited: float) -> None:
        if waited > self.shared.control.pace.give_up_after.total_seconds():
            raise LockTimeoutError(
                f"Gave up after waiting {waited:.0f} s: {reason}. What was done stays, and a re-run goes on "
                "from there. Mend the cause, or raise the limit (homeops-db backfill retune, online.pace()), "
                "then run the same command again."
            )

    def _ask(self, pace: Pace) -> tuple[str, str | None]:
        try:
            reason = self.governor.look(pace)
        except psycopg.OperationalError as error:  # the server restarts: the workers find out themselves
            return "server", f"the server can't be asked ({str(error).strip().splitlines()[0]})"
        return ("", None) if reason is None else (reason.signal, reason.text)
