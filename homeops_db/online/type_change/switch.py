"""The switch: one short transaction in which two columns, and all that hangs on them, swap their names."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import columns, constraints, hanging, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.hanging import Hanging
from homeops_db.errors import LockTimeoutError, ObjectError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import not_null
from homeops_db.online.type_change import (
    attributes,
    build,
    complete,
    held,
    materialized,
    materialized_build,
    parts,
    proof,
    refusals,
    sync,
    words,
)
from homeops_db.online.type_change.materialized import Original
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work

_TRIES: Final = 3
_SLOW_TRIES: Final = 8
_PAUSE: Final = 0.2  # seconds, times the number of the try


def switch(work: Work, side: Side, other: Side, change: Change) -> None:
    """Go from one side to the other.

    Args:
        work: The operation.
        side: The side that is left; its shadow becomes the application's column.
        other: The side that is gone to.
        change: What is stored of the change.

    Raises:
        ViolationError: A row's columns don't belong together. Nothing was switched.
        ObjectError: The triggers that keep them alike are gone, or don't always fire.
        LockTimeoutError: Somebody reads by a snapshot from before the filling, or a lock wasn't to be had.

    Locks: ACCESS EXCLUSIVE on the table, and on tables at the other end of the column's foreign keys, for
    some milliseconds. Before, the proof reads the table without a lock; afterwards NOT NULL, checks and
    foreign keys are validated, as `online.validate_constraint` does.
    """
    column = columns.column(work.connection, side.table.oid, side.column)
    assert column is not None
    prove(work, side, change)
    _complete(work, side)
    since = proof.refuse(work, side, change)
    held.refuse_broken(work, side)
    if _needs_values(column):
        not_null.ensure(work, side.table, side.shadow)
    complete.wait(work, side, since)

    views = materialized_build.build(work, side)
    changed = slow = 0
    while True:
        prepared = _prepare(work, side, other, change, views)
        wants = [*_wants(work, side), *materialized.wants(work.connection, views)]
        try:
            work.under_locks(wants, prepared.send, step="switch")
            break
        except _ChangedError:
            changed += 1
            if changed == _TRIES:
                raise
            _complete(work, side)
            views = materialized_build.build(work, side)
        except _Slow as tried:  # the first try is the slowest, and a busy server may have a better moment
            slow += 1
            if slow == _SLOW_TRIES:
                raise _too_slow(work, side, tried.held) from None
            time.sleep(slow * _PAUSE)
    finish(work, other, change)


def _complete(work: Work, side: Side) -> None:
    """Build what is missing, and drop what is too much: somebody may have changed the table since expand."""
    build.refuse(work, side)
    refusals.refuse_hiding(work.connection, side)
    attributes.ensure(work, side)
    parts.clear(work, side)
    parts.build(work, side)


class _ChangedError(ObjectError):
    """Somebody has changed what hangs on the column between our look and our lock."""


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
    column: Column
    found: Sequence[Hanging]
    views: Sequence[Original]
    script: bytes
    limit: timedelta

    def send(self, connection: Connection) -> None:
        began = time.monotonic()
        side = self.side
        if not sync.is_there(connection, side):
            raise ObjectError(
                f"The triggers that keep both columns of {side.table}.{side.column} alike are gone, or were "
                "disabled. Nothing was switched. Make them again: run the revision that expands, or its "
                "expand() in a new one."
            )
        proof.refuse_met(connection, side, self.change.id)
        found = _hanging(connection, side)
        if found != self.found or materialized.of(connection, side, found) != self.views:
            raise _ChangedError(
                f"Somebody changes what hangs on {side.table}.{side.column} at this moment. Nothing was "
                "switched. Let that end, then run the same command again."
            )
        unproven = held.unproven(found)
        connection.execute(self.script)
        state = changes.SWITCHED if self.other.is_switched else changes.EXPANDED
        defaults = attributes.defaults(connection, side, self.column)
        said = held.said(connection, side, found)
        changes.move(connection, self.change.id, state, defaults=defaults, unproven=unproven, held=said)
        taken = timedelta(seconds=time.monotonic() - began)
        if taken > self.limit:
            raise _Slow(taken)


def _prepare(work: Work, side: Side, other: Side, change: Change, views: Sequence[Original]) -> _Prepared:
    column = columns.column(work.connection, side.table.oid, side.column)
    assert column is not None
    statements = _statements(work.connection, side, other, change, column=column, views=views)
    texts = (one if isinstance(one, str) else one.as_string(work.connection) for one in statements)
    script = ";\n".join(text.strip().rstrip(";") for text in texts).encode()
    found = _hanging(work.connection, side)
    return _Prepared(side, other, change, column, found, views, script, work.policy.lock_timeout)


def _too_slow(work: Work, side: Side, held: timedelta) -> LockTimeoutError:
    limit = work.policy.lock_timeout / timedelta(milliseconds=1)
    longer = 2 * math.ceil(held / timedelta(milliseconds=1))
    return LockTimeoutError(
        f"Switching {side.table}.{side.column} would stop its table for "
        f"{held / timedelta(milliseconds=1):.0f} ms, and lock_timeout allows {limit:g}: too much hangs on "
        "the column, or the server is busy. Nothing was switched. "
        f'Choose a quieter time, or allow more: with online.policy(lock_timeout="{longer}ms").',
        tries=_SLOW_TRIES,
    )


def finish(work: Work, side: Side, change: Change) -> None:
    """Do what needs no strong lock, or the rest of it: NOT NULL, checks and foreign keys are validated.

    Materialized views that were replaced go.
    """
    materialized.clear(work, side)
    prove(work, side, change)


def prove(work: Work, side: Side, change: Change) -> None:
    """Validate what the last switch has left unproven; a run that was broken off may not have come so far."""
    found = constraints.of_table(work.connection, side.table.oid)
    if any(_is_unproven(one, side) for one in found):
        not_null.ensure(work, side.table, side.column)
    held.validate(work, change)


def _is_unproven(one: Constraint, side: Side) -> bool:
    """Whether a constraint is NOT NULL of the column, and not validated; or the CHECK in the place of it."""
    if one.kind == constraints.NOT_NULL:
        return one.columns == [side.column] and not one.is_validated
    return one.name == not_null.proof_name(side.column)


def _hanging(connection: Connection, side: Side) -> list[Hanging]:
    oids = [part.oid for part in tables.tree(connection, side.table.oid)]
    return hanging.of_column(connection, oids, side.column)


def _statements(
    connection: Connection,
    side: Side,
    other: Side,
    change: Change,
    *,
    column: Column,
    views: Sequence[Original],
) -> Iterator[Statement]:
    said = words.read(connection, side)
    table = sql.Identifier(side.table.schema, side.table.name)
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    yield from said.before
    yield from sync.drop(side)
    yield rename.format(table, sql.Identifier(side.column), sql.Identifier(other.shadow))
    yield rename.format(table, sql.Identifier(side.shadow), sql.Identifier(side.column))
    yield from parts.swap(connection, side, other, change.kept.get("held", {}))
    yield from materialized.swap(side, other, views)
    yield from attributes.swap(connection, side, other, column, change.kept.get("defaults", {}))
    if column.is_not_null and columns.has_not_null_constraints(connection):
        yield from _named_not_null(connection, side)
    elif column.is_not_null and not _needs_values(column):
        # Proven when the lock is gone; new rows are held to it from here on.
        yield sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID").format(
            table, sql.Identifier(not_null.proof_name(side.column)), sql.Identifier(side.column)
        )
    yield from said.after
    yield from sync.create(connection, other, change.id)


def _named_not_null(connection: Connection, side: Side) -> Iterator[Statement]:
    """Since PostgreSQL 18 NOT NULL has a name, which stays; it is proven when the lock is gone."""
    named = {
        one.columns[0]: one.name
        for one in constraints.of_table(connection, side.table.oid)
        if one.kind == constraints.NOT_NULL
    }
    table = sql.Identifier(side.table.schema, side.table.name)
    name = sql.Identifier(named[side.column])
    if side.shadow in named:
        rename = sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}")
        yield rename.format(table, sql.Identifier(named[side.shadow]), name)
    else:
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} NOT NULL {} NOT VALID")
        yield add.format(table, name, sql.Identifier(side.column))


def _needs_values(column: Column) -> bool:
    """Whether NOT NULL must stand before the switch: what is put on the column there demands it."""
    return column.is_in_primary_key or bool(column.identity)


def _wants(work: Work, side: Side) -> list[Wanted]:
    return [wanted(work.connection, side.table), *held.wants(work, side, parts.of(work.connection, side))]
