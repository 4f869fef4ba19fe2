"""The six steps of a restructure, in terms of building, switching and dropping.

The schema of the other table tells on which side of the switch the table is.
"""

from dataclasses import dataclass
from typing import Final

from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online import begun
from homeops_db.online.restructure import asked as asking
from homeops_db.online.restructure import build, contract, grown, parts, sides, switch, written
from homeops_db.online.restructure.operation import Restructure
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


@dataclass(frozen=True)
class Sides:
    """A restructure that was looked up: before the switch, and after it."""

    change: Change
    before: Side
    after: Side


def expand(work: Work, table: Table, asked: Restructure) -> None:
    """Build the new table."""
    if not _is_done(work, table, asked):
        found = _begun(work, table, asked)
        if not _has(work, found.after):  # else it is switched already
            _build(work, found, found.before, found.after, asked)


def switch_over(work: Work, table: Table, asked: Restructure) -> None:
    """Make the new table the application's; what expand has not done is done first."""
    if not _is_done(work, table, asked):
        found = _begun(work, table, asked)
        if found.change.state == changes.EXPANDING:
            _build(work, found, found.before, found.after, asked)
        _switch(work, found, found.before, found.after)


def drop_old(work: Work, table: Table, asked: Restructure) -> None:
    """Drop the old table."""
    if not _is_done(work, table, asked):
        found = _known(work, table, asked, "contract")
        _refuse_other_side(work, found.before, "contract", "switch")
        contract.drop(work, found.after, found.change, changes.CONTRACTED)


def build_old(work: Work, table: Table, asked: Restructure) -> None:
    """Build the old table again."""
    found = _known(work, table, asked, "undo_contract")
    if not _has(work, found.before):
        _build(work, found, found.after, found.before, asked)


def switch_back(work: Work, table: Table, asked: Restructure) -> None:
    """Make the old table the application's again."""
    found = _known(work, table, asked, "undo_switch")
    if found.change.state == changes.CONTRACTED:
        _build(work, found, found.after, found.before, asked)
    _switch(work, found, found.after, found.before)


def drop_new(work: Work, table: Table, asked: Restructure) -> None:
    """Drop the new table."""
    found = _known(work, table, asked, "undo_expand")
    _refuse_other_side(work, found.after, "undo_expand", "undo_switch")
    contract.drop(work, found.before, found.change, changes.UNDONE)


STEPS: Final = {
    "expand": expand,
    "switch": switch_over,
    "contract": drop_old,
    "undo_contract": build_old,
    "undo_switch": switch_back,
    "undo_expand": drop_new,
}


def _build(work: Work, found: Sides, side: Side, other: Side, asked: Restructure) -> None:
    build.build(work, side, other, found.change, asked.workers)
    changes.move(work.connection, found.change.id, changes.SWITCHED if side.is_switched else changes.EXPANDED)


def _switch(work: Work, found: Sides, side: Side, other: Side) -> None:
    if _has(work, side):
        switch.switch(work, side, other, found.change)
    elif found.change.state != changes.CONTRACTED:  # a run before has come so far, and maybe no farther
        switch.finish(work, found.change)


def _has(work: Work, side: Side) -> bool:
    return parts.exists(work, side)


def _refuse_other_side(work: Work, side: Side, step: str, first: str) -> None:
    if _has(work, side):
        raise ObjectError(
            f"{step}() would drop the table that the application uses: {side.table} isn't switched. Nothing "
            f"was changed. Run {first}() first."
        )


def _is_done(work: Work, table: Table, asked: Restructure) -> bool:
    """Whether a script has done it at once: the columns are as asked, and nothing is known of a change."""
    found = _find(work, table, asked)
    if found is not None and not begun.is_over(work, found):
        return False
    return asking.is_so(work, table, asked)


def _begun(work: Work, table: Table, asked: Restructure) -> Sides:
    """Look the change up, or begin it."""
    change = _find(work, table, asked)
    if change is None or begun.is_over(work, change):
        old, new = asking.shapes(work, table, asked)
        shapes = {"old": old.as_json(), "new": new.as_json()}
        said = written.as_json(asked)
        change = begun.begin(work, changes.RESTRUCTURE, str(table), table.name, said, **shapes)
    return _sides(work, table, change)


def _known(work: Work, table: Table, asked: Restructure, step: str) -> Sides:
    """Look up a change that was begun.

    Raises:
        ObjectError: Nothing is known of one.
    """
    change = _find(work, table, asked)
    if change is None:
        raise ObjectError(
            f"{step}() doesn't know what {table} was: its restructure wasn't begun here, or was done by a "
            "script. Nothing was changed. Run the downgrade as a script too: alembic downgrade --sql."
        )
    return _sides(work, table, change)


def _find(work: Work, table: Table, asked: Restructure) -> Change | None:
    return begun.find(work, changes.RESTRUCTURE, str(table), table.name, written.as_json(asked))


def _sides(work: Work, table: Table, change: Change) -> Sides:
    old, new = (sides.from_json(change.definition[key]) for key in ("old", "new"))
    new = grown.with_grown(work, table, old, new)
    return Sides(change, Side(table, change.id, False, old, new), Side(table, change.id, True, new, old))
