"""One worker: takes ranges, does them batch by batch, and gets over whatever goes wrong with one."""

import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure, UndefinedTable

from homeops_db import faults
from homeops_db.catalog import heap
from homeops_db.errors import LockError, OnlineError
from homeops_db.history import backfills
from homeops_db.locking.policy import Policy
from homeops_db.online.backfill import axis as axes
from homeops_db.online.backfill import batch, ranges
from homeops_db.online.backfill.axis import Place
from homeops_db.online.backfill.batch import Outcome
from homeops_db.online.backfill.control import Control, Stopped
from homeops_db.online.backfill.job import Job, relation
from homeops_db.online.backfill.plan import Plan
from homeops_db.online.backfill.ranges import Range
from homeops_db.online.backfill.session import Sessions
from homeops_db.online.backfill.size import Shape, Size

_CONTENDED: Final = (LockNotAvailable, DeadlockDetected, SerializationFailure)
_DATA: Final = ("22", "23", "P0", "44", "38", "39", "27", "09")
"""Classes of SQLSTATE that a row itself brings about: a value, a constraint, a trigger's own exception."""

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0  # seconds


class RowFailed(Exception):  # noqa: N818 - carries what is to be said
    """A row can't be done, and no more may be passed over."""

    def __init__(self, name: str, error: psycopg.Error) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


@dataclass
class Shared:
    """What all workers of a run have in common."""

    job: Job
    backfill_id: int
    epoch: int
    plans: dict[int, Plan]
    control: Control
    sessions: Sessions
    policy: Policy


@dataclass
class Worker:
    """One worker.

    ``_piece`` is how many rows the next batch looks at where something in the window fails: it is halved
    until the row itself is found, and doubled again behind it.
    """

    number: int
    shared: Shared
    _connection: Connection | None = None
    _sizes: dict[int, Size] = field(default_factory=dict)
    _piece: int | None = None
    _tries: int = 0
    _since: float | None = None
    _hot_seen: int = 0
    _shape: Shape = field(default_factory=lambda: Shape(1))
    _window: tuple[int, int] = (0, 0)  # rows, and those of them that stayed on their page

    def run(self) -> None:
        """Work until there is nothing left, or the run ends. What goes wrong is told to the control."""
        control = self.shared.control
        try:
            self._connect()
            while (range_ := control.take()) is not None:
                self._go_through(range_)
        except Stopped:
            pass
        except BaseException as error:  # a thread has nobody else to tell
            control.stop(error)
        finally:
            control.pids.pop(self.number, None)
            if self._connection is not None:
                self._connection.close()
            control.end()

    def _go_through(self, range_: Range) -> None:
        self._calm()
        # Nobody knows how much is left of a window that a run before has begun: it is done in pieces.
        self._shape = Shape(range_.position.stripes, span=2)
        while not range_.is_done:
            self.shared.control.gate()
            upto: Place | None = None
            try:
                if not range_.position.is_open:
                    self._open_window(range_)
                upto = self._piece_end(range_)
                self._do(range_, upto)
            except _CONTENDED as error:
                self._hold_back(range_, error)
            except UndefinedTable as error:
                self._leave(range_, error)
            except psycopg.Error as error:
                self._overcome(range_, upto, error)

    def _open_window(self, range_: Range) -> None:
        """Choose the next window: so many rows that each of its stripes takes as long as it shall."""
        plan = self.shared.plans[range_.table.oid]
        size = self._size(range_)
        shape = Shape(1) if range_.is_closing else plan.stripes.now()
        rows = size.next(self.shared.control.pace) * shape.stripes * shape.span
        low = range_.position.low
        if range_.axis.is_ctid:
            assert low is not None
            wanted = axes.block_of(low) + max(1, round(rows / plan.rows_per_block))
            high: Place = axes.page(min(wanted, axes.block_of(range_.high)))
        else:
            where = range_.axis.between(low, range_.high)
            name = relation(range_.table)
            high = range_.axis.nth(self._db, name, where, rows) or range_.high
        self._shape, self._window = shape, (0, 0)
        range_.position = range_.position.opened(high, shape.stripes)

    def _do(self, range_: Range, upto: Place | None) -> None:
        job, control = self.shared.job, self.shared.control
        faults.point(f"{job.operation}: batch: before")
        outcome = batch.run(self._db, job, range_, self.shared.epoch, upto)
        faults.point(f"{job.operation}: batch: done")
        if outcome is None:  # a batch that outlived its connection has come before, or another run
            self._reload(range_)
            return
        control.count(outcome.rows)
        self._learn(range_, outcome, window_ended=not range_.position.is_open)
        self._calm()
        if outcome.state == backfills.PAUSED:
            control.pause_all()
        elif outcome.state == backfills.CANCELLED:
            control.stop()

    def _learn(self, range_: Range, outcome: Outcome, *, window_ended: bool) -> None:
        plan, size = self.shared.plans[range_.table.oid], self._size(range_)
        hot = outcome.hot - self._hot_seen if outcome.hot >= self._hot_seen else outcome.hot
        self._hot_seen = outcome.hot
        rows, stayed = self._window
        self._window = (rows + outcome.rows, stayed + hot)
        if self._piece is None:
            size.learn(outcome.seconds, size.rows, outcome.rows)
        elif self._piece * 2 > size.rows:
            self._piece = None
        else:
            self._piece *= 2
        if window_ended:
            plan.stripes.learn(self._shape, *self._window)

    def _piece_end(self, range_: Range) -> Place | None:
        """Choose where the next batch ends; None for the window's end."""
        size = self._size(range_)
        if self._piece is None and self._shape.span == 1:
            return None
        if self._piece is None and size.has_learnt:
            size.next(self.shared.control.pace)
        if self._piece is None and range_.axis.is_ctid:
            return self._page_end(range_, size.rows)
        where = batch.condition(range_, None)
        return range_.axis.nth(self._db, relation(range_.table), where, self._piece or size.rows)

    def _page_end(self, range_: Range, rows: int) -> Place:
        """Choose the page behind which a batch of a wide window ends."""
        at, plan = range_.position, self.shared.plans[range_.table.oid]
        assert at.begin is not None
        assert at.high is not None
        wanted = max(1, round(rows * at.stripes / plan.rows_per_block))
        return axes.page(min(axes.block_of(at.begin) + wanted, axes.block_of(at.high)))

    # What goes wrong ----------------------------------------------------------------------------------

    def _hold_back(self, range_: Range, error: psycopg.Error) -> None:
        """Somebody has a row: wait a little, and take fewer at once, so that fewer are held meanwhile."""
        self._be_patient(error)
        if self._tries > 1:
            self._piece = max(1, (self._piece or self._size(range_).rows) // 2)
        self.shared.control.pause(self._pause())

    def _overcome(self, range_: Range, upto: Place | None, error: psycopg.Error) -> None:
        if self._db.closed:
            self._reconnect(range_, error)
        elif (error.sqlstate or "")[:2] not in _DATA:
            raise error
        elif self._piece == 1:
            self._pass_over(range_, upto, error)
        else:
            self._piece = max(1, (self._piece or self._size(range_).rows) // 2)

    def _pass_over(self, range_: Range, upto: Place | None, error: psycopg.Error) -> None:
        """Write the row down; go on behind it if so many may fail."""
        place = upto or range_.position.high
        assert place is not None
        most = self.shared.control.pace.max_errors
        failed = batch.record_error(self._db, range_, self.shared.epoch, place, error, most=most)
        if not failed.was_skipped:
            raise RowFailed(failed.name, error)

    def _leave(self, range_: Range, error: psycopg.Error) -> None:
        """A partition or chunk that was dropped meanwhile has nothing left to do."""
        if heap.heap(self._db, range_.table.oid) is not None:
            raise error
        ranges.leave(self._db, range_, self.shared.epoch)

    def _reconnect(self, range_: Range, error: psycopg.Error) -> None:
        """Go on with a new connection. Nobody knows whether the last batch was committed: the table does."""
        self._be_patient(error)
        self.shared.control.pause(self._pause())
        try:
            self._connect()
            self._reload(range_)
        except psycopg.OperationalError:
            return  # the next try finds it closed, and comes here again

    def _reload(self, range_: Range) -> None:
        if not ranges.reload(self._db, range_, self.shared.epoch):
            raise _taken_over()

    def _be_patient(self, error: psycopg.Error) -> None:
        self._tries += 1
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > self.shared.policy.give_up_after.total_seconds():
            raise error

    def _pause(self) -> float:
        longest = min(_FIRST_PAUSE * 2 ** min(self._tries, 10), _LAST_PAUSE)
        return random.uniform(longest / 2, longest)  # noqa: S311 - no secret

    def _calm(self) -> None:
        self._tries, self._since = 0, None

    # Its hands ----------------------------------------------------------------------------------------

    @property
    def _db(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _connect(self) -> None:
        timeout: timedelta = self.shared.policy.lock_timeout
        self._connection = self.shared.sessions.open(lock_timeout=timeout, waits_for_disk=False)
        batch.prepare(self._connection)
        self._hot_seen = 0
        self.shared.control.pids[self.number] = self._connection.info.backend_pid

    def _size(self, range_: Range) -> Size:
        return self._sizes.setdefault(range_.table.oid, Size(self.shared.control.pace.batch_rows))


def _taken_over() -> OnlineError | LockError:
    return LockError(
        "Another run has taken this backfill over. What was committed stays, and the other run goes on from "
        "there. Wait for it: homeops-db backfill list shows it."
    )
