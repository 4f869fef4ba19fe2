"""The drain: rows whose keys were written down are carried over, until none is left.

What fails is tried again as long as others succeed: a row may come before the one that it refers to, or
before the one whose unique value it takes over. What is left then is taken away and made again together.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.errors import DeadlockDetected, Error, LockNotAvailable
from psycopg.rows import scalar_row

from homeops_db import faults
from homeops_db.catalog import constraints, heap, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import LockTimeoutError
from homeops_db.history import changes
from homeops_db.locking.wanted import limit
from homeops_db.online.restructure import drained, rows
from homeops_db.online.restructure.sides import LOG, Side
from homeops_db.online.work import Work

_CALM: Final = 20  # passes
_TOGETHER: Final = 1000  # keys
_LARGE: Final = 64  # pages
_PAUSE: Final = 0.02  # seconds
_PATIENCE: Final = timedelta(milliseconds=50)  # long before anybody looks for a deadlock
_READ_COMMITTED: LiteralString = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_REPEATABLE_READ: LiteralString = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


def functions(side: Side, deferred: Sequence[str] = ()) -> Iterator[str]:
    """Write the functions by which rows are carried over; ``deferred`` as in `sync.carries`."""
    yield rows.refresh(side)
    yield drained.function(side, deferred)


def drop_functions(side: Side) -> Iterator[str]:
    """Write the statements that drop them: on the other side the key may have another type."""
    types = ", ".join(field.type for _, field in rows.parameters(side))
    yield f"DROP FUNCTION IF EXISTS {rows.refresh_name(side)}({types})"
    yield f"DROP FUNCTION IF EXISTS {drained.name(side)}(tid, tid, boolean)"


def drain(work: Work, side: Side) -> None:
    """Carry over rows until no key is left; a row that the shadow can't hold is noted, and tried next time.

    Where writers go on writing down keys, it ends when it has caught up with them.

    Locks: the rows of some hundreds of keys at once, FOR KEY SHARE, for some milliseconds; nobody is waited
    for with a lock held. Who is in the way is tried again and again.

    Raises:
        LockTimeoutError: A row wasn't to be had for ``give_up_after``.
    """
    _send(work, drained.again(side))
    since, before, calm, is_patient = time.monotonic(), 0, 0, False
    while calm <= _CALM:
        _send(work, drained.ghosts(side))
        done = _pass(work, side, is_patient=is_patient)
        if done.carried:
            since = time.monotonic()
            logging.getLogger(__name__).info("%s: %d rows carried over", side.table, done.carried)
        if not _has_keys(work.connection, side):
            break
        if done.held:
            _pause(work, side, since)
        elif not done.carried:
            _end(work, side)
            break
        calm += 0 < before <= done.carried  # as many as we carry over are written down anew
        before, is_patient = done.carried, bool(done.held)
    _clear(work, side)


def refers_to_itself(connection: Connection, table: Table) -> bool:
    """Whether rows of a table refer to others of it. Takes no lock."""
    return any(one.referent_oid == table.oid for one in constraints.of_table(connection, table.oid))


def pending(connection: Connection, side: Side) -> bool:
    """Whether there are rows that aren't carried over: keys are written down, or could not be held."""
    return _has_keys(connection, side) or bool(changes.errors(connection, side.change_id, limit=1))


def _has_keys(connection: Connection, side: Side) -> bool:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(f"SELECT EXISTS (SELECT FROM {side.log})".encode()).fetchone())


def _pass(work: Work, side: Side, *, is_last: bool = False, is_patient: bool = False) -> drained.Done:
    """Go once through all keys, some hundreds in a transaction."""
    carried = failed = held = 0
    for first in range(heap.blocks(work.connection, _log(work, side))):
        try:
            done = _window(work, side, first, is_last=is_last, is_patient=is_patient)
        except (LockNotAvailable, DeadlockDetected):
            held += 1
            continue
        carried, failed, held = carried + done.carried, failed + done.failed, held + done.held
    return drained.Done(carried, failed, held)


def _window(work: Work, side: Side, first: int, *, is_last: bool, is_patient: bool) -> drained.Done:
    with work.connection.transaction():
        work.connection.execute(_READ_COMMITTED)  # each statement sees what was committed before it
        limit(work.connection, min(work.policy.lock_timeout, _PATIENCE))
        if is_patient:  # with no lock held yet, and in its turn
            _send(work, drained.queued(side, first))
        call = f"SELECT {drained.name(side)}('({first},0)', '({first + 1},0)', {is_last})"
        with work.connection.cursor(row_factory=scalar_row) as cursor:
            return drained.Done(*(cursor.execute(call.encode()).fetchone() or (0, 0, 0)))


def _pause(work: Work, side: Side, since: float) -> None:
    """Let those go on who hold rows that we need.

    Raises:
        LockTimeoutError: They have had their time.
    """
    faults.point("restructure: drain held back")
    if time.monotonic() - since > work.policy.give_up_after.total_seconds():
        raise LockTimeoutError(
            f"Rows of {side.table} are locked for longer than give_up_after allows, and they must be carried "
            "over before the switch. Nothing was switched. Look who holds them (homeops-db status), then run "
            "the same command again.",
            tries=1,
        )
    time.sleep(_PAUSE)


def _end(work: Work, side: Side) -> None:
    """Carry over together what can't be carried over one by one; what can't be so either is noted."""
    with work.connection.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(f"SELECT count(*) FROM {side.log}".encode()).fetchone() or 0
    # A row that is taken away would take with it those that refer to it, which nobody has written down.
    if found <= _TOGETHER and not refers_to_itself(work.connection, side.table):
        try:
            with work.connection.transaction():
                work.connection.execute(_REPEATABLE_READ)  # all statements see the same keys
                limit(work.connection, work.policy.lock_timeout)
                for statement in drained.together(side):
                    work.connection.execute(statement.encode())
        except Error:
            if work.connection.closed:
                raise
    _pass(work, side, is_last=True)


def _clear(work: Work, side: Side) -> None:
    """Give back a large table of keys: the switch looks through its pages while it stops everybody."""
    if heap.blocks(work.connection, _log(work, side)) > _LARGE:
        try:
            with work.connection.transaction():
                work.connection.execute(f"LOCK TABLE {side.log} IN ACCESS EXCLUSIVE MODE NOWAIT".encode())
                if not _has_keys(work.connection, side):
                    work.connection.execute(f"TRUNCATE {side.log}".encode())
        except LockNotAvailable:
            work.alone(f"VACUUM {side.log}", step="vacuum keys")


def _send(work: Work, statement: str) -> None:
    work.connection.execute(statement.encode())


def _log(work: Work, side: Side) -> int:
    found = tables.table(work.connection, LOG, side.schema)
    assert found is not None
    return found.oid
