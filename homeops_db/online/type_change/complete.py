"""Since when each version of a row has the shadow's value: by an older snapshot it would be read as empty.

The number is taken after a proof that found all rows equal. It holds for as long as no writer meets a value
that the shadow can't hold, over all later switches; so days after ``expand`` nobody is waited for. The old
column has always had its values, unless it was built again.
"""

from typing import Final

from psycopg import Connection

from homeops_db.catalog import standstill
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online import older_snapshots
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

_ALWAYS: Final = 0


def known(connection: Connection, side: Side, change: Change) -> int | None:
    """Read the number; None where no proof has succeeded. ``change`` may have been read long ago."""
    kept = changes.by_number(connection, change.id).kept
    found: int | None = kept.get(_key(side), _ALWAYS if side.is_switched else None)
    return found


def forget(connection: Connection, side: Side, change: Change) -> None:
    """Write down that nothing is known, until the next proof."""
    changes.keep(connection, change.id, **{_key(side): None})


def note(connection: Connection, side: Side, change: Change, since: int | None = None) -> int:
    """Write down the number after a proof: what was known, or that of this moment."""
    number = standstill.next_transaction(connection) if since is None else since
    changes.keep(connection, change.id, **{_key(side): number})
    return number


def wait(work: Work, side: Side, since: int) -> None:
    """Wait until nobody reads by a snapshot from before the number.

    Raises:
        LockTimeoutError: It took too long. Nothing was switched.
    """
    column = f"{side.table}.{side.column}"
    older_snapshots.wait(
        work, side.table, since, consequence=f"after the switch they would read NULL in {column}"
    )


def _key(side: Side) -> str:
    return "complete_old" if side.is_switched else "complete_new"
