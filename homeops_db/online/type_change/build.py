"""Builds the shadow: column, triggers, values, and a twin of everything that hangs on the column."""

import logging
from collections.abc import Sequence
from typing import Final

from psycopg import sql

from homeops_db.catalog import columns, hanging, tables, worded
from homeops_db.catalog.columns import Column
from homeops_db.catalog.hanging import Hanging
from homeops_db.errors import ObjectError
from homeops_db.history.changes import Change
from homeops_db.locking import pace as pacing
from homeops_db.locking.pace import pace
from homeops_db.locking.wanted import wanted
from homeops_db.online.backfill import operation
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.type_change import (
    attributes,
    complete,
    held,
    materialized,
    parts,
    proof,
    refusals,
    sync,
    trial,
    words,
)
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

_CARRIED: Final = {
    *parts.BUILT,
    *held.KINDS,
    *words.KINDS,
    hanging.MATERIALIZED_VIEW,
    hanging.DEFAULT,
    hanging.SEQUENCE,
}

_FAILING: Final = 1000
"""Rows that the shadow may be unable to hold before the filling is given up."""


def build(work: Work, side: Side, change: Change, asked: Asked) -> None:
    """Build the shadow, or what is missing of it; both columns are equal in the end, or it is said where not.

    Locks: ACCESS EXCLUSIVE on the table for some milliseconds a few times, SHARE ROW EXCLUSIVE to make the
    triggers and keys; the rest as `online.backfill`, `online.create_index` and `online.validate_constraint`.
    """
    refuse(work, side)
    materialized.clear(work, side)
    sync.refuse_later(work.connection, side)
    trial.refuse(work, side)
    complete.forget(work.connection, side, change)
    if columns.column(work.connection, side.table.oid, side.shadow) is None:
        add = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
            sql.Identifier(side.table.schema, side.table.name),
            sql.Identifier(side.shadow),
            sql.SQL(side.declared),
        )
        work.execute([wanted(work.connection, side.table)], add, step="add")
    sync.ensure(work, side, change.id)
    attributes.ensure(work, side)
    fill(work, side, asked)
    parts.build(work, side)
    different = proof.find(work, side)
    for one in different:
        logging.getLogger(__name__).warning("%s can't be switched yet: %s", side.table, one)
    if not different:
        complete.note(work, side, change)


def fill(work: Work, side: Side, asked: Asked) -> None:
    """Fill the shadow where it is empty; a value that it can't hold is written down, and passed over."""
    live, shadow = (sql.Identifier(name).as_string() for name in (side.column, side.shadow))
    with pace(max_errors=max(_FAILING, pacing.current().max_errors)):
        operation.fill(
            work,
            side.table,
            {side.shadow: side.fill},
            f"{shadow} IS NULL AND {live} IS NOT NULL",
            asked,
        )


def refuse(work: Work, side: Side) -> None:
    """Look at what hangs on the column, and refuse what can't be carried over.

    Raises:
        ObjectError: Something can't be carried: all of it is named. Nothing was changed.
    """
    column = columns.column(work.connection, side.table.oid, side.column)
    if column is None:
        raise ObjectError(
            f"Table {side.table} has no column {side.column}. Nothing was changed. Check the names in the "
            "revision."
        )
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    found = hanging.of_column(work.connection, oids, side.column)
    stuck = [str(one) for one in found if one.kind not in _CARRIED]
    stuck += materialized.reasons(work.connection, found)
    views = worded.views_above(work.connection, materialized.on(found))
    stuck += worded.on_views(work.connection, [one.oid for one in views])
    stuck += _of_itself(column)
    stuck += refusals.reasons(work.connection, side, column, found)
    if stuck:
        raise ObjectError(
            f"The type of {side.table}.{side.column} can't be changed while it is needed by: "
            f"{'; '.join(stuck)}. Nothing was changed. Drop these before in a revision of their own, and "
            f"make them again after the change.{_of_generated(found)}"
        )


def _of_generated(found: Sequence[Hanging]) -> str:
    """Say how generated columns come again: one that is stored would be computed for all rows at once."""
    generated = [one.text for one in found if one.kind == hanging.GENERATED]
    if not generated:
        return ""
    if all(text.startswith("virtual") for text in generated):
        return " A virtual column is added in milliseconds, by online.add_column() or op.add_column()."
    return (
        " A stored generated column is dropped by online.drop_column(). To make it again op.add_column() "
        "would rewrite the table; online.Restructure() makes it without a stop."
    )


def _of_itself(column: Column) -> list[str]:
    reasons = {
        "the table's partitions are cut by it": column.is_in_partition_key,
        f"it is inherited from {column.parent}": column.parent is not None,
        "it is generated (drop it, and add it with the other type)": bool(column.generated),
        "rows are identified by it for replication": column.is_in_replica_identity,
    }
    return [why for why, holds in reasons.items() if holds]
