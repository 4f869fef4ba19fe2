"""What is refused before a backfill starts, because it could not end well."""

from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import Connection, sql
from psycopg.errors import (
    GeneratedAlways,
    InsufficientPrivilege,
    InvalidColumnReference,
    ObjectNotInPrerequisiteState,
    OperationalError,
    UndefinedTable,
)

from homeops_db.catalog import firing, obstacles, server
from homeops_db.catalog.firing import INSERT, UPDATE
from homeops_db.catalog.referring import Reference
from homeops_db.catalog.storage import Stored
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking.amounts import between, count, size
from homeops_db.online import constraint
from homeops_db.online.backfill.estimate import Estimate
from homeops_db.online.backfill.scope import Scope

_AT_ONCE: Final = 50
_SCAN_RATE: Final = 1 << 30  # bytes a second, of a table in memory
_LONGEST: Final = 3600.0

_KINDS: Final = {
    "f": "a foreign table: its rows are another server's",
    "v": "a view",
    "m": "a materialized view",
}


def refuse(connection: Connection, scope: Scope, stored: Sequence[Stored]) -> None:
    """Refuse what the catalog, or the server itself when it plans the statement, says can't be done.

    Every leaf's statement is planned (EXPLAIN), each in a transaction of its own: ROW EXCLUSIVE on the leaf
    for less than a millisecond. So privileges, types and replica identities are judged by the server.

    Args:
        connection: In autocommit, with row_security off.
        scope: What is done.
        stored: All tables of it.

    Raises:
        ObjectError: A table is of a kind that has no rows of its own, or our role lacks a privilege, or
            the server can't read the statement.
        UnsafeError: Rows would be hidden, moved, or turned away.
        psycopg.OperationalError: A lock wasn't to be had, or the connection was lost.
    """
    _refuse_kinds(scope, stored)
    _refuse_hidden(connection, scope)
    _refuse_rules(connection, scope)
    if scope.verb == UPDATE:
        _refuse_keys(connection, scope)
    _refuse_unplannable(connection, scope)


def refuse_scans(scope: Scope, references: Sequence[Reference], estimate: Estimate) -> None:
    """Refuse to look for referring rows without an index where that would take more than an hour.

    Raises:
        UnsafeError: It names the index to build.
    """
    for one in references:
        seconds = estimate.rows * one.scanned_bytes / _SCAN_RATE
        if seconds > _LONGEST:
            schema, _, name = one.table.rpartition(".")
            raise UnsafeError(
                f"For each row of {scope.whole} foreign key {one.name} would read all of {one.table} "
                f"({size(one.scanned_bytes)}), where no index begins with {', '.join(one.columns)}: about "
                f"{count(estimate.rows)} times, {between(seconds / 2, seconds * 4)}. Nothing was changed. "
                f'Build it first: online.create_index("ix_…", "{name}", {list(one.columns)}, '
                f'schema="{schema}")'
            )


def _refuse_kinds(scope: Scope, stored: Sequence[Stored]) -> None:
    for one in stored:
        if one.persistence == "t":
            raise ObjectError(
                f"{one} is a temporary table, which other connections can't see. Nothing was changed. Write "
                "plain SQL by op.execute()."
            )
        if one.kind not in "rp":
            of = f" of {scope.whole}" if one.oid != scope.whole.oid else ""
            raise ObjectError(
                f"{one}{of} is {_KINDS.get(one.kind, 'no table')}, and batches go through pages of a table. "
                "Nothing was changed. Name the tables that have the rows, one operation each."
            )


def _refuse_hidden(connection: Connection, scope: Scope) -> None:
    oids = {table.oid for table in [scope.root, *scope.leaves, scope.whole, *scope.written]}
    hidden = obstacles.hiding(connection, sorted(oids))
    if hidden:
        role = server.server(connection).role
        raise UnsafeError(
            f"Row level security of {_few(hidden)} would hide rows from role {role}: they would be left out "
            "in silence. Nothing was changed. Connect as a role with BYPASSRLS, or as the owner where the "
            "table isn't under FORCE ROW LEVEL SECURITY."
        )


def _refuse_rules(connection: Connection, scope: Scope) -> None:
    rules = obstacles.rules(connection, [scope.whole.oid, *scope.oids], scope.verb)
    if rules:
        raise UnsafeError(
            f"Rule {rules[0].name} of {rules[0].table} does something else in place of {scope.verb}, or "
            "besides it, and the server allows none in a batch's statement. Nothing was changed. Make it a "
            f"trigger, or switch it off meanwhile: ALTER TABLE {rules[0].table} DISABLE RULE {rules[0].name}"
        )


def _refuse_keys(connection: Connection, scope: Scope) -> None:
    keys = obstacles.key_columns(connection, [scope.whole.oid, *scope.oids], scope.columns)
    if keys:
        raise UnsafeError(
            f"{keys[0].table} is cut into pieces by column {keys[0].column}: a row that gets another value "
            "may belong into another piece, and batches go through one piece at a time. Nothing was changed. "
            "Copy the rows as they shall be by online.batched_insert(), and remove the old ones by "
            "online.batched_delete()."
        )


def _refuse_unplannable(connection: Connection, scope: Scope) -> None:
    """Plan the statements; many at a time, and one by one where something is refused."""
    for first in range(0, len(scope.leaves), _AT_ONCE):
        some = scope.leaves[first : first + _AT_ONCE]
        try:
            with connection.pipeline():
                for leaf in some:
                    connection.execute(_plan(scope, leaf))
        except psycopg.Error:
            for leaf in some:
                _plan_alone(connection, scope, leaf)


def _plan(scope: Scope, leaf: Table) -> sql.Composed:
    condition = scope.job.condition
    if scope.verb != INSERT and scope.job.todo is not None:  # it will be gone through by its pages
        condition = sql.SQL("{} AND {} IS NOT NULL").format(
            condition, sql.Identifier(scope.job.alias, "ctid")
        )
    return sql.SQL("EXPLAIN ") + scope.job.statement(leaf, condition)


def _plan_alone(connection: Connection, scope: Scope, leaf: Table) -> None:
    try:
        connection.execute(_plan(scope, leaf))
    except UndefinedTable as error:
        if not _is_gone(connection, leaf):
            raise constraint.refused(leaf, error) from error
    except InsufficientPrivilege as error:
        raise _denied(connection, scope, leaf, error) from error
    except (ObjectNotInPrerequisiteState, InvalidColumnReference) as error:
        raise _unpublishable(connection, scope, leaf, error) from error
    except GeneratedAlways as error:
        raise _generated(leaf, error) from error
    except OperationalError:
        raise
    except psycopg.Error as error:
        raise constraint.refused(leaf, error) from error


def _is_gone(connection: Connection, leaf: Table) -> bool:
    row = connection.execute("select to_regclass(%s) is null", (_name(leaf),)).fetchone()
    return bool(row and row[0])


def _name(table: Table) -> str:
    return sql.Identifier(table.schema, table.name).as_string()


def _denied(connection: Connection, scope: Scope, leaf: Table, error: psycopg.Error) -> Exception:
    role = server.server(connection).role
    if _is_hidden_only(connection, scope, leaf):
        return UnsafeError(
            f"Row level security of a table that the statement reads would hide rows from role {role}: "
            f"{_told(error)}. Nothing was changed. Connect as a role with BYPASSRLS, or as the table's owner."
        )
    needed = {UPDATE: "SELECT, UPDATE", INSERT: "SELECT"}.get(scope.verb, "SELECT, DELETE")
    also = f", and INSERT on {scope.whole}" if scope.verb == INSERT else ""
    why = (
        f" Batches name {leaf} itself, so what is granted on {scope.root} doesn't count."
        if leaf.oid != scope.root.oid
        else ""
    )
    return ObjectError(
        f"Role {role} may not do this: {_told(error)}.{why} Nothing was changed. Connect as {leaf.owner}, or "
        f"let it grant {needed} on {leaf}{also}."
    )


def _is_hidden_only(connection: Connection, scope: Scope, leaf: Table) -> bool:
    """Whether the server would plan the statement if it might hide rows: then no privilege is missing."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL row_security = on")
            connection.execute(_plan(scope, leaf))
    except psycopg.Error:
        return False
    return True


def _unpublishable(connection: Connection, scope: Scope, leaf: Table, error: psycopg.Error) -> Exception:
    publications = firing.publications(connection, [leaf.oid], scope.verb)
    if not publications:
        return constraint.refused(leaf, error)
    detail = error.diag.message_detail or "It has no replica identity."
    return UnsafeError(
        f"Publication {_few(publications)} sends each {scope.verb} of {leaf}, and the server refuses the "
        f"first row: {' '.join(detail.split()).rstrip('.')}. Nothing was changed. Give the table a primary "
        f"key, or: ALTER TABLE {_name(leaf)} REPLICA IDENTITY USING INDEX …, or FULL"
    )


def _generated(leaf: Table, error: psycopg.Error) -> ObjectError:
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return ObjectError(
        f"Table {leaf}: {_told(error)}{detail}. Nothing was changed. Leave the column out: the server "
        "computes it from others, or numbers it."
    )


def _told(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split())


def _few(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
