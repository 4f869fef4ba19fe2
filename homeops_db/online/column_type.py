"""Type changes that leave the rows as they are; all others are named, with what to use instead."""

from psycopg import sql

from homeops_db.catalog import columns, dependents, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.online import probe
from homeops_db.online.probe import Change, Effect
from homeops_db.online.work import Work

# What ALTER TYPE stops at. Foreign keys it would take along: it locks both tables for it, and may check
# every row again.
_IN_THE_WAY = (
    "view",
    "materialized view",
    "rule",
    "policy",
    "trigger",
    "generated column",
    "publication",
    "function",
)

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}


def tried(work: Work, table: Table, column: Column, change: Change) -> Column:
    """Try a type change out: what rewrites, scans, builds an index, or the server would refuse, is refused.

    Args:
        work: The operation.
        table: The table.
        column: The column as it is.
        change: Writes the statements.

    Returns:
        The column as it would be.

    Raises:
        ObjectError: The column is inherited or part of a partition key, or something depends on its type.
        UnsafeError: It would hurt the traffic.
    """
    what = f"{table}.{column.name}"
    _refuse_fixed(what, table, column)
    _refuse_needed(work, table, column, what)
    probe.refuse_row_type_users(work, table)
    effects = [
        _harmless(what, part, probe.effect(work, part, column.name, change))
        for part in tables.tree(work.connection, table.oid)
    ]
    return effects[0].column


def restored(work: Work, table: Table, column: Column, after: Column) -> list[sql.Composable]:
    """Write what brings back what ALTER TYPE forgets: storage, compression, targets of statistics."""
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET ").format(
        sql.Identifier(table.schema, table.name), sql.Identifier(column.name)
    )
    statements: list[sql.Composable] = []
    if after.storage not in {column.storage, "p"}:
        statements.append(alter + sql.SQL("STORAGE " + _STORAGE[column.storage]))
    if column.compression != after.compression and after.storage != "p":
        statements.append(alter + sql.SQL("COMPRESSION " + _COMPRESSION[column.compression]))
    for found in columns.statistics(work.connection, table.oid, column.number):
        if found.target >= 0:
            name = sql.Identifier(found.schema, found.name)
            target = sql.Literal(found.target)
            statements.append(sql.SQL("ALTER STATISTICS {} SET STATISTICS {}").format(name, target))
    return statements


def analyze(work: Work, table: Table, column: Column) -> None:
    """Have the planner learn the column's values again: a type change forgets them."""
    extended = columns.statistics(work.connection, table.oid, column.number)
    only = sql.SQL("" if extended else " ({})").format(sql.Identifier(column.name))
    work.alone(sql.SQL("ANALYZE {}{}").format(sql.Identifier(table.schema, table.name), only), step="analyze")


def _refuse_fixed(what: str, table: Table, column: Column) -> None:
    if column.parent is not None:
        raise ObjectError(
            f"Column {what} is inherited from {column.parent}. Nothing was changed. Change its type there: "
            f"{table} follows."
        )
    if column.is_in_partition_key:
        raise ObjectError(
            f"Column {what} is part of the partition key: its type can't be changed. Nothing was changed. "
            "Move the rows into a new table."
        )


def _refuse_needed(work: Work, table: Table, column: Column, what: str) -> None:
    oids = [part.oid for part in tables.tree(work.connection, table.oid)]
    needing = dependents.dependents(work.connection, table.oid, oids, column.name)
    in_the_way = [str(found) for found in needing if found.kind in _IN_THE_WAY]
    if in_the_way:
        raise ObjectError(
            f"The type of {what} can't be changed while {', '.join(in_the_way)} depend on it. Nothing was "
            "changed. Use online.TypeChange, or drop them before and make them again after."
        )
    keys = [str(found) for found in needing if found.kind == "foreign key"]
    if keys:
        raise UnsafeError(
            f"Changing the type of {what} makes {', '.join(keys)} anew, and locks both tables against reads "
            "and writes meanwhile. Nothing was changed. Use online.TypeChange."
        )


def _harmless(what: str, table: Table, effect: Effect) -> Effect:
    if effect.hurts is not None:
        raise UnsafeError(
            f"Changing the type of {what} to {effect.column.type} {effect.hurts} ({table}) under ACCESS "
            "EXCLUSIVE. Nothing was changed. Use online.TypeChange, which does it beside the traffic."
        )
    return effect
