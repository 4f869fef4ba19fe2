"""What hangs on the application's table may change while both are kept alike: the shadow is given it too."""

from homeops_db import faults
from homeops_db.catalog import firing, standstill
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online.restructure import drain, parts, sync
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def ensure(work: Work, side: Side, change: Change) -> None:
    """Make the shadow what it should be by now.

    Meanwhile the triggers write down keys again: a writer must not wait for an index of the shadow.

    Raises:
        ObjectError: See `parts.ensure`.
    """
    kept = changes.by_number(work.connection, change.id).kept
    if parts.lacks(work, side) or kept.get("noting") == side.schema:  # or a run before was broken off here
        changes.keep(work.connection, change.id, noting=side.schema)
        by_row = firing.misses_statements(work.connection, side.table.oid)
        work.connection.execute(sync.notes(side, by_row=by_row).encode())
        try:
            parts.ensure(work, side, keys=False)
        finally:
            if not work.connection.closed:
                carry(work, side, change)
        parts.ensure(work, side)


def carry(work: Work, side: Side, change: Change) -> None:
    """Carry over what was written down, and have writers do so themselves from here on."""
    deferred = sync.deferrable(work.connection, parts.oid(work, side))
    for statement in drain.functions(side, deferred):
        work.connection.execute(statement.encode())
    drain.drain(work, side)
    faults.point("restructure: drained")
    by_row = firing.misses_statements(work.connection, side.table.oid)
    work.connection.execute(
        sync.carries(
            side,
            by_row=by_row,
            deferred=deferred,
            may_drop=change.switched_at is None and not drain.refers_to_itself(work.connection, side.table),
        ).encode()
    )
    drain.drain(work, side)
    # From here on the writer's own commit shows a row in both tables; see `switch`.
    changes.keep(
        work.connection, change.id, noting=None, carried=standstill.next_transaction(work.connection)
    )
