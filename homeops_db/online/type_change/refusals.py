"""What a type change can't carry over, found by looking, before anything is changed."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import Connection
from psycopg.errors import UndefinedFunction

from homeops_db.catalog import columns, constraints, hanging, obstacles, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.type_change.sides import NEW, OLD, Side

_KEYS: Final = (hanging.FOREIGN_KEY, hanging.REFERRING)
_UNIQUE: Final = (hanging.PRIMARY_KEY, hanging.UNIQUE)
_DEFERRABLE: Final = re.compile(r"(?<!NOT) DEFERRABLE( INITIALLY DEFERRED)?$")
_DEFAULTING: Final = re.compile(r"\bON (DELETE|UPDATE) SET DEFAULT\b")
_NEWER: Final = re.compile(r"NOT ENFORCED$|WITHOUT OVERLAPS\)|\(.*PERIOD .*\) REFERENCES")


def reasons(connection: Connection, side: Side, column: Column, found: Sequence[Hanging]) -> Iterator[str]:
    """Name everything that stands in the way, beside kinds of objects that are never carried."""
    parts = tables.tree(connection, side.table.oid)
    for one in found:
        why = _of_one(connection, one)
        if why:
            yield f"{one} ({why})"
    if tables.is_hypertable(connection, side.table):
        yield "it is a hypertable, whose triggers can't be made to fire always"
    yield from _of_parts(connection, side, column, parts[1:])
    yield from _of_others(connection, found)
    if not _has_equality(connection, side.type):
        for name in obstacles.comparing_rows(connection, [part.oid for part in parts]):
            yield f"trigger {name}, which compares whole rows, and values of {side.type} can't be compared"
    yield from hanging.odd(connection, side.table.oid, side.column)
    if hanging.is_constrained(connection, side.type):
        yield f"{side.type} is a domain with conditions, and adding a column of it would rewrite the table"
    if hanging.is_constrained(connection, side.live_type, not_null_only=True):
        yield f"{side.live_type} is a domain without NULLs, and its column would refuse rows after the switch"
    for name in obstacles.hiding(connection, [part.oid for part in parts]):
        yield f"the policies of {name}, which hide rows from this role (connect as one with BYPASSRLS)"


def refuse_hiding(connection: Connection, side: Side) -> None:
    """Refuse to look at rows as a role that is shown a part of them.

    Raises:
        ObjectError: Row security would hide some.
    """
    parts = tables.tree(connection, side.table.oid)
    hidden = obstacles.hiding(connection, [part.oid for part in parts])
    if hidden:
        raise ObjectError(
            f"The policies of {', '.join(hidden)} hide rows from this role, so nobody could prove that both "
            f"columns of {side.table}.{side.column} are equal. Nothing was switched. Connect as a role with "
            "BYPASSRLS, or take FORCE ROW LEVEL SECURITY away meanwhile."
        )


def _of_one(connection: Connection, one: Hanging) -> str | None:
    definition = str(one.definition)
    constrained = tables.by_oid(connection, one.constrained_oid) if one.constrained_oid else None
    is_below = constrained is not None and constrained.is_partitioned
    is_late = columns.has_not_null_constraints(connection)
    whys = {
        "of another type change, which must be contracted first": one.kind != hanging.TRIGGER
        and any(mark in str(one.name) for mark in (NEW, OLD)),
        "it is deferrable, and its twin could not be": one.kind == hanging.PRIMARY_KEY
        and _DEFERRABLE.search(definition),
        "constraints of this kind aren't carried": one.kind in (*_KEYS, *_UNIQUE, hanging.CHECK)
        and _NEWER.search(definition),
        "its SET DEFAULT would find the other column as it was, and refuse": one.is_ours
        and _DEFAULTING.search(definition),
        "of a partitioned table, to which no index can be given as a constraint": one.kind in _UNIQUE
        and is_below,
        "of a partitioned table, where a key can be NOT VALID since PostgreSQL 18 only": one.kind in _KEYS
        and is_below
        and not is_late,
    }
    return next((why for why, holds in whys.items() if holds), None)


def _of_others(connection: Connection, found: Sequence[Hanging]) -> Iterator[str]:
    """Name other roles' tables that a twin of a key would be added to, or refer to."""
    keys = [constraints.by_oid(connection, one.oid) for one in found if one.kind in _KEYS]
    referring = [key.table_oid for key in keys if key is not None]
    referred = [key.referent_oid for key in keys if key is not None]
    for name in obstacles.closed(connection, referring, referred):
        yield f"foreign keys of or to {name}, which belongs to a role that this one isn't a member of"


def _has_equality(connection: Connection, type_: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(f"SELECT NULL::{type_} = NULL::{type_}".encode())
    except UndefinedFunction:
        return False
    return True


def _of_parts(connection: Connection, side: Side, column: Column, parts: Sequence[Table]) -> Iterator[str]:
    for part in parts:
        own = columns.column(connection, part.oid, side.column)
        if part.kind == "f":
            yield f"the foreign table {part}"
        elif own is not None and own.default != column.default:
            yield f"the default of its own in {part}"
        elif own is not None and own.is_not_null != column.is_not_null:
            yield f"NOT NULL of its own in {part}"
