"""Builds the shadow: an empty table with all that hangs on it, tried out; then its rows, and the triggers."""

from typing import Final

from psycopg import sql

from homeops_db import faults
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online.restructure import (
    copy,
    drain,
    indexes,
    keys,
    late,
    parts,
    refusals,
    switch,
    sync,
    table,
)
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

NOTHING_BUILT: Final = {"tried": None, "copying": None, "copied": None, "settled": None, "carried": None}
"""What is noted when there is no shadow any more."""


def build(work: Work, side: Side, other: Side, change: Change, workers: int) -> None:
    """Build the shadow, or what is missing of it; both tables are equal in the end.

    Locks: see `Restructure.expand`.
    """
    kept = changes.by_number(work.connection, change.id).kept
    if kept.get("copying") and not sync.is_there(work.connection, side):
        kept = NOTHING_BUILT  # somebody has dropped the triggers, and nobody knows what changed since
        changes.keep(work.connection, change.id, **kept)
    if kept.get("tried") != side.schema:
        _make(work, side, other, change)
    sync.ensure(work, side)
    faults.point("restructure: made")
    if kept.get("copied") != side.schema:
        copy.copy(work, side, change, workers)
        faults.point("restructure: copied")
    # What was written since a run that has failed is settled too: an index may fail for what the row was.
    is_late = kept.get("carried") is None and drain.pending(work.connection, side)
    if kept.get("settled") != side.schema or is_late:
        copy.settle(work, side)
        changes.keep(work.connection, change.id, settled=side.schema)
    indexes.build(work, side, workers)
    parts.ensure(work, side, keys=False)
    faults.point("restructure: indexed")
    late.carry(work, side, change)
    parts.ensure(work, side)
    faults.point("restructure: synced")
    work.alone(f"ANALYZE {side.shadow}", step="analyze")
    faults.point("restructure: analyzed")


def _make(work: Work, side: Side, other: Side, change: Change) -> None:
    """Make the shadow with all that hangs on it, and try the switch out, before a row is copied."""
    try:
        refusals.refuse(work, side)
        forget(work, side)
        table.make(work, side)
        parts.ensure(work, side)
        parts.refuse_differences(work, side)
        switch.trial(work, side, other)
        parts.strip(work, side)
    except BaseException:
        if not work.connection.closed:
            forget(work, side)
            if change.state == changes.EXPANDING:
                changes.move(work.connection, change.id, changes.UNDONE)
        raise
    changes.keep(work.connection, change.id, tried=side.schema)


def forget(work: Work, side: Side) -> None:
    """Drop a shadow that has no rows yet, with its schema; see `keys.drop`."""
    keys.drop(work, side)
    schema = sql.Identifier(side.schema).as_string()
    work.connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
