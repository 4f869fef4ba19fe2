"""What belongs to the column itself: NOT NULL, default, identity, sequence, comment, rights, statistics.

What can't be known to suit another type (storage, compression) is left as the new type has it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import attributes as catalog
from homeops_db.catalog import columns
from homeops_db.catalog.attributes import Attributes, Sequence
from homeops_db.catalog.columns import Column
from homeops_db.locking.wanted import wanted
from homeops_db.online.type_change import literals
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work

_LARGEST: Final = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def ensure(work: Work, side: Side) -> None:
    """Give the shadow the comment, the statistics target and the rights of the application's column.

    Locks: SHARE UPDATE EXCLUSIVE, or ACCESS EXCLUSIVE where rights are given, for some milliseconds.
    """
    oid = side.table.oid
    live = catalog.of_column(work.connection, oid, side.column)
    shadow = catalog.of_column(work.connection, oid, side.shadow)
    statements = list(_alike(side, live, shadow))
    if statements:
        work.execute([wanted(work.connection, side.table)], *statements, step="attributes")


def swap(
    connection: Connection, side: Side, other: Side, column: Column, kept: Mapping[str, str]
) -> Iterator[Statement]:
    """Write what is moved to the other column once the names have been swapped.

    The application gives the old column no value any more: what would refuse rows without one goes.

    Args:
        connection: In the switch's transaction.
        side: The side that is left.
        other: The side that is gone to.
        column: The application's column as it was on the side that is left.
        kept: Defaults that belong together, by type; see `defaults`.
    """
    table = sql.Identifier(side.table.schema, side.table.name)
    live, old = sql.Identifier(side.column), sql.Identifier(other.shadow)
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ")
    owned = catalog.owned(connection, side.table.oid, column.number)
    if column.identity:
        yield from _identity(side, other, column, next(one for one in owned if one.is_identity))
    elif column.default is not None:
        yield alter.format(table, old) + sql.SQL("DROP DEFAULT")
        yield (
            alter.format(table, live)
            + sql.SQL("SET DEFAULT ")
            + sql.SQL(_default(connection, side, column.default, kept))
        )
    for sequence in owned:
        if not sequence.is_identity:
            yield sql.SQL("ALTER SEQUENCE {} OWNED BY {}.{}").format(sequence.identifier, table, live)
            yield from _widened(side, sequence)
    if column.is_not_null:
        yield alter.format(table, old) + sql.SQL("DROP NOT NULL")


def defaults(connection: Connection, side: Side, before: Column) -> dict[str, str]:
    """Give the column's default on both sides, by type, after the switch."""
    after = columns.column(connection, side.table.oid, side.column)
    if before.default is None or after is None or after.default is None:
        return {}
    return {side.live_type: before.default, side.type: after.default}


def _alike(side: Side, live: Attributes, shadow: Attributes) -> Iterator[Statement]:
    table, name = sql.Identifier(side.table.schema, side.table.name), sql.Identifier(side.shadow)
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ").format(table, name)
    if live.comment != shadow.comment:
        yield sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, name, live.comment)
    if live.statistics != shadow.statistics:
        yield alter + sql.SQL("SET STATISTICS {}").format(-1 if live.statistics is None else live.statistics)
    for option in live.options:
        if option not in shadow.options:
            key, _, value = option.partition("=")
            yield alter + sql.SQL("SET ({} = {})").format(sql.Identifier(key), sql.Literal(value))
    for option in shadow.options:
        if option.partition("=")[0] not in [one.partition("=")[0] for one in live.options]:
            yield alter + sql.SQL("RESET ({})").format(sql.Identifier(option.partition("=")[0]))
    # What was taken away meanwhile must not come back with the switch.
    if set(shadow.rights) - set(live.rights):
        yield from (_revoke(right, table, name) for right in shadow.rights)
        yield from (_grant(right, table, name) for right in live.rights)
    else:
        yield from (_grant(right, table, name) for right in live.rights if right not in shadow.rights)


def _grant(right: str, table: sql.Composable, name: sql.Composable) -> sql.Composable:
    privilege, _, role = right.partition(" ")
    whom = sql.Identifier(role) if role else sql.SQL("PUBLIC")
    also = sql.SQL(" WITH GRANT OPTION" if privilege.endswith("*") else "")
    head = sql.SQL("GRANT " + privilege.rstrip("*") + " ({}) ON {} TO {}")
    return head.format(name, table, whom) + also


def _revoke(right: str, table: sql.Composable, name: sql.Composable) -> sql.Composable:
    privilege, _, role = right.partition(" ")
    whom = sql.Identifier(role) if role else sql.SQL("PUBLIC")
    return sql.SQL("REVOKE " + privilege.rstrip("*") + " ({}) ON {} FROM {}").format(name, table, whom)


def _default(connection: Connection, side: Side, default: str, kept: Mapping[str, str]) -> str:
    """Write the default as the other type has it: as it was there, or what is made of it."""
    if kept.get(side.live_type) == default and side.type in kept:
        return kept[side.type]
    return literals.of_default(connection, side, default)


def _identity(side: Side, other: Side, column: Column, sequence: Sequence) -> Iterator[Statement]:
    """Write an identity for the new column that goes on where the old one's sequence is, under its name."""
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ")
    table, live = sql.Identifier(side.table.schema, side.table.name), sql.Identifier(side.column)
    smallest, largest = _bounds(side, sequence)
    made = sql.Identifier(sequence.schema, other.twin(sequence.name))
    yield alter.format(table, live) + sql.SQL(
        "ADD GENERATED {} AS IDENTITY (SEQUENCE NAME {} START {} INCREMENT {} MINVALUE {} "
        "MAXVALUE {} CACHE {} {})"
    ).format(
        sql.SQL("ALWAYS" if column.identity == "a" else "BY DEFAULT"),
        made,
        sequence.start,
        sequence.increment,
        smallest,
        largest,
        sequence.cache,
        sql.SQL("CYCLE" if sequence.is_cycled else "NO CYCLE"),
    )
    yield sql.SQL("SELECT setval({}::regclass, last_value, is_called) FROM {}").format(
        made.as_string(), sequence.identifier
    )
    yield alter.format(table, sql.Identifier(other.shadow)) + sql.SQL("DROP IDENTITY")
    yield sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(made, sql.Identifier(sequence.name))
    if sequence.comment is not None:
        yield sql.SQL("COMMENT ON SEQUENCE {} IS {}").format(sequence.identifier, sequence.comment)
    yield from (sql.SQL(right) for right in sequence.rights)


def _widened(side: Side, sequence: Sequence) -> Iterator[Statement]:
    """Write what lets a sequence count as far as the new type does."""
    if side.type in _LARGEST and side.type != sequence.type:
        yield sql.SQL("ALTER SEQUENCE {} AS {}").format(sequence.identifier, sql.SQL(side.type))


def _bounds(side: Side, sequence: Sequence) -> tuple[int, int]:
    """Give the range of the new sequence: a bound that was the old type's is the new type's."""
    if side.type not in _LARGEST:
        return sequence.smallest, sequence.largest
    old, new = _LARGEST[sequence.type], _LARGEST[side.type]
    smallest = -new - 1 if sequence.smallest == -old - 1 else sequence.smallest
    return smallest, new if sequence.largest == old else min(sequence.largest, new)
