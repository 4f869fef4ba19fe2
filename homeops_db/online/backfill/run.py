"""One run of a backfill, from the claim to the closing pass."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from homeops_db import faults
from homeops_db.catalog import tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import HomeOpsError, OnlineError, ViolationError
from homeops_db.history import backfills, ledger
from homeops_db.history.backfills import Backfill
from homeops_db.history.target import Show
from homeops_db.locking import pace as pacing
from homeops_db.online.backfill import claim, closing, cut, plan, ranges, session, vacuum
from homeops_db.online.backfill.control import Control
from homeops_db.online.backfill.governor import Governor
from homeops_db.online.backfill.job import Job
from homeops_db.online.backfill.keeper import Keeper
from homeops_db.online.backfill.loop import Loop
from homeops_db.online.backfill.plan import By
from homeops_db.online.backfill.ranges import Range
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.vacuum import Growth
from homeops_db.online.backfill.worker import RowFailed, Shared
from homeops_db.online.work import Work


@dataclass(frozen=True)
class Asked:
    """How the author wants it done.

    Attributes:
        workers: How many connections work at once.
        by: "ctid" or "key"; chosen when None.
        stripes: A power of two; chosen when None.
        vacuum: Whether to VACUUM (ANALYZE) at the end.
        is_only: Whether partitions and children are left out.
        telling: What tells rows that are done, in words.
    """

    workers: int = 1
    by: By | None = None
    stripes: int | None = None
    vacuum: bool = True
    is_only: bool = False
    telling: str = ""


@dataclass
class Run:
    """One run.

    Attributes:
        work: The operation.
        job: What is done to the rows.
        root: The table that is gone through.
        asked: How.
        show: Shows the progress.
        notices: What fires or grows.
        estimated: Rows to do, about.
        share: Of all rows, about.
    """

    work: Work
    job: Job
    root: Table
    asked: Asked
    show: Show
    notices: Sequence[str] = ()
    estimated: int | None = None
    share: float = 1.0
    _began: float = field(default_factory=time.monotonic)
    _arriving: int = 0

    def go(self) -> Backfilled:
        """Do it, or follow the run that does."""
        sessions = session.like(self.work.connection)
        keeper = Keeper(sessions, self.work.policy.give_up_after)
        try:
            backfills.ensure(keeper.connection)
            print_ = claim.fingerprint(self.job, self._version)
            followed = claim.take(keeper, print_, self._follow)
            before = followed or backfills.of_fingerprint(keeper.connection, print_)
            if before is not None and before.state == backfills.DONE and (followed or self._was_done(before)):
                return self._result(before)
            return self._go(keeper, before, print_)
        finally:
            keeper.close()

    def _go(self, keeper: Keeper, before: Backfill | None, print_: str) -> Backfilled:
        shared = self._begin(keeper, before, print_)
        loop = self._loop(keeper, shared)
        with self._written_down(keeper, shared):
            loop.run(self._ranges(keeper, shared, loop), self.asked.workers)
            self._refuse_cancelled(shared)
            self._close(keeper, shared, loop)
            if self.asked.vacuum and shared.control.rows:
                loop.enter("vacuum")
                vacuum.of(keeper.connection, self._changed(keeper, shared))
            backfills.end(keeper.connection, shared.backfill_id, shared.epoch, backfills.DONE)
        faults.point(f"{self.job.operation}: ended")
        ended = backfills.one(keeper.connection, shared.backfill_id)
        assert ended is not None
        self.work.changed |= shared.control.rows > 0
        return self._result(ended, batches=shared.control.batches, waits=loop.waits)

    # The beginning ------------------------------------------------------------------------------------

    def _begin(self, keeper: Keeper, before: Backfill | None, print_: str) -> Shared:
        """Write the backfill down, or take the one over that was broken off."""
        asked = pacing.current()
        given: dict[str, Any] = {
            "client": ledger.client(),
            "pace": asked.as_json(),
            "workers": self.asked.workers,
        }
        if before is None or before.state == backfills.DONE:
            number = backfills.begin(
                keeper.connection,
                operation=self.job.operation,
                relation=self.job.subject,
                version=self._version,
                fingerprint=print_,
                definition=dict(self.job.definition),
                **given,
            )
        else:
            number = before.id
        epoch = backfills.take_over(keeper.connection, number, **given)
        if self.work.recorder is not None:
            self.work.recorder.record_step(self._mark(number))
        backfills.clear_errors(keeper.connection, number, keep_skipped=self.job.todo is None)
        faults.point(f"{self.job.operation}: begun")
        sessions = keeper.sessions
        return Shared(self.job, number, epoch, {}, Control(asked), sessions, self.work.policy)

    def _loop(self, keeper: Keeper, shared: Shared) -> Loop:
        control, recorder, growth = shared.control, self.work.recorder, Growth()
        pids = {self.work.connection.info.backend_pid, keeper.connection.info.backend_pid}
        governor = Governor(
            self.work.observer, lambda: list(shared.plans), lambda: {*pids, *control.pids.values()}
        )

        def check_growth() -> None:
            """Vacuum on the way, while the workers wait: what they do meanwhile, it would not see."""
            plain = [made for made in shared.plans.values() if made.stripes.now() == 1]
            large = growth.too_large(keeper.connection, plain, control.pace.max_growth)
            if large and self.job.operation == "backfill":
                control.set_hold(f"vacuum of {', '.join(map(str, large))}")
                vacuum.of(keeper.connection, large, analyze=False)
                control.set_hold(None)

        return Loop(
            shared,
            keeper,
            governor.look,
            self._tell,
            recorder.lock.assert_held if recorder is not None and recorder.lock is not None else lambda: None,
            check_growth,
            self.estimated,
        )

    def _ranges(self, keeper: Keeper, shared: Shared, loop: Loop) -> list[Range]:
        """Make the ranges of every leaf, or read those of the run before; a new leaf gets its own."""
        connection, leaves = keeper.connection, self._leaves(keeper)
        ranges.abandon_closing(connection, shared.backfill_id)
        self._plan(keeper, shared, leaves)
        if self.job.todo is None and self.job.operation == "backfill":
            # A lower key may be committed later than a higher one: then the last one isn't yet to be seen.
            self._wait_for_writers(keeper, shared, loop)
        known = {one.table.oid for one in ranges.load(connection, shared.backfill_id, leaves, self.job.alias)}
        made = [
            one
            for oid, planned in shared.plans.items()
            if oid not in known
            for one in cut.cut(connection, planned, self.asked.workers)
        ]
        ranges.store(connection, shared.backfill_id, shared.epoch, made)
        faults.point(f"{self.job.operation}: ranges stored")
        return self._load(keeper, shared, leaves)

    def _plan(self, keeper: Keeper, shared: Shared, leaves: Sequence[Table]) -> None:
        for leaf in leaves:
            if leaf.oid not in shared.plans:
                made = plan.make(
                    keeper.connection,
                    self.job,
                    leaf,
                    telling=self.asked.telling,
                    by=self.asked.by,
                    stripes=self.asked.stripes,
                    workers=self.asked.workers,
                    share=self.share,
                )
                if made is not None:
                    shared.plans[leaf.oid] = made

    def _load(self, keeper: Keeper, shared: Shared, leaves: Sequence[Table]) -> list[Range]:
        planned = [leaf for leaf in leaves if leaf.oid in shared.plans]
        found = ranges.load(keeper.connection, shared.backfill_id, planned, self.job.alias)
        for one in found:
            rows = shared.plans[one.table.oid].rows
            one.rows = rows / sum(other.table.oid == one.table.oid for other in found)
        return found

    def _leaves(self, keeper: Keeper) -> list[Table]:
        found = tables.tree(keeper.connection, self.root.oid)
        return [
            table
            for table in found
            if not table.is_partitioned and (table.oid == self.root.oid or not self.asked.is_only)
        ]

    # The end ------------------------------------------------------------------------------------------

    def _close(self, keeper: Keeper, shared: Shared, loop: Loop) -> None:
        """Prove that nothing is left: pass after pass, until one finds nothing to do."""
        if self._tells(keeper, shared):
            self._wait_for_writers(keeper, shared, loop)
            for _ in range(closing.PASSES):
                self._arriving = self._pass(keeper, shared, loop)
                faults.point(f"{self.job.operation}: closing pass done")
                if not self._arriving:
                    break

    def _changed(self, keeper: Keeper, shared: Shared) -> list[Table]:
        if self.job.fills is not None:
            return [self.job.fills]
        found = ranges.load(keeper.connection, shared.backfill_id, self._leaves(keeper), self.job.alias)
        done = {one.table.oid for one in found if one.rows_done}
        return [made.table for oid, made in shared.plans.items() if oid in done]

    def _tells(self, keeper: Keeper, shared: Shared) -> bool:
        """Whether a row that is to do still tells itself from those that are done.

        Where nothing proves that beforehand, the rows themselves have: none of them met the author's
        condition any more, once it was done.
        """
        if self.job.todo is not None:
            return True
        if self.job.source is None:
            return False
        found = ranges.load(keeper.connection, shared.backfill_id, self._leaves(keeper), self.job.alias)
        return sum(one.rows_done for one in found) > 0 and not any(one.rows_unchanged for one in found)

    def _pass(self, keeper: Keeper, shared: Shared, loop: Loop) -> int:
        """Go through every leaf once more, and give the number of rows that were found and done."""
        loop.enter("closing")
        connection, leaves = keeper.connection, self._leaves(keeper)
        ranges.abandon_closing(connection, shared.backfill_id)
        self._plan(keeper, shared, leaves)
        made = [
            one
            for planned in shared.plans.values()
            for one in cut.cut(connection, planned, self.asked.workers, is_closing=True)
        ]
        ranges.store(connection, shared.backfill_id, shared.epoch, made)
        found = [one for one in self._load(keeper, shared, leaves) if one.is_closing and not one.is_done]
        loop.run(found, self.asked.workers)
        self._refuse_cancelled(shared)
        return sum(one.rows_done - one.rows_unchanged for one in found)

    def _wait_for_writers(self, keeper: Keeper, shared: Shared, loop: Loop) -> None:
        loop.enter("waiting for writers")
        closing.wait_for_writers(
            keeper.connection,
            [made.table for made in shared.plans.values()],
            give_up_after=self.work.policy.give_up_after,
            tell=loop.wait_for,
        )
        loop.enter("filling")

    # What is said -------------------------------------------------------------------------------------

    @contextmanager
    def _written_down(self, keeper: Keeper, shared: Shared) -> Iterator[None]:
        """Write down how it ended, if it didn't end well."""
        try:
            yield
        except BaseException as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            state = backfills.FAILED
            with suppress(
                psycopg.Error, HomeOpsError
            ):  # gone: its row says running, and nobody holds the lock
                backfills.end(keeper.connection, shared.backfill_id, shared.epoch, state, detail)
            if isinstance(error, RowFailed):
                raise self._row_failed(error, shared) from error.error
            raise

    def _row_failed(self, failed: RowFailed, shared: Shared) -> ViolationError:
        primary = failed.error.diag.message_primary
        return ViolationError(
            f"A row of {self.job.subject} can't be done: {failed.name}: {primary} (SQLSTATE "
            f"{failed.error.sqlstate}). {shared.control.rows:,} rows were done and stay; a re-run goes on "
            f"from there. Mend the row, or let some fail with online.pace(max_errors=…); all of them: "
            f"homeops-db backfill show {shared.backfill_id}"
        )

    def _refuse_cancelled(self, shared: Shared) -> None:
        if shared.control.is_stopped:
            raise OnlineError(
                f"Backfill {shared.backfill_id} of {self.job.subject} was cancelled. {shared.control.rows:,} "
                "rows were done by this run and stay. A re-run of the revision goes on from there."
            )

    def _follow(self, other: Backfill) -> None:
        self._tell(f"follows another run ({other.client})", other.share_done, other.waiting_for or "")

    def _tell(self, phase: str, share: float, note: str = "", /) -> None:
        self.show(f"{self.job.operation} {self.job.subject}: {phase}", share, note)

    @property
    def _version(self) -> str | None:
        recorder = self.work.recorder
        revision = recorder.current_revision if recorder is not None else None
        return None if revision is None else revision.version

    def _mark(self, number: int) -> dict[str, Any]:
        return {"operation": self.job.operation, "backfill": number}

    def _was_done(self, before: Backfill) -> bool:
        """Whether an interrupted run of this same revision has done it already."""
        recorder = self.work.recorder
        return recorder is not None and recorder.step_begun(self._mark(before.id))

    def _result(self, ended: Backfill, **more: Any) -> Backfilled:
        done = self.work.done()
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
            notices=tuple(self.notices),
            errors=ended.errors,
            arriving=self._arriving,
            **more,
        )
