"""What the control loop tells the workers, and what they tell it: one lock, no queues."""

import threading
from collections import deque
from dataclasses import dataclass, field

from homeops_db.locking.pace import Pace
from homeops_db.online.backfill.ranges import Range


class Stopped(Exception):  # noqa: N818 - no error: a worker is told to end
    """A worker ends after the batch in hand."""


@dataclass
class Control:
    """Shared by the control loop and the workers.

    Attributes:
        pace: The limits in force.
        hold: Why nobody may begin a batch now, in words; None to go on.
        is_paused: Whether an operator wants nobody to begin one.
        failure: What ended the run, if something did.
        rows: Rows done by this run.
        batches: Batches done by it.
        pids: The workers' backends.
    """

    pace: Pace
    hold: str | None = None
    is_paused: bool = False
    failure: BaseException | None = None
    rows: int = 0
    batches: int = 0
    pids: dict[int, int] = field(default_factory=dict)
    _busy: int = 0
    _pauses: int = 0
    _stopped: bool = False
    _waiting: deque[Range] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def give(self, ranges: list[Range]) -> None:
        """Lay ranges out for the workers."""
        with self._changed:
            self._waiting.extend(ranges)

    def take(self) -> Range | None:
        """Take the next range; None when there is none left."""
        with self._changed:
            return self._waiting.popleft() if self._waiting and not self._stopped else None

    def gate(self) -> None:
        """Wait while there is a reason to.

        Raises:
            Stopped: The run ends.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not (self.hold or self.is_paused))
            if self._stopped:
                raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait before another try.

        Raises:
            Stopped: The run ends.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, timeout=seconds):
                raise Stopped

    @property
    def waits_for(self) -> str | None:
        """Why nobody begins a batch, in words; None when they do."""
        return "paused" if self.is_paused else self.hold

    def pause_all(self) -> None:
        """Let the workers wait until an operator lets them go on: one of them has read so with its batch."""
        with self._changed:
            self.is_paused = True
            self._pauses += 1

    def heard(self, *, is_paused: bool, before: int) -> None:
        """Take in what the operator's word was when `pauses` was ``before``; a worker may know better."""
        with self._changed:
            if is_paused or self._pauses == before:
                self.is_paused = is_paused
                self._changed.notify_all()

    @property
    def pauses(self) -> int:
        """How often a worker has read that it shall wait."""
        return self._pauses

    def set_hold(self, reason: str | None) -> None:
        """Let the workers wait for this reason, or go on."""
        with self._changed:
            self.hold = reason
            self._changed.notify_all()

    def count(self, rows: int) -> None:
        """Count a batch."""
        with self._changed:
            self.rows += rows
            self.batches += 1

    def stop(self, failure: BaseException | None = None) -> None:
        """Let every worker end after its batch; the first failure is kept."""
        with self._changed:
            self.failure = self.failure or failure
            self._stopped = True
            self._changed.notify_all()

    @property
    def is_stopped(self) -> bool:
        """Whether the run ends."""
        return self._stopped

    def wait(self, seconds: float) -> None:
        """Let the control loop sleep until something happens, or so long; not at all when nobody is left."""
        with self._changed:
            if self._busy:
                self._changed.wait(timeout=seconds)

    def begin(self, workers: int) -> None:
        """Count the workers that are about to begin."""
        with self._changed:
            self._busy += workers

    def end(self) -> None:
        """Count one that has ended, and wake the control loop."""
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    @property
    def is_busy(self) -> bool:
        """Whether a worker is left."""
        return self._busy > 0
