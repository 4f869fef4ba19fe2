"""The ground that a run covers: the leaves of its table, how each is gone through, and their ranges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from homeops_db import faults
from homeops_db.catalog import tables
from homeops_db.catalog.tables import Table
from homeops_db.online.backfill import cut, plan, ranges
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.backfill.keeper import Keeper
from homeops_db.online.backfill.ranges import Range
from homeops_db.online.backfill.worker import Shared


def leaves(connection: Connection, root: Table, asked: Asked) -> list[Table]:
    """Read which tables have the rows at this moment: the table, its children, partitions or chunks."""
    found = tables.tree(connection, root.oid)
    return [
        table for table in found if not table.is_partitioned and (table.oid == root.oid or not asked.is_only)
    ]


@dataclass
class Ground:
    """All ranges of one run.

    Attributes:
        keeper: Asks and stores.
        shared: Gets a plan for each leaf.
        root: The table that is gone through.
        asked: How.
        share: How many of the rows are to do, 0 to 1, about.
    """

    keeper: Keeper
    shared: Shared
    root: Table
    asked: Asked
    share: float

    def ranges(self) -> list[Range]:
        """Make the ranges of every leaf, or read those of the run before; a new leaf gets its own."""
        return self.keeper.ask(self._make)

    def left(self) -> list[Range]:
        """Read which ranges aren't done after all: a crash of the server takes the last batches back."""
        return [one for one in self._loaded() if not one.is_closing and not one.is_done]

    def closing_ranges(self) -> list[Range]:
        """Make the ranges of one more pass over every leaf that there is now."""
        return self.keeper.ask(self._make_closing)

    def _make(self, connection: Connection) -> list[Range]:
        shared = self.shared
        ranges.abandon_closing(connection, shared.backfill_id)
        found = self._look(connection)
        known = {one.table.oid for one in self._load(connection, found)}
        # Where nothing tells, rows of a table that came later are as little meant as rows behind a bound.
        is_whole = bool(known) and shared.job.todo is None
        made = [
            one
            for oid, planned in shared.plans.items()
            if oid not in known and not is_whole
            for one in cut.cut(connection, planned, self.asked.workers)
        ]
        ranges.store(connection, shared.backfill_id, shared.epoch, made)
        faults.point(f"{shared.job.operation}: ranges stored")
        return [one for one in self._load(connection, found) if not one.is_closing]

    def _make_closing(self, connection: Connection) -> list[Range]:
        shared = self.shared
        ranges.abandon_closing(connection, shared.backfill_id)
        found = self._look(connection)
        made = [
            one
            for planned in shared.plans.values()
            for one in cut.cut_closing(connection, planned, self.asked.workers)
        ]
        ranges.store(connection, shared.backfill_id, shared.epoch, made)
        return [one for one in self._load(connection, found) if one.is_closing and not one.is_done]

    def changed(self) -> list[Table]:
        """Name the tables whose pages are others now."""
        if self.shared.job.fills is not None:
            return [self.shared.job.fills]
        done = {one.table.oid for one in self._loaded() if one.rows_done}
        return [made.table for oid, made in self.shared.plans.items() if oid in done]

    def tells(self) -> bool:
        """Whether a row that is to do still tells itself from those that are done.

        Where nothing proves that beforehand, the rows themselves have: none of them met the author's
        condition any more, once it was done.
        """
        job = self.shared.job
        if job.todo is not None or job.source is None:
            return job.todo is not None
        found = self._loaded()
        return any(one.rows_done for one in found) and not any(one.rows_unchanged for one in found)

    def plan(self) -> None:
        """Choose how each leaf is gone through that has no plan yet; one that is gone loses its own.

        Raises:
            ObjectError: A leaf has no key, and nothing tells.
        """
        self.keeper.ask(self._look)

    def _loaded(self) -> list[Range]:
        return self.keeper.ask(lambda connection: self._load(connection, self._look(connection)))

    def _look(self, connection: Connection) -> list[Table]:
        found, shared = leaves(connection, self.root, self.asked), self.shared
        for leaf in found:
            if leaf.oid not in shared.plans:
                made = plan.make(connection, shared.job, leaf, **self._given())
                if made is not None:
                    shared.plans[leaf.oid] = made
        here = {leaf.oid for leaf in found}
        for oid in [oid for oid in shared.plans if oid not in here]:
            del shared.plans[oid]
        return [leaf for leaf in found if leaf.oid in shared.plans]

    def _given(self) -> dict[str, Any]:
        return {
            "telling": self.asked.telling,
            "by": self.asked.by,
            "stripes": self.asked.stripes,
            "workers": self.asked.workers,
            "share": self.share,
        }

    def _load(self, connection: Connection, found: Sequence[Table]) -> list[Range]:
        shared = self.shared
        loaded = ranges.load(connection, shared.backfill_id, found, shared.job.alias)
        for one in loaded:
            parts = sum(other.table.oid == one.table.oid for other in loaded)
            one.rows = shared.plans[one.table.oid].rows / parts
        return loaded
