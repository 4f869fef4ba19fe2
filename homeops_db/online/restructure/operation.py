"""``online.Restructure``: another shape for a table in use, in three revisions, with a way back from each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

import sqlalchemy as sa

from homeops_db.online import subject
from homeops_db.online.backfill.asked import refuse_odd
from homeops_db.online.work import Done, at_work, is_offline, script

Columns = Sequence["str | sa.Column[Any] | EllipsisType"]


@dataclass(frozen=True)
class Restructure:
    """Another shape for a table in use, in three steps that are three revisions.

    ::

        tx = online.Restructure("transactions", schema="financial",
                                columns=[..., sa.Column("merchant_category", sa.String(100))],
                                transform={"merchant_category": "lower(split_part(merchant, ' ', 1))"})

        def upgrade():                      def downgrade():
            tx.expand()                         tx.undo_expand()            # revision 1
            tx.switch()                         tx.undo_switch()            # revision 2
            tx.contract()                       tx.undo_contract()          # revision 3

    **expand** builds a table of the new shape in a schema of its own, copies the rows into it, and keeps it
    like the application's by triggers. **switch** proves that both hold the same, and changes their places in
    one short transaction, with all that hangs on them. From then on the triggers keep the old table, so that
    **undo_switch** loses nothing. **contract** drops the old table. **undo_contract** builds it again.

    A row that the other shape can't hold never breaks a write: it is stored, and the switch (or the way back)
    is refused until it is mended; such rows are named.

    Attributes:
        table_name: The table.
        schema: Its schema; by the search path when None.
        columns: The new shape's columns, in their order. A name is a column as it is; a ``sa.Column`` is a
            new one, or one that gets another type; ``...`` stands for all others, as they are.
        drop: Names of columns that go, and of indexes, constraints, statistics, triggers that go with them.
        transform: SQL by new column, which reads the old columns. Must be immutable. A new column without one
            gets its server default.
        back: SQL by old column, which reads the new columns, where the new shape has no column of the same
            name and type. Immutable too. A column that goes and has none keeps its values in the old table.
        primary_key: The new shape's, where it is another one.
        partition_by: What the new table is partitioned by, as behind PARTITION BY; not at all when None.
        partitions: The partitions' bounds by name: ``{"t_2025": "FROM ('2025-01-01') TO ('2026-01-01')",
            "t_rest": "DEFAULT"}``. They end up in the table's schema.
        workers: How many connections copy; see `backfill`.

    Each step can run again after a crash at any point, and goes on; a step that is done does nothing.
    Method: the copy is that of pg_repack, whose triggers write down the keys of changed rows; what is written
    through at once afterwards, the proof, and the way back are ours (docs/restructure.md).
    """

    table_name: str
    schema: str | None = None
    columns: Columns = (...,)
    drop: Sequence[str] = ()
    transform: Mapping[str, str] = field(default_factory=dict)
    back: Mapping[str, str] = field(default_factory=dict)
    primary_key: Sequence[str] | None = None
    partition_by: str | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1

    def expand(self) -> Done:
        """Build the new table, and keep it like the application's.

        Returns:
            What was done. ``changed`` is False when everything was there already.

        Raises:
            ObjectError: No such table or column; an expression can't be read; something can't be carried over
                to the new shape: all of it is named. Nothing was changed.
            UnsafeError: An expression isn't immutable; row-level security would hide rows; a disk would be
                full. Nothing was changed.
            LockTimeoutError: A lock wasn't to be had. What was done stays, and a re-run goes on.

        Locks: ACCESS EXCLUSIVE once, for the milliseconds of a rolled back trial; SHARE ROW EXCLUSIVE for
        some milliseconds to make the triggers, and on tables that foreign keys refer to. The copy takes
        ACCESS SHARE alone, for a batch. Its downgrade is `undo_expand`.
        """
        return self._do("expand")

    def switch(self) -> Done:
        """Prove both tables equal, and change their places in one short transaction.

        Raises:
            ViolationError: Some rows can't be held by the new shape; they are named. Nothing was switched.
            ObjectError: The triggers are gone, or the table was changed so that both differ in what nobody
                asked for.
            LockTimeoutError: A lock wasn't to be had, there wasn't a moment for it, or somebody holds a
                snapshot from before the copy.

        Locks: ACCESS EXCLUSIVE on the table, and SHARE ROW EXCLUSIVE on tables with foreign keys to it, for
        some milliseconds. Before, one snapshot for as long as the proof reads both tables; afterwards foreign
        keys to the table are validated. Its downgrade is `undo_switch`, which loses nothing.
        """
        return self._do("switch")

    def contract(self) -> Done:
        """Drop the old table. From here on there is a way back only by building it anew from the new rows.

        Locks: ACCESS EXCLUSIVE for some milliseconds. Its downgrade is `undo_contract`.
        """
        return self._do("contract")

    def undo_contract(self) -> Done:
        """Build the old table again from the new rows, and keep it like them; see `expand`."""
        return self._do("undo_contract")

    def undo_switch(self) -> Done:
        """Change the places back: a row is what it was, or what was written since; see `switch`."""
        return self._do("undo_switch")

    def undo_expand(self) -> Done:
        """Drop the new table and the triggers; see `contract`."""
        return self._do("undo_expand")

    def _do(self, step: str) -> Done:
        refuse_odd(self.workers, None)
        what = subject.quoted((self.table_name, self.schema)).replace('"', "")
        operation = f"restructure_{step}"
        from homeops_db.online.restructure import script as scripts  # noqa: PLC0415 - loads PostgreSQL's parser
        from homeops_db.online.restructure import steps  # noqa: PLC0415
        from homeops_db.online.type_change import settings  # noqa: PLC0415

        if is_offline():
            with script(operation, what) as out:
                scripts.write(out, self, step)
            return Done(operation, what, changed=True)
        with at_work(operation, what) as work:
            table = subject.table_of(work.connection, self.table_name, self.schema)
            with settings.plain(work.connection):
                steps.STEPS[step](work, table, self)
            return work.done()
