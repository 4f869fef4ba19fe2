"""Drops the shadow with everything that hangs on it: there is no way back without building it anew."""

from collections.abc import Iterator

from psycopg import Connection, sql

from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import wanted
from homeops_db.online.restructure import build, drain, parts, sync
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def drop(work: Work, side: Side, change: Change, state: str) -> None:
    """Drop triggers, functions and the shadow.

    Locks: ACCESS EXCLUSIVE on both tables for some milliseconds.
    """
    if not parts.exists(work, side) and not sync.is_there(work.connection, side):
        changes.move(work.connection, change.id, state)
        return

    def send(connection: Connection) -> None:
        for statement in _statements(side):
            connection.execute(statement.encode())
        changes.move(connection, change.id, state, **build.NOTHING_BUILT)

    work.under_locks([wanted(work.connection, side.table)], send, step="drop")


def _statements(side: Side) -> Iterator[str]:
    yield from sync.drop(side)
    yield f"DROP FUNCTION IF EXISTS {sync.function(side)}()"
    yield from drain.drop_functions(side)
    yield f"DROP TABLE IF EXISTS {side.shadow}, {side.log}"
    yield f"DROP SCHEMA IF EXISTS {sql.Identifier(side.schema).as_string()}"
