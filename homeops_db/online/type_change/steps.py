"""The six steps of a type change, in terms of building, switching and dropping.

The columns themselves tell how far a change is: the shadow's name says on which side of the switch the table
is.
"""

from dataclasses import dataclass
from typing import Final

from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import to_instance

from homeops_db.catalog import columns, hanging
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online import begun, subject
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.type_change import build, contract, expressions, switch
from homeops_db.online.type_change.expressions import Written
from homeops_db.online.type_change.operation import TypeChange
from homeops_db.online.type_change.sides import NEW, OLD, Side
from homeops_db.online.work import Work


@dataclass(frozen=True)
class Sides:
    """A type change that was looked up: before the switch, and after it."""

    change: Change
    before: Side
    after: Side


def expand(work: Work, table: Table, asked: TypeChange) -> None:
    """Build the new column."""
    if not _is_done(work, table, asked):
        sides = _begun(work, table, asked)
        if not _has(work, sides.after):  # else it is switched already
            _build(work, sides, sides.before, asked)


def switch_over(work: Work, table: Table, asked: TypeChange) -> None:
    """Make the new column the application's; what expand has not done is done first."""
    if not _is_done(work, table, asked):
        sides = _begun(work, table, asked)
        if sides.change.state == changes.EXPANDING:
            _build(work, sides, sides.before, asked)
        _switch(work, sides, sides.before, sides.after)


def drop_old(work: Work, table: Table, asked: TypeChange) -> None:
    """Drop the old column."""
    if not _is_done(work, table, asked):
        sides = _known(work, table, asked, "contract")
        _refuse_other_side(work, sides.before, "contract", "switch")
        contract.drop(work, sides.after, sides.change, changes.CONTRACTED)


def build_old(work: Work, table: Table, asked: TypeChange) -> None:
    """Build the old column again."""
    sides = _known(work, table, asked, "undo_contract")
    if not _has(work, sides.before):
        _build(work, sides, sides.after, asked)


def switch_back(work: Work, table: Table, asked: TypeChange) -> None:
    """Make the old column the application's again."""
    sides = _known(work, table, asked, "undo_switch")
    if sides.change.state == changes.CONTRACTED:
        _build(work, sides, sides.after, asked)
    _switch(work, sides, sides.after, sides.before)


def drop_new(work: Work, table: Table, asked: TypeChange) -> None:
    """Drop the new column."""
    sides = _known(work, table, asked, "undo_expand")
    _refuse_other_side(work, sides.after, "undo_expand", "undo_switch")
    contract.drop(work, sides.before, sides.change, changes.UNDONE)


STEPS: Final = {
    "expand": expand,
    "switch": switch_over,
    "contract": drop_old,
    "undo_contract": build_old,
    "undo_switch": switch_back,
    "undo_expand": drop_new,
}


def _build(work: Work, sides: Sides, side: Side, asked: TypeChange) -> None:
    try:
        build.build(work, side, sides.change, Asked(workers=asked.workers))
    except ObjectError:
        if sides.change.state == changes.EXPANDING and not _has(work, side):  # nothing was changed
            changes.move(work.connection, sides.change.id, changes.UNDONE)
        raise
    changes.move(work.connection, sides.change.id, changes.SWITCHED if side.is_switched else changes.EXPANDED)


def _switch(work: Work, sides: Sides, side: Side, other: Side) -> None:
    if _has(work, side):
        switch.switch(work, side, other, sides.change)
    elif sides.change.state != changes.CONTRACTED:  # a run before has come so far, and maybe no farther
        switch.finish(work, other, sides.change)


def _has(work: Work, side: Side) -> bool:
    return columns.column(work.connection, side.table.oid, side.shadow) is not None


def _refuse_other_side(work: Work, side: Side, step: str, first: str) -> None:
    if _has(work, side):
        raise ObjectError(
            f"{step}() would drop the column that the application uses: {side.table}.{side.column} isn't "
            f"switched. Nothing was changed. Run {first}() first."
        )


def _is_done(work: Work, table: Table, asked: TypeChange) -> bool:
    """Whether the column has the new type already, and no shadow: a script has done it at once."""
    column = columns.column(work.connection, table.oid, asked.column_name)
    twins = (subject.shortened(prefix + asked.column_name) for prefix in (NEW, OLD))
    if column is None or any(columns.column(work.connection, table.oid, name) for name in twins):
        return False
    return column.type == _type_name(work, asked)


def _begun(work: Work, table: Table, asked: TypeChange) -> Sides:
    """Look the change up, or begin it."""
    change = _find(work, table, asked)
    if change is not None and not begun.is_over(work, change):
        return _sides(work, table, asked, change)
    column = _column(work, table, asked.column_name)
    found = {"old": column.type, "collation": column.collation}
    _expressions(work, table, asked, column.type)  # before anything is written down
    change = begun.begin(
        work, changes.TYPE_CHANGE, str(table), asked.column_name, _said(work, asked), **found
    )
    return _sides(work, table, asked, change)


def _known(work: Work, table: Table, asked: TypeChange, step: str) -> Sides:
    """Look up a change that was begun, in this revision or in another.

    Raises:
        ObjectError: Nothing is known of one.
    """
    change = _find(work, table, asked)
    if change is None:
        raise ObjectError(
            f"{step}() doesn't know what {table}.{asked.column_name} was: its type change wasn't begun here, "
            "or was done by a script. Nothing was changed. Run the downgrade as a script too: alembic "
            "downgrade --sql."
        )
    return _sides(work, table, asked, change)


def _find(work: Work, table: Table, asked: TypeChange) -> Change | None:
    return begun.find(work, changes.TYPE_CHANGE, str(table), asked.column_name, _said(work, asked))


def _said(work: Work, asked: TypeChange) -> dict[str, str]:
    return {"new": _type_name(work, asked), "up": asked.up, "down": asked.down}


def _sides(work: Work, table: Table, asked: TypeChange, change: Change) -> Sides:
    name, new, old = asked.column_name, _type_name(work, asked), str(change.definition["old"])
    kept = change.definition.get("collation")
    up, down = _expressions(work, table, asked, old)
    return Sides(
        change,
        Side(table, name, False, new, old, up, down, _collation(work, asked, new, kept)),
        Side(table, name, True, old, new, down, up, kept),
    )


def _expressions(work: Work, table: Table, asked: TypeChange, old: str) -> tuple[str, str]:
    name, new = asked.column_name, _type_name(work, asked)
    return (
        expressions.canonical(work, table, Written("up", asked.up, name, old, new)),
        expressions.canonical(work, table, Written("down", asked.down, name, new, old)),
    )


def _column(work: Work, table: Table, name: str) -> Column:
    column = columns.column(work.connection, table.oid, name)
    if column is None:
        raise ObjectError(
            f"Table {table} has no column {name}. Nothing was changed. Check the names in the revision."
        )
    return column


def _collation(work: Work, asked: TypeChange, new: str, kept: str | None) -> str | None:
    """Give the new column's collation: what the revision says, or what the column has, if the type can."""
    said = getattr(to_instance(asked.type_), "collation", None)
    if said is not None:
        return sql.Identifier(str(said)).as_string()
    return kept if hanging.is_collatable(work.connection, new) else None


def _type_name(work: Work, asked: TypeChange) -> str:
    """Name the new type as the server does."""
    compiled = to_instance(asked.type_).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return columns.type_name(work.connection, compiled)
