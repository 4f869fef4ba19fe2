"""``online.TypeChange``: another type for a column in use, in three revisions, with a way back from each."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.types import TypeEngine

from homeops_db.online import subject
from homeops_db.online.backfill.asked import refuse_odd
from homeops_db.online.work import Done, at_work, is_offline, script


@dataclass(frozen=True)
class TypeChange:
    """Another type for a column of a table in use, in three steps that are three revisions.

    ::

        amount = online.TypeChange("transactions", "amount", sa.Numeric(15, 2), schema="financial",
                                   up="amount::numeric(15,2)", down="amount::double precision")

        def upgrade():                      def downgrade():
            amount.expand()                     amount.undo_expand()        # revision 1
            amount.switch()                     amount.undo_switch()        # revision 2
            amount.contract()                   amount.undo_contract()      # revision 3

    **expand** adds a shadow column of the new type, triggers that keep it like the column, fills it, and
    builds a twin of every index, constraint and key that hangs on the column. **switch** proves that both
    columns of every row belong together, and swaps their names in one short transaction, with all that hangs
    on them. From then on the application writes the new type, and the triggers keep the old column, so that
    **undo_switch** loses nothing. **contract** drops the old column. **undo_contract** builds it again.

    A value that the other type can't hold never breaks a write: the row is stored, the other column stays
    empty, and the switch (or the way back) is refused until the value is mended; the rows are named.

    Attributes:
        table_name: The table; with its partitions.
        column_name: The column. The application knows it by this name throughout.
        type_: The new type.
        schema: The table's schema; by the search path when None.
        up: SQL that makes the new value; reads the column by its name. Must be immutable.
        down: SQL that makes the old value; reads the column by its name, and means the new one. Immutable
        too. workers: How many connections fill the shadow; see `backfill`.

    Each step can run again after a crash at any point, and goes on; a step that is done does nothing.
    Method: expand, migrate, contract as pgroll has it; what hangs on the column, the proof and the way back
    are ours (docs/type-change.md).
    """

    table_name: str
    column_name: str
    type_: TypeEngine[Any] | type[TypeEngine[Any]]
    schema: str | None = None
    up: str = ""
    down: str = ""
    workers: int = 1

    def expand(self) -> Done:
        """Build the shadow, and keep it like the column.

        Returns:
            What was done. ``changed`` is False when everything was there already.

        Raises:
            ObjectError: No such table or column; an expression can't be read; something hangs on the column
                that can't be carried: all of it is named. Nothing was changed.
            UnsafeError: An expression isn't immutable.
            LockTimeoutError: A lock wasn't to be had. What was done stays, and a re-run goes on.

        Locks: ACCESS EXCLUSIVE and SHARE ROW EXCLUSIVE for some milliseconds, several times; the rest as
        `backfill`, `create_index` and `validate_constraint` do. Rows whose value the new type can't hold are
        logged. Its downgrade is `undo_expand`.
        """
        return self._do("expand")

    def switch(self) -> Done:
        """Prove both columns equal, and swap their names in one short transaction.

        Raises:
            ViolationError: The new type can't hold some values, which are named. Nothing was switched.
            ObjectError: The triggers are gone or were disabled.
            LockTimeoutError: A lock wasn't to be had, there wasn't a moment for it, or somebody reads by a
                snapshot from before the filling.

        Locks: ACCESS EXCLUSIVE on the table, on tables with foreign keys to the column and on materialized
        views, for some milliseconds. Clients with prepared statements may meet "cached plan must not change
        result type" once, and must repeat the transaction. Its downgrade is `undo_switch`, which loses
        nothing.
        """
        return self._do("switch")

    def contract(self) -> Done:
        """Drop the old column. From here on there is a way back only by building it anew from the new values.

        Locks: ACCESS EXCLUSIVE for some milliseconds. Its downgrade is `undo_contract`.
        """
        return self._do("contract")

    def undo_contract(self) -> Done:
        """Build the old column again from the new values, and keep it like them; see `expand`."""
        return self._do("undo_contract")

    def undo_switch(self) -> Done:
        """Swap the names back: a row has the value that it had, or what was written since; see `switch`."""
        return self._do("undo_switch")

    def undo_expand(self) -> Done:
        """Drop the shadow and the triggers; see `contract`."""
        return self._do("undo_expand")

    def _do(self, step: str) -> Done:
        refuse_odd(self.workers, None)
        what = f"{self.schema}.{self.table_name}" if self.schema else self.table_name
        what = f"{what}.{self.column_name}"
        operation = f"type_change_{step}"
        from homeops_db.online.type_change import script as scripts  # noqa: PLC0415 - loads PostgreSQL's parser
        from homeops_db.online.type_change import settings, steps  # noqa: PLC0415

        if is_offline():
            with script(operation, what) as out:
                scripts.write(out, self, step)
            return Done(operation, what, changed=True)
        with at_work(operation, what) as work:
            table = subject.table_of(work.connection, self.table_name, self.schema)
            with settings.plain(work.connection):
                steps.STEPS[step](work, table, self)
            return work.done()
