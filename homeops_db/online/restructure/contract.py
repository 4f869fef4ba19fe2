"""Drops the shadow with everything that hangs on it: there is no way back without building it anew."""

from collections.abc import Iterator

from psycopg import sql

from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import wanted
from homeops_db.online.restructure import build, drain, keys, materialized, parts, sync
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def drop(work: Work, side: Side, change: Change, state: str) -> None:
    """Drop triggers and functions, then the shadow, which takes as long as its files are large.

    Locks: ACCESS EXCLUSIVE on the application's table for some milliseconds; see `keys.drop`.
    """
    if sync.is_there(work.connection, side) or parts.exists(work, side):
        work.execute([wanted(work.connection, side.table)], *_statements(side), step="drop triggers")
        keys.drop(work, side)
        schema = sql.Identifier(side.schema).as_string()
        with work.connection.transaction():
            for statement in materialized.drop(side, parts.manifest_of(work, side)):
                work.connection.execute(statement.encode())
            work.connection.execute(f"DROP TABLE IF EXISTS {side.shadow}, {side.log}".encode())
            work.connection.execute(f"DROP SCHEMA IF EXISTS {schema}".encode())
            changes.move(work.connection, change.id, state, **build.NOTHING_BUILT)
    elif change.state != state:
        changes.move(work.connection, change.id, state)


def _statements(side: Side) -> Iterator[str]:
    yield from sync.drop(side)
    yield f"DROP FUNCTION IF EXISTS {sync.function(side)}()"
    yield from drain.drop_functions(side)
