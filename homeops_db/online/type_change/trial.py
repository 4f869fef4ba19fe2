"""Tries everything out before anything is changed: what can't be said of the new type is named then."""

from collections.abc import Iterable, Iterator
from itertools import chain

import psycopg
from pglast.parser import ParseError
from psycopg import Connection, sql
from psycopg.errors import DataError, DependentObjectsStillExist, NotSupportedError, ProgrammingError

from homeops_db.catalog import columns
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online import subject
from homeops_db.online.type_change import materialized, materialized_build, parts, twins, words
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

_REFUSED = (ProgrammingError, NotSupportedError, DataError, DependentObjectsStillExist)


def refuse(work: Work, side: Side) -> None:
    """Build every twin on an empty clone, and say every object again; all of it is rolled back.

    Raises:
        ObjectError: Something can't be said of the new type: it is named, with the server's reason.

    Locks: ACCESS SHARE, then ACCESS EXCLUSIVE, for some milliseconds each.
    """
    wrong = subject.on_clone(
        work, side.table, lambda connection, clone: _twins(connection, side, clone), like=""
    )
    if not wrong:
        above = materialized.wants(work.connection, materialized.of(work.connection, side))
        wrong = work.under_locks(
            [wanted(work.connection, side.table), *above],
            lambda connection: _said(connection, side),
            step="try",
            changes=False,
        )
    if wrong:
        raise ObjectError(
            f"Column {side.table}.{side.column} can't become {side.type}: {'; '.join(wrong)}. Nothing was "
            "changed. Drop or change these in a revision before, and make them again after the change."
        )


def _twins(connection: Connection, side: Side, clone: str) -> list[str]:
    there = sql.Identifier("pg_temp", clone).as_string()
    name = sql.Identifier(side.shadow).as_string()
    _send(connection, f"ALTER TABLE {there} DROP COLUMN IF EXISTS {name}, ADD COLUMN {name} {side.declared}")
    wrong: list[str] = []
    for what, statement in _tries(connection, side, clone, wrong):
        try:
            with connection.transaction(force_rollback=True):
                _send(connection, statement)
        except _REFUSED as error:
            wrong.append(_reason(what, error))
    return wrong


def _tries(connection: Connection, side: Side, clone: str, wrong: list[str]) -> Iterator[tuple[str, str]]:
    """Write each twin; what newer servers say in words that aren't known here is named."""
    for one in parts.of(connection, side):
        try:
            yield from twins.tries(connection, [one], side, clone)
        except ParseError as error:
            wrong.append(f"{one} ({error})")


def _said(connection: Connection, side: Side) -> list[str]:
    with connection.transaction(force_rollback=True):
        try:
            said = words.read(connection, side)
        except ParseError as error:
            return [f"something that can't be read ({error})"]
        table = sql.Identifier(side.table.schema, side.table.name).as_string()
        live, shadow = (sql.Identifier(name).as_string() for name in (side.column, side.shadow))
        there = columns.column(connection, side.table.oid, side.shadow) is not None
        before = [
            *([] if there else [f"ALTER TABLE {table} ADD COLUMN {shadow} {side.declared}"]),
            *said.before,
            f"ALTER TABLE {table} RENAME COLUMN {live} TO homeops_tried",
            f"ALTER TABLE {table} RENAME COLUMN {shadow} TO {live}",
        ]
        views = materialized_build.tries(connection, side)
        return _refused(connection, chain(before, views, said.after))


def _refused(connection: Connection, statements: Iterable[str]) -> list[str]:
    """Give the first that is refused: what is said after it may need it."""
    for statement in statements:
        try:
            with connection.transaction():
                _send(connection, statement)
        except _REFUSED as error:
            first = " ".join(statement.split())
            return [_reason(first if len(first) < 100 else f"{first[:97]}…", error)]  # noqa: PLR2004
    return []


def _reason(what: str, error: psycopg.Error) -> str:
    return f"{what} ({error.diag.message_primary})"


def _send(connection: Connection, statement: str) -> None:
    connection.execute(statement.encode())
