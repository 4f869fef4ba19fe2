"""The switch: one short transaction in which two tables, and all that hangs on them, change their places."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import (
    DataError,
    DependentObjectsStillExist,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    UndefinedObject,
    UndefinedTable,
)

from homeops_db import faults
from homeops_db.catalog import constraints, firing, locks, standstill, tables, unchanged
from homeops_db.errors import LockTimeoutError, ObjectError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import older_snapshots
from homeops_db.online.restructure import copy, drain, late, materialized, moved, parts, proof, sync, table
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_TRIES: Final = 3
_SLOW_TRIES: Final = 8
_PAUSE: Final = 0.2  # seconds, times the number of the try
_SHOWN: Final = 120
_CONSEQUENCE: Final = "after the switch they would miss rows"
_REFUSED: Final = (ProgrammingError, NotSupportedError, DataError, DependentObjectsStillExist, IntegrityError)


def switch(work: Work, side: Side, other: Side, change: Change) -> None:
    """Go from one side to the other.

    Args:
        work: The operation.
        side: The side that is left; its shadow becomes the application's table.
        other: The side that is gone to.
        change: What is stored of the change.

    Raises:
        ViolationError: Rows differ. Nothing was switched.
        ObjectError: The triggers are gone, or both tables differ in what nobody asked for.
        LockTimeoutError: See `locking.take`; or it would have taken too long.

    Locks: ACCESS EXCLUSIVE on both tables, and on tables whose foreign keys refer to the application's, for
    some milliseconds.
    """
    refuse_without_triggers(work.connection, side)
    prove(work, change)
    _complete(work, side, change)
    overtaken = slow = 0
    while True:
        prepared = _prepare(work, side, other, change)
        try:
            work.under_locks(_wants(work, side), prepared.send, step="switch")
            break
        except _LateError:
            overtaken += 1
            if overtaken == _TRIES:
                raise
            _complete(work, side, change)
        except _Slow as tried:  # the first try is the slowest, and a busy server may have a better moment
            slow += 1
            if slow == _SLOW_TRIES:
                raise _too_slow(work, side, tried.held) from None
            time.sleep(slow * _PAUSE)
    finish(work, change)


def finish(work: Work, change: Change) -> None:
    """Do what needs no strong lock: foreign keys to the table are validated."""
    faults.point("restructure: switched")
    prove(work, change)


def prove(work: Work, change: Change) -> None:
    """Validate what the last switch has left unproven; a run that was broken off may not have come so far."""
    statements = changes.by_number(work.connection, change.id).kept.get("validate", [])
    for statement in statements:
        with suppress(UndefinedObject, UndefinedTable):  # somebody has dropped it since
            work.alone(statement, step="validate key")
    if statements:
        changes.keep(work.connection, change.id, validate=[])


def _complete(work: Work, side: Side, change: Change) -> None:
    """Make what is missing, carry over what is written down, and prove that both tables are equal.

    Then whoever reads by a snapshot from before is waited for: rows that a writer itself carries over appear
    with his commit in both tables, but those that the copy or the drain has written later don't.
    """
    late.ensure(work, side, change)
    parts.refuse_differences(work, side)
    materialized.fill(work, side)
    if drain.pending(work.connection, side):
        drain.drain(work, side)
        changes.keep(work.connection, change.id, carried=standstill.next_transaction(work.connection))
    proof.refuse(work, side, change)
    since = changes.by_number(work.connection, change.id).kept["carried"]
    older_snapshots.wait(work, side.table, since, consequence=_CONSEQUENCE)


class _LateError(ObjectError):
    """Somebody has changed something between our look and our lock."""


class _Slow(Exception):  # noqa: N818 - is caught here
    """A try has held its locks for too long, and was rolled back."""

    def __init__(self, held: timedelta) -> None:
        super().__init__(held)
        self.held = held


@dataclass(frozen=True)
class _Prepared:
    """A switch that is read and written down, so that under the locks it is one round trip."""

    side: Side
    other: Side
    change: Change
    seen: str
    script: bytes
    validated: Sequence[str]
    limit: timedelta

    def send(self, connection: Connection) -> None:
        began = time.monotonic()
        side = self.side
        refuse_without_triggers(connection, side)
        found = changes.errors(connection, self.change.id)
        if found:
            raise proof.violated(side, [f"{one.key}: {one.message}" for one in found])
        if unchanged.fingerprint(connection, side.table.oid) != self.seen or drain.pending(connection, side):
            raise _LateError(
                f"Somebody changes {side.table}, or what hangs on it, at this moment. Nothing was switched. "
                "Let that end, then run the same command again."
            )
        connection.execute(self.script)
        state = changes.SWITCHED if self.other.is_switched else changes.EXPANDED
        changes.move(connection, self.change.id, state, validate=list(self.validated))
        held = timedelta(seconds=time.monotonic() - began)
        if held > self.limit:
            raise _Slow(held)


def refuse_without_triggers(connection: Connection, side: Side) -> None:
    """Refuse where rows may have been written that nobody has written down.

    Raises:
        ObjectError: The triggers are gone, or don't always fire.
    """
    if not sync.is_there(connection, side):
        raise ObjectError(
            f"The triggers that keep both tables of {side.table} alike are gone, or were disabled. Nothing "
            "was switched. Build the other table again: run undo_expand() (or contract(), where it is "
            "switched), and the step that builds it."
        )


def trial(work: Work, side: Side, other: Side) -> None:
    """Switch and roll back: what can't be said of the new shape is named before a row is copied.

    Raises:
        ObjectError: The server refuses something.

    Locks: those of the switch.
    """
    statements = list(_statements(work, side, other, moved.read(work, side)))

    def send(connection: Connection) -> None:
        with connection.transaction(force_rollback=True):
            connection.execute(_script(statements))

    try:
        work.under_locks(_wants(work, side), send, step="try", changes=False)
    except _REFUSED:
        work.under_locks(
            _wants(work, side),
            lambda connection: _find(connection, side, statements),
            step="try",
            changes=False,
        )
        raise


def _find(connection: Connection, side: Side, statements: Sequence[str]) -> None:
    """Find the statement that is refused."""
    with connection.transaction(force_rollback=True):
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except _REFUSED as error:
                said = " ".join(statement.split())
                said = said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"
                raise ObjectError(
                    f"{side.table} can't get this shape: {said} is refused ({error.diag.message_primary}). "
                    "Nothing was changed. Drop or change what it speaks of in a revision before, or name it "
                    "in drop=."
                ) from error


def _prepare(work: Work, side: Side, other: Side, change: Change) -> _Prepared:
    seen = unchanged.fingerprint(work.connection, side.table.oid)
    materialized.fill(work, side)
    hanging = moved.read(work, side)
    script = _script(_statements(work, side, other, hanging))
    return _Prepared(side, other, change, seen, script, hanging.validated, work.policy.lock_timeout)


def _script(statements: Iterable[str]) -> bytes:
    return ";\n".join(text.strip().rstrip(";") for text in statements).encode()


def _statements(work: Work, side: Side, other: Side, hanging: moved.Moved) -> Iterator[str]:
    yield from hanging.before
    yield from moved.positions(work, side)
    yield from sync.drop(side)
    there, back, here = (
        sql.Identifier(name).as_string() for name in (other.schema, side.schema, side.table.schema)
    )
    owner = sql.Identifier(side.table.owner).as_string()
    yield f"CREATE SCHEMA {there} AUTHORIZATION {owner}"
    yield f"ALTER TABLE {side.here} SET SCHEMA {there}"
    yield f"ALTER TABLE {side.shadow} SET SCHEMA {here}"
    yield from moved.neighbours(work, side, other.schema)
    yield f"DROP TABLE {side.log}"
    yield from hanging.after
    yield f"DROP SCHEMA {back}"
    yield table.log(other)
    yield from drain.drop_functions(side)
    deferred = sync.deferrable(work.connection, side.table.oid)
    yield from drain.functions(other, deferred)
    by_row = bool(other.live.partition_by) or firing.misses_statements(work.connection, side.table.oid)
    yield from sync.create(other, sync.carries(other, by_row=by_row, deferred=deferred), by_row=by_row)


def _wants(work: Work, side: Side) -> list[Wanted]:
    oids = constraints.referring(work.connection, side.table.oid)
    others = (tables.by_oid(work.connection, oid) for oid in oids)
    shadow = copy.shadow(work.connection, side)
    found = {one.oid: one for one in [side.table, *others, *moved.touched(work, side)] if one is not None}
    # Writers hold the application's table, and take the shadow then: who took them the other way round would
    # be in their way again and again. With the first one locked nobody uses the shadow but autovacuum.
    weak = wanted(work.connection, shadow, locks.SHARE_UPDATE_EXCLUSIVE)
    return [weak, *(wanted(work.connection, one) for one in found.values() if one.oid != shadow.oid)]


def _too_slow(work: Work, side: Side, held: timedelta) -> LockTimeoutError:
    limit = work.policy.lock_timeout / timedelta(milliseconds=1)
    longer = 2 * math.ceil(held / timedelta(milliseconds=1))
    return LockTimeoutError(
        f"Switching {side.table} would stop it for {held / timedelta(milliseconds=1):.0f} ms, and "
        f"lock_timeout allows {limit:g}: too much hangs on the table, or the server is busy. Nothing was "
        "switched. "
        f'Choose a quieter time, or allow more: with online.policy(lock_timeout="{longer}ms").',
        tries=_SLOW_TRIES,
    )


def _name(name: str) -> str:
    return sql.Identifier(name).as_string()
