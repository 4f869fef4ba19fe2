"""One run of a backfill, from the claim to the proof that nothing is left."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg.errors import DataError, LockNotAvailable, RaiseException

from homeops_db import faults
from homeops_db.catalog.tables import Table
from homeops_db.history import backfills, ledger
from homeops_db.history.backfills import Backfill
from homeops_db.history.target import Show
from homeops_db.locking import look
from homeops_db.locking import pace as pacing
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import Wanted
from homeops_db.online.backfill import before, claim, closing, ending, ground, session, vacuum
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.backfill.before import Forecast
from homeops_db.online.backfill.control import Control
from homeops_db.online.backfill.governor import Governor
from homeops_db.online.backfill.ground import Ground
from homeops_db.online.backfill.job import Job, is_void
from homeops_db.online.backfill.keeper import Keeper
from homeops_db.online.backfill.loop import Loop
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.vacuum import Growth
from homeops_db.online.backfill.worker import Shared
from homeops_db.online.work import Work


@dataclass
class Run:
    """One run.

    Attributes:
        work: The operation.
        job: What is done to the rows.
        root: The table that is gone through.
        asked: How.
        show: Shows the progress.
    """

    work: Work
    job: Job
    root: Table
    asked: Asked
    show: Show
    _began: float = field(default_factory=time.monotonic)
    _notices: Sequence[str] = ()
    _arriving: int = 0

    def go(self) -> Backfilled:
        """Do it, or follow the run that does."""
        sessions = session.like(self.work.connection)
        keeper = Keeper(sessions, self.work.policy.give_up_after)
        try:
            backfills.ensure(keeper.connection)
            print_ = self._fingerprint()
            followed = claim.take(keeper, print_, self._follow)
            known = followed or backfills.of_fingerprint(keeper.connection, print_)
            if known is not None and is_void(self.job, known):
                if known.state != backfills.DONE:
                    backfills.end(keeper.connection, known.id, known.epoch, backfills.REPLACED)
                known = None
            if known is not None and known.state == backfills.DONE and (followed or self._was_done(known)):
                return self._result(known)
            return self._go(keeper, known, print_)
        finally:
            keeper.close()

    def _go(self, keeper: Keeper, known: Backfill | None, print_: str) -> Backfilled:
        forecast = self._foresee(keeper)
        shared = self._begin(keeper, known, print_)
        done_before = known.rows_done if known is not None and known.id == shared.backfill_id else 0
        loop = self._loop(keeper, shared, forecast.rows + done_before)
        covered = Ground(keeper, shared, self.root, self.asked, forecast.share)
        with ending.written_down(keeper, shared):
            self._fill(covered, loop)
            if covered.tells():
                self._close(covered, loop)
            self.job.proof()
            if self.asked.vacuum and shared.control.rows:
                loop.enter("vacuum")
                changed = covered.changed()
                loop.aside(lambda connection: vacuum.of(connection, changed))
            loop.beat()  # the plan as it came to be
            keeper.ask(
                lambda connection: backfills.end(connection, shared.backfill_id, shared.epoch, backfills.DONE)
            )
        faults.point(f"{self.job.operation}: ended")
        ended = keeper.ask(lambda connection: backfills.one(connection, shared.backfill_id))
        assert ended is not None
        self.work.changed |= shared.control.rows > 0
        return self._result(ended, batches=shared.control.batches, waits=loop.waits)

    # Its three parts ----------------------------------------------------------------------------------

    def _foresee(self, keeper: Keeper) -> Forecast:
        """Look at what is to come, and say it; refuse what can't end well."""
        patience = Patience(self.work.policy)
        while True:
            leaves = ground.leaves(keeper.connection, self.root, self.asked)
            try:
                forecast = before.forecast(keeper.connection, self.job, self.root, leaves)
                break
            except LockNotAvailable:  # somebody changes the table: we wait until they are done
                wants = [Wanted(leaf, "ROW EXCLUSIVE", (leaf.oid,), True) for leaf in leaves]
                look.until_clear(self.work.observer, wants, patience)
                patience.tries += 1
        self._notices = forecast.notices
        for notice in forecast.notices:
            logging.getLogger(__name__).info("%s %s: %s", self.job.operation, self.job.subject, notice)
        return forecast

    def _begin(self, keeper: Keeper, known: Backfill | None, print_: str) -> Shared:
        """Write the backfill down, or take the one over that was broken off."""
        pace = pacing.current()
        given: dict[str, Any] = {
            "client": ledger.client(),
            "pace": pace.as_json(),
            "workers": self.asked.workers,
        }
        if known is None or known.state == backfills.DONE:
            number = backfills.begin(
                keeper.connection,
                operation=self.job.operation,
                relation=self.job.subject,
                version=self._version,
                fingerprint=print_,
                definition={**self.job.definition, "of": dict(self.job.of), **self.job.kept},
                **given,
            )
        else:
            number = known.id
        epoch = backfills.take_over(keeper.connection, number, **given)
        backfills.clear_errors(keeper.connection, number, keep_skipped=self.job.todo is None)
        if self.work.recorder is not None:
            self.work.recorder.record_step(self._mark(number))
        faults.point(f"{self.job.operation}: begun")
        return Shared(self.job, number, epoch, {}, Control(pace), keeper.sessions, self.work.policy)

    def _fill(self, covered: Ground, loop: Loop) -> None:
        covered.plan()
        if self.job.todo is None and not self.job.is_frozen:
            # A lower key may be committed later than a higher one: then the last one isn't yet to be seen.
            self._wait_for_writers(covered, loop)
        loop.enter("filling")
        made = covered.ranges()
        while made:
            loop.run(made, self.asked.workers)
            ending.refuse_cancelled(covered.shared)
            made = covered.left()

    def _close(self, covered: Ground, loop: Loop) -> None:
        """Prove that nothing is left; where something is, go over the table once more, and prove it again."""
        self._wait_for_writers(covered, loop)
        expected = 0
        for _ in range(closing.PASSES):
            self._arriving = self._left(covered, loop, expected)
            if not self._arriving:
                return
            loop.enter("closing")
            made = covered.closing_ranges()
            loop.run(made, self.asked.workers)
            ending.refuse_cancelled(covered.shared)
            faults.point(f"{self.job.operation}: closing pass done")
            expected = sum(one.rows_unchanged for one in made)
        self._arriving = self._left(covered, loop, expected)
        if self._arriving:
            logging.getLogger(__name__).warning(
                "%s: after %d closing passes there are rows to do again: somebody goes on writing such "
                "rows, so a trigger, a default or a newer application is missing",
                self.job.subject,
                closing.PASSES,
            )

    def _left(self, covered: Ground, loop: Loop, expected: int) -> int:
        """Count what is left beside ``expected`` rows, which never tell, and those that were passed over."""
        loop.enter("proving")
        number = covered.shared.backfill_id
        skipped = covered.keeper.ask(lambda connection: backfills.skipped(connection, number))
        known = expected + skipped

        def count(connection: Connection) -> int:
            return closing.left(
                connection, self.job, self.root, is_only=self.asked.is_only, most=known + closing.COUNTED
            )

        try:
            return max(0, loop.aside(count) - known)
        except (DataError, RaiseException) as error:
            if not skipped:
                return 1  # the next pass finds the row
            logging.getLogger(__name__).warning(
                "%s: a row that was passed over keeps the proof from being given: %s",
                self.job.subject,
                error.diag.message_primary,
            )
            return 0

    def _wait_for_writers(self, covered: Ground, loop: Loop) -> None:
        loop.enter("waiting for writers")
        leaves = [made.table for made in covered.shared.plans.values()]
        covered.keeper.ask(
            lambda connection: closing.wait_for_writers(
                connection, leaves, give_up_after=self.work.policy.give_up_after, tell=loop.wait_for
            )
        )

    def _loop(self, keeper: Keeper, shared: Shared, estimated: int) -> Loop:
        control, recorder, growth = shared.control, self.work.recorder, Growth()

        def ours() -> set[int]:
            first = {self.work.connection.info.backend_pid, keeper.connection.info.backend_pid}
            return first | set(control.pids.values())

        governor = Governor(self.work.observer, lambda: list(shared.plans), ours)
        lock = recorder.lock if recorder is not None else None
        return Loop(
            shared,
            keeper,
            governor,
            self._tell,
            lock.assert_held if lock is not None else lambda: None,
            lambda: keeper.ask(lambda connection: growth.check(connection, shared)),
            estimated,
        )

    # What is said -------------------------------------------------------------------------------------

    def _follow(self, other: Backfill) -> None:
        self._tell(f"follows another run ({other.client})", other.share_done, other.waiting_for or "")

    def _tell(self, phase: str, share: float, note: str = "", /) -> None:
        self.show(f"{self.job.operation} {self.job.subject}: {phase}", share, note)

    @property
    def _version(self) -> str | None:
        recorder = self.work.recorder
        revision = recorder.current_revision if recorder is not None else None
        return None if revision is None else revision.version

    def _fingerprint(self) -> str:
        recorder, print_ = self.work.recorder, claim.fingerprint(self.job, self._version)
        before = recorder.count_step(print_) if recorder is not None else 0
        return claim.fingerprint(self.job, self._version, before) if before else print_

    def _mark(self, number: int) -> dict[str, Any]:
        return {"operation": self.job.operation, "backfill": number}

    def _was_done(self, known: Backfill) -> bool:
        """Whether an interrupted run of this same revision has done it already."""
        recorder = self.work.recorder
        return recorder is not None and recorder.step_begun(self._mark(known.id))

    def _result(self, ended: Backfill, **more: Any) -> Backfilled:
        done = self.work.done(backfill=ended.id, rows=ended.rows_done)
        return Backfilled(
            done.operation,
            done.subject,
            done.changed,
            done.tries,
            done.waited_ms,
            done.cost,
            id=ended.id,
            rows=ended.rows_done,
            seconds=time.monotonic() - self._began,
            plan=tuple(ended.plan.splitlines()),
            notices=tuple(self._notices),
            errors=ended.errors,
            arriving=self._arriving,
            **more,
        )
