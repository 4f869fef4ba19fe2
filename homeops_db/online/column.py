"""Columns: added where that takes no longer on a big table than on a small one."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from psycopg.errors import TooManyColumns

from homeops_db.catalog import columns, locks
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking.wanted import wanted
from homeops_db.online import constraint, probe, rendered, script_guard, subject, volatile
from homeops_db.online.probe import Effect
from homeops_db.online.subject import Named
from homeops_db.online.work import Done, Script, Work, at_work, is_offline, script


def add_column(
    table_name: str,
    column: sa.Column[Any],
    *,
    schema: str | None = None,
    if_not_exists: bool | None = None,  # noqa: ARG001 - a column that is there and the same is left alone anyway
    inline_references: bool | None = None,  # noqa: ARG001 - a column with a foreign key is refused
    inline_primary_key: bool | None = None,  # noqa: ARG001 - and so is one with a primary key
) -> Done:
    """Add a column while reads and writes go on; twin of ``op.add_column``.

    A constant default, or a stable one like ``now()``, is filled in at once: old rows aren't touched.
    Whether a column can be added so is tried out on an empty clone of the table.

    A volatile default (``gen_random_uuid()``, ``clock_timestamp()``, ``nextval('…')``) is another value in
    every row. Then the column is added empty, together with its default for new rows; the old rows are filled
    in batches, as `online.backfill` does it; and NOT NULL is set as `online.alter_column` does it. So, other
    than by ``op``, triggers of UPDATE fire. A row is filled while the column is NULL in it: what others write
    there meanwhile stays, but a NULL that they write there before the end is filled like an old one. Where
    the default itself gives NULL, the closing passes ask it again, and then the row keeps its NULL.

    Args:
        table_name: The table. Partitions and inheritance children get the column with it.
        column: The column, with its comment. Constraints and indexes are operations of their own.
        schema: The table's schema; by the search path when None.
        if_not_exists: Accepted as in ``op``. Without it too, a column that is there and the same is
            left alone, with the NULLs in it; one that is there and another is refused.
        inline_references: Accepted as in ``op``.
        inline_primary_key: Accepted as in ``op``.

    Returns:
        What was done. ``changed`` is False when the column was there already.

    Raises:
        ObjectError: No such table or type, too long a name, another role's table, a partition, or
            another column by that name.
        UnsafeError: It would rewrite or read the whole table (an identity, a generated column, a
            constrained domain, NOT NULL without a default, a constraint or an index on the column). The text
            has the steps to write instead. Or the filling would be unsafe: see `online.backfill`.
        ViolationError: A volatile default gives a value that a row can't have, or NULL where that is
            forbidden. What was filled stays, and a re-run goes on.
        LockTimeoutError: The lock wasn't to be had, or the filling had to wait for too long.

    Locks: ACCESS EXCLUSIVE on the table and its children for some milliseconds. With a volatile default then
    what `online.backfill` takes, row locks of about 20 ms a batch, and what `online.alter_column` takes for
    NOT NULL. A re-run finds the column; what later steps of the same revision did to it is accepted; the
    filling goes on where it stopped, and no row that has its value gets another. Its downgrade is
    `drop_column`.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    what = subject_of(table_name, schema, column.name)
    subject.refuse_long(column.name)
    _refuse_attached(column, what)
    offline = is_offline()  # outside a revision, this says so

    def change(table: str, schema: str | None) -> Sequence[str]:
        return rendered.statements(lambda op: op.add_column(table, column, schema=schema))

    if len(change(table_name, schema)) > 1 + (column.comment is not None):
        raise _attached(what, "a check", "create_check_constraint")
    if offline:
        with script("add_column", what) as out:
            _write(out, what, (table_name, schema), column, change)
        return Done("add_column", what, changed=True)
    with at_work("add_column", what) as work:
        table = subject.table_of(work.connection, table_name, schema)
        _refuse_partition(work, table)
        filled = _ensure(work, table, column, change)
        added = work.done()
    return added if filled is None else volatile.both(added, filled)


def subject_of(table_name: str, schema: str | None, column_name: str) -> str:
    """Name a column in messages and in the ledger, alike in every run of a revision."""
    return f"{schema}.{table_name}.{column_name}" if schema else f"{table_name}.{column_name}"


def _write(out: Script, what: str, table: Named, column: sa.Column[Any], change: probe.Change) -> None:
    if volatile.may_be(column):
        volatile.write(out, what, table, column, change)
        return
    out.write(script_guard.probing(what, *table, change(script_guard.CLONE, None)))
    out.write_together(*change(*table))


def _ensure(work: Work, table: Table, column: sa.Column[Any], change: probe.Change) -> Done | None:
    """Add the column unless it is there, and give what filling it cost, where it had to be filled."""
    name = str(column.name)
    found = columns.column(work.connection, table.oid, name)
    is_there = found is not None
    effect = probe.effect(work, table, name, change, anew=is_there)
    by_batches = effect.hurts is not None and volatile.can_be_filled(work, table, column, anew=is_there)
    if found is not None:
        is_ours = work.began_before()
        if _differs(found, effect.column) and not is_ours:
            raise _another(table, found, effect.column)
        _comment(work, table, found, column, change)
        is_left = by_batches and is_ours and not volatile.is_filled(work)
    else:
        is_left = by_batches
        if by_batches:
            volatile.refuse_unfillable(work, table)
        else:
            _refuse_hurting(table, name, effect)
            if effect.column.default is not None:
                probe.refuse_row_type_users(work, table)
        _add(work, table, volatile.change(column) if by_batches else change)
    return volatile.fill(work, table, column, effect.column) if is_left else None


def _add(work: Work, table: Table, change: probe.Change) -> None:
    work.announce()
    try:
        work.execute([wanted(work.connection, table)], *change(table.name, table.schema), step="add")
    except TooManyColumns as error:
        # The clone hasn't the columns that were dropped, and the table still has their numbers.
        raise constraint.refused(table, error) from error


def _comment(work: Work, table: Table, found: Column, column: sa.Column[Any], change: probe.Change) -> None:
    if found.comment is None and column.comment:
        wants = [wanted(work.connection, table, locks.SHARE_UPDATE_EXCLUSIVE)]
        work.execute(wants, *change(table.name, table.schema)[1:], step="comment")


def _differs(found: Column, asked: Column) -> bool:
    return (
        found.type,
        found.collation,
        found.is_not_null,
        found.default,
        found.generated,
        found.identity,
    ) != (
        asked.type,
        asked.collation,
        asked.is_not_null,
        asked.default,
        asked.generated,
        asked.identity,
    )


def _another(table: Table, found: Column, asked: Column) -> ObjectError:
    return ObjectError(
        f"Table {table} has a column {found.name} already, and it is another one: {found}, not {asked}. "
        "Nothing was changed. Give the new one another name, or change the old one with "
        "online.alter_column()."
    )


def _refuse_partition(work: Work, table: Table) -> None:
    if table.is_partition:
        parent = columns.parent_table(work.connection, table.oid)
        raise ObjectError(
            f"{table} is a partition of {parent}, and has the same columns as it. Nothing was changed. Add "
            f"the column to {parent}: its partitions get it too."
        )


def _refuse_attached(column: sa.Column[Any], what: str) -> None:
    """Refuse what comes with the column and builds or scans under the lock that adds it."""
    if column.primary_key:
        raise _attached(what, "a primary key", "create_unique_constraint")
    if column.foreign_keys:
        raise _attached(what, "a foreign key", "create_foreign_key")
    if column.unique:
        raise _attached(what, "a unique constraint", "create_unique_constraint")
    if column.index:
        raise _attached(what, "an index", "create_index")
    if any(isinstance(found, sa.CheckConstraint) for found in column.constraints):
        raise _attached(what, "a check", "create_check_constraint")


def _attached(what: str, attached: str, operation: str) -> UnsafeError:
    return UnsafeError(
        f"Column {what} comes with {attached}, which would read the whole table while nobody else can. "
        f"Nothing was changed. Leave it out of the column, and write online.{operation}() after "
        "online.add_column()."
    )


def _refuse_hurting(table: Table, name: str, effect: Effect) -> None:
    if effect.hurts is None:
        return
    why, steps = _way_out(table, name, effect)
    raise UnsafeError(
        f"Adding {table}.{name} {effect.hurts} under ACCESS EXCLUSIVE: {why}. Nothing was changed. {steps}"
    )


def _way_out(table: Table, name: str, effect: Effect) -> tuple[str, str]:
    """Say why a column can't be added at once, and the steps that come to the same end."""
    column = effect.column
    alter = f'online.alter_column("{table.name}", "{name}", schema="{table.schema}", '
    fill = f'online.backfill("{table.name}", {{"{name}": "…"}}, schema="{table.schema}")'
    numbers = "Make a sequence, and give a plain column server_default=sa.text(\"nextval('…')\")."
    if column.generated:
        why = "a generated column is computed for every row"
        steps = f"Add a plain column, keep it with a trigger, and fill the old rows: {fill}."
    elif column.identity:
        why, steps = "an identity numbers every row", numbers
    elif column.is_constrained_domain or (effect.rewrites and column.default is None):
        why = f"domain {column.type} has constraints, which are checked row by row"
        steps = (
            "Add it with the type below the domain, and the constraints by online.create_check_constraint()."
        )
    elif column.default is None:
        why = "it is NOT NULL and has no default, so old rows contradict it"
        steps = f"Three steps: online.add_column() with nullable=True; {fill}; {alter}nullable=False)."
    else:
        why, steps = "a serial type numbers every row", numbers
    return why, steps
