"""Rows that contradict a constraint: how many, which, and how to find them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ViolationError
from homeops_db.online.work import lifted_timeouts

SHOWN: Final = 10
"""Rows or keys that an error names."""

_LONGEST_VALUE: Final = 60  # characters


@dataclass(frozen=True)
class _Search:
    """Where the rows are (FROM … WHERE …), and what is shown of each beside its key."""

    where: sql.Composable
    shown: Sequence[str] = ()


def violation(connection: Connection, table: Table, constraint: Constraint) -> ViolationError:
    """Make the error of a validation that failed: the count, up to 10 keys, and the query that finds them.

    Reads the table with the timeouts lifted, and holds ACCESS SHARE meanwhile.

    Args:
        connection: In autocommit, outside a transaction.
        table: The table.
        constraint: What its rows contradict.
    """
    search = _search(connection, table, constraint)
    find = (sql.SQL("SELECT * ") + search.where).as_string(connection)
    return ViolationError(
        f"{_found(connection, table, search)} constraint {constraint.name} ({constraint.definition}) of "
        f"{table}. It stays NOT VALID: new rows are checked against it, these aren't. Mend them, then run "
        f"the same command again. To find them: {find}"
    )


def _found(connection: Connection, table: Table, search: _Search) -> str:
    keys = constraints.primary_key(connection, table.oid)
    try:
        rows = _rows(connection, keys, search)
    except psycopg.errors.InsufficientPrivilege:
        # Row level security that is forced on the owner, or a referenced table that we may not read.
        return "Rows that this role isn't allowed to see contradict"
    if not rows:
        return "A row that is gone by now contradicted"
    count = rows[0][0]
    shown = "; ".join(_described(keys, search.shown, *row[1:]) for row in rows)
    more = ", …" if count > len(rows) else ""
    return f"{count} row{'s' if count > 1 else ''} ({shown}{more}) contradict{'' if count > 1 else 's'}"


def _rows(connection: Connection, keys: Sequence[str], search: _Search) -> list[tuple[Any, ...]]:
    key = _texts(keys) if keys else sql.SQL("ARRAY[tableoid::regclass::text, ctid::text]")
    # Names of our own: ORDER BY would take an output column for a table's.
    query = sql.SQL(
        "SELECT count(*) OVER () AS homeops_count, {} AS homeops_key, {} AS homeops_shown {} "
        "ORDER BY {} LIMIT {}"
    ).format(
        key,
        _texts(search.shown),
        search.where,
        sql.SQL(", ").join(map(sql.Identifier, keys)) if keys else sql.SQL("tableoid, ctid"),
        SHOWN,
    )
    with lifted_timeouts(connection), connection.transaction():
        # An error is better than a count of the rows that a policy lets us see.
        connection.execute("SET LOCAL row_security = off")
        return connection.execute(query).fetchall()


def _texts(columns: Sequence[str]) -> sql.Composable:
    values = [sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns]
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(values))


def _described(
    keys: Sequence[str], others: Sequence[str], key: Sequence[str | None], shown: Sequence[str | None]
) -> str:
    text = _values(keys, key) if keys else f"ctid={key[1]} of {key[0]}"
    return f"{text}: {_values(others, shown)}" if others else text


def _values(columns: Sequence[str], values: Sequence[str | None]) -> str:
    return ", ".join(f"{name}={short(value)}" for name, value in zip(columns, values, strict=True))


def short(value: str | None) -> str:
    """Write a value in one line, cut where it is long."""
    if value is None:
        return "null"
    line = " ".join(value.split())
    return line if len(line) <= _LONGEST_VALUE else line[:_LONGEST_VALUE] + "…"


def _search(connection: Connection, table: Table, constraint: Constraint) -> _Search:
    # A foreign key isn't inherited, nor is a CHECK … NO INHERIT.
    alone = constraint.kind == constraints.FOREIGN_KEY or constraint.stays_here
    source = _relation(connection, table, alone=alone)
    if constraint.kind == constraints.FOREIGN_KEY:
        return _Search(_orphans(connection, source, constraint), constraint.columns)
    if constraint.kind == constraints.NOT_NULL:
        (column,) = constraint.columns
        return _Search(sql.SQL("FROM {} WHERE {} IS NULL").format(source, sql.Identifier(column)))
    # Without an alias: a condition may name the table.
    condition = sql.SQL(constraint.condition or "true")  # in the server's own writing
    return _Search(sql.SQL("FROM {} WHERE NOT ({})").format(source, condition))


def _orphans(connection: Connection, source: sql.Composable, constraint: Constraint) -> sql.Composable:
    referent = tables.tree(connection, constraint.referent_oid)[0]
    pairs = constraints.pairs(connection, constraint.oid)
    given = sql.SQL(" OR " if constraint.matches_full else " AND ").join(
        sql.SQL("f.{} IS NOT NULL").format(sql.Identifier(pair.column)) for pair in pairs
    )
    equal = sql.SQL(" AND ").join(
        sql.SQL("r.{} {} f.{}{}").format(
            sql.Identifier(pair.referent_column),
            sql.SQL(pair.operator),
            sql.Identifier(pair.column),
            sql.SQL(pair.collate),
        )
        for pair in pairs
    )
    return sql.SQL("FROM {} f WHERE ({}) AND NOT EXISTS (SELECT FROM {} r WHERE {})").format(
        source, given, _relation(connection, referent, alone=True), equal
    )


def _relation(connection: Connection, table: Table, *, alone: bool) -> sql.Composable:
    # The rows of a partitioned table, and of a hypertable, are all below it.
    alone = alone and table.kind == "r" and not tables.is_hypertable(connection, table)
    return sql.SQL("ONLY {}" if alone else "{}").format(sql.Identifier(table.schema, table.name))
