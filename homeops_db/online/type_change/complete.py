"""Since when each version of a row has the shadow's value: by an older snapshot it would be read as empty.

The moment is taken after a proof that found all rows equal. It holds for as long as no writer meets a value
that the shadow can't hold, over all later switches; so days after ``expand`` nobody is waited for. The old
column has always had its values, unless it was built again.
"""

from dataclasses import asdict
from typing import Final

from psycopg import Connection

from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online import older_snapshots
from homeops_db.online.older_snapshots import Moment
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

_ALWAYS: Final = Moment(0, 0, {})


def known(connection: Connection, side: Side, change: Change) -> Moment | None:
    """Read the moment; None where no proof has succeeded. ``change`` may have been read long ago."""
    kept = changes.by_number(connection, change.id).kept
    if _key(side) not in kept:
        return _ALWAYS if side.is_switched else None
    found = kept[_key(side)]
    return None if found is None else Moment(**found)


def forget(connection: Connection, side: Side, change: Change) -> None:
    """Write down that nothing is known, until the next proof."""
    changes.keep(connection, change.id, **{_key(side): None})


def note(work: Work, side: Side, change: Change, known: Moment | None = None) -> Moment:
    """Write down after a proof what was known, or this moment."""
    moment = older_snapshots.moment(work) if known is None else known
    changes.keep(work.connection, change.id, **{_key(side): asdict(moment)})
    return moment


def wait(work: Work, side: Side, since: Moment) -> None:
    """Wait until nobody reads by a snapshot from before the moment.

    Raises:
        LockTimeoutError: It took too long. Nothing was switched.
    """
    column = f"{side.table}.{side.column}"
    older_snapshots.wait(
        work, side.table, since, consequence=f"after the switch they would read NULL in {column}"
    )


def _key(side: Side) -> str:
    return "complete_old" if side.is_switched else "complete_new"
