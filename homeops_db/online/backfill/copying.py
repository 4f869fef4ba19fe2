"""A batched insert: its statement, how its source is gone through, whether a broken run can go on."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from homeops_db.catalog import columns, heap, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.history.backfills import Backfill
from homeops_db.online.backfill import frozen
from homeops_db.online.backfill.frozen import Frozen
from homeops_db.online.backfill.job import Condition, Job, relation
from homeops_db.online.work import Work

if TYPE_CHECKING:
    from homeops_db.online.backfill.source import Source

_MOMENT = "frozen since"


@dataclass
class Copying:
    """Rows of one table on their way into another.

    Attributes:
        work: The operation.
        root: The table that they come from: the first one of the select.
        target: The table that they go into.
        read: The select.
        names: The target's columns, in the order of the select's; all of them when None.
        leaves_conflicts: Whether a row that is there already is left as it is.
    """

    work: Work
    root: Table
    target: Table
    read: "Source"
    names: Sequence[str] | None
    leaves_conflicts: bool
    _kept: Frozen | None = None

    def job(self, stack: ExitStack) -> Job:
        """Say what is done. Where the source has no key, it is kept as it is until the stack is closed.

        Raises:
            ObjectError: Our role may not lock it.
            LockTimeoutError: The lock wasn't to be had.
        """
        if not self._has_key():
            self._kept = stack.enter_context(frozen.frozen(self.work, self.root))
        conflicts = "nothing" if self.leaves_conflicts else "error"
        names = self.names and list(self.names)
        return Job(
            "batched_insert",
            str(self.target),
            {"select": self.read.text, "columns": names, "on_conflict": conflicts},
            self._statement(),
            self.read.called,
            is_frozen=self._kept is not None,
            fills=self.target,
            of={"table": self.target.oid},
            kept={_MOMENT: self._kept.since.as_json()} if self._kept is not None else {},
            goes_on=self._goes_on,
            proof=self._kept.prove if self._kept is not None else lambda: None,
        )

    @property
    def telling(self) -> str:
        """Say what tells rows that are done."""
        return "nobody may write to it meanwhile" if self._kept is not None else "its key tells how far it is"

    def _has_key(self) -> bool:
        """Whether each table that has rows has a unique key without nulls."""
        found = [part for part in tables.tree(self.work.connection, self.root.oid) if not part.is_partitioned]
        leaves = [part for part in found if part.oid == self.root.oid or not self.read.is_only]
        return all(heap.keys(self.work.connection, leaf.oid) for leaf in leaves)

    def _statement(self) -> Callable[[Table, Condition], sql.Composable]:
        order = columns.names(self.work.connection, self.root.oid)
        into = sql.SQL("INSERT INTO {} ").format(relation(self.target))
        if self.names is not None:
            into += sql.SQL("({}) ").format(sql.SQL(", ").join(map(sql.Identifier, self.names)))
        end = sql.SQL(" ON CONFLICT DO NOTHING" if self.leaves_conflicts else "")

        def write(table: Table, condition: Condition) -> sql.Composable:
            piece = self.read.narrowed(relation(table).as_string(), condition.as_string(), order)
            return into + sql.SQL(piece) + end

        return write

    # Where a run was broken off --------------------------------------------------------------------------

    def _goes_on(self, known: Backfill) -> bool:
        """Whether what a run has copied that was broken off is there, and can be told from what is left.

        Raises:
            ObjectError: It is there, and can't.
        """
        if not known.rows_done:
            return self._is_unchanged(known)
        if self._is_empty():
            return False  # somebody has taken out what was copied, to begin anew
        if self._is_unchanged(known):
            return True
        if self.leaves_conflicts and self._tells_rows_apart():
            return False
        raise ObjectError(
            f"Nobody can tell which rows of {self.root} are in {self.target} by now: a run that was broken "
            f"off has copied {known.rows_done:,}, {self.root} had no unique key without nulls, and it isn't "
            f'what it was. Nothing was changed. Empty {self.target}, or say on_conflict="nothing" where a '
            "unique key of it turns away the rows that are there; then run the same command again."
        )

    def _is_unchanged(self, known: Backfill) -> bool:
        """Whether the source is gone through as it was then, and is what it was where that matters."""
        moment: dict[str, Any] | None = known.definition.get(_MOMENT)
        if moment is None or self._kept is None:
            return moment is None and self._kept is None
        since = frozen.from_json(moment)
        if self._kept.was_changed(since):
            return False
        self._kept.since = since
        return True

    def _is_empty(self) -> bool:
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(relation(self.target))
        row = self.work.connection.execute(query).fetchone()
        return row is not None and not row[0]

    def _tells_rows_apart(self) -> bool:
        """Whether a unique key of the target consists of columns that are copied."""
        copied = set(self.names or columns.names(self.work.connection, self.target.oid))
        return any(copied.issuperset(key.columns) for key in heap.keys(self.work.connection, self.target.oid))
