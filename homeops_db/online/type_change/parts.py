"""What hangs on the column and is built for the shadow beforehand: its twins, by the server's own words.

A twin means the same of the shadow, under a name that says so; the switch swaps the names. What could refuse
a write is no twin: checks and foreign keys are given to the shadow when it becomes the application's column
(see `held`), and the column that is left loses them, with its unique keys. The way back builds those again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, LiteralString

from psycopg import Connection, sql

from homeops_db.catalog import constraints, hanging, indexes, locks, tables
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import index, not_null, partitioned_index
from homeops_db.online.type_change import described, held, twins
from homeops_db.online.type_change.sides import NEW, OLD, Side
from homeops_db.online.work import Statement, Work

BUILT: Final = (hanging.PRIMARY_KEY, hanging.UNIQUE, hanging.INDEX, hanging.STATISTICS)
"""Kinds that have twins, in the order in which these are built."""


def of(connection: Connection, side: Side) -> list[Hanging]:
    """Read what hangs on the application's column and has a twin, or is given to it by the switch.

    Takes no lock.
    """
    oids = [part.oid for part in tables.tree(connection, side.table.oid)]
    found = hanging.of_column(connection, oids, side.column)
    return [one for one in found if one.kind in (*BUILT, *held.KINDS) and not _is_ours(one)]


def build(work: Work, side: Side) -> None:
    """Build the twins that are missing: indexes first, since keys and other tables' keys stand on them."""
    found = of(work.connection, side)
    for kind in BUILT:
        for one in found:
            if one.kind == kind:
                _BUILD[kind](work, side, one)
    described.ensure(work, side, found)


def clear(work: Work, side: Side) -> None:
    """Drop twins of what is gone: they would come to life with the switch."""
    wanted_names = {side.twin(str(one.name)) for one in of(work.connection, side)}
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    mark = OLD if side.is_switched else NEW
    for one in hanging.of_column(work.connection, oids, side.shadow):
        if one.kind in BUILT and mark in str(one.name) and one.name not in wanted_names:
            _drop(work, one)


def _drop(work: Work, one: Hanging) -> None:
    name = _name(one, str(one.name))
    table = _table(work.connection, one.constrained_oid or one.table_oid)
    if one.kind in (hanging.INDEX, hanging.STATISTICS):
        statement = sql.SQL(f"DROP {'INDEX' if one.kind == hanging.INDEX else 'STATISTICS'} {{}}").format(
            name
        )
    else:
        here = sql.Identifier(table.schema, table.name)
        statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(here, sql.Identifier(str(one.name)))
    both = {table, _table(work.connection, one.table_oid)}
    work.execute([wanted(work.connection, each) for each in both], statement, step="drop twin")


def swap(
    connection: Connection, side: Side, other: Side, kept: Mapping[str, Sequence[str]]
) -> Iterator[Statement]:
    """Write the statements that give the twins their names.

    The columns have their new names by then. Keys that refer to a column choose the oldest index that fits,
    and should find the primary key's: so they come last.

    Args:
        connection: In the switch's transaction.
        side: The side that is left.
        other: The side that is gone to.
        kept: See `held.given`.
    """
    found = of(connection, side)
    yield from held.taken(connection, found)
    for one in found:
        if one.kind == hanging.UNIQUE or one.is_unique_index:
            yield from _replace(connection, one, side)
        elif one.kind in (hanging.INDEX, hanging.STATISTICS):
            kind: LiteralString = "INDEX" if one.kind == hanging.INDEX else "STATISTICS"
            yield from _rename(connection, kind, one, side, other)
    for one in found:
        if one.kind == hanging.PRIMARY_KEY:
            yield from _exchange_primary(connection, one, side)
        if one.is_clustered:
            yield from _mark(connection, one)
    yield from held.given(connection, side, found, kept)


# Building ---------------------------------------------------------------------------------------------


def _build_index(work: Work, side: Side, one: Hanging) -> None:
    table = _table(work.connection, one.table_oid)
    found = indexes.index(work.connection, str(one.name), table.schema)
    if found is not None and not found.is_valid:
        raise ObjectError(
            f"Index {one.name} of {table} is INVALID, so nobody can tell what it should be. Nothing was "
            "changed. Drop it, or build it anew with online.reindex()."
        )
    twin = side.twin(str(one.name))
    there = indexes.index(work.connection, twin, table.schema)
    if there is not None and there.is_valid:
        return  # on the way back: the one that the application's column had
    index.ensure(work, table, twin, twins.index_writer(work.connection, one, side, twin))


def _build_unique(work: Work, side: Side, one: Hanging) -> None:
    table = _table(work.connection, one.constrained_oid)
    twin = side.twin(str(one.name))
    if constraints.constraint(work.connection, table.oid, twin) is not None:
        return
    index.ensure(work, table, twin, twins.index_writer(work.connection, one, side, twin))
    if one.kind == hanging.UNIQUE:
        deferral = "".join(str(one.definition).partition(" DEFERRABLE")[1:])
        adopt = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}").format(
            sql.Identifier(table.schema, table.name), sql.Identifier(twin), sql.Identifier(twin)
        ) + sql.SQL(deferral)
        work.execute([wanted(work.connection, table)], adopt, step="adopt")


def _build_statistics(work: Work, side: Side, one: Hanging) -> None:
    twin, table = side.twin(str(one.name)), _table(work.connection, one.table_oid)
    if hanging.has_statistics(work.connection, one.table_oid, twin):
        return
    statement = twins.statistics(work.connection, one, side, twin)
    work.execute([_held(work, table)], statement, step="statistics")


def _held(work: Work, table: Table) -> Wanted:
    return wanted(work.connection, table, locks.SHARE_UPDATE_EXCLUSIVE)


def _name(one: Hanging, twin: str) -> sql.Identifier:
    """Name a twin of what has a schema of its own."""
    return sql.Identifier(str(one.schema), twin)


_BUILD: Final = {
    hanging.INDEX: _build_index,
    hanging.UNIQUE: _build_unique,
    hanging.PRIMARY_KEY: _build_unique,
    hanging.STATISTICS: _build_statistics,
}


# Switching --------------------------------------------------------------------------------------------


def _exchange_primary(connection: Connection, one: Hanging, side: Side) -> Iterator[Statement]:
    """There is one primary key only: the old one goes with its index."""
    table = _table(connection, one.constrained_oid)
    here, name = sql.Identifier(table.schema, table.name), sql.Identifier(str(one.name))
    yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(here, name)
    yield sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}").format(
        here, name, sql.Identifier(side.twin(str(one.name)))
    )
    if one.comment is not None:
        yield sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(name, here, sql.Literal(one.comment))


def _replace(connection: Connection, one: Hanging, side: Side) -> Iterator[Statement]:
    """Put a twin in the place of what would refuse rows that the column that is left can't tell apart."""
    name, twin = str(one.name), side.twin(str(one.name))
    if one.kind == hanging.INDEX:
        index_name = sql.Identifier(str(one.schema), name)
        yield sql.SQL("DROP INDEX {}").format(index_name)
        rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
        yield rename.format(sql.Identifier(str(one.schema), twin), sql.Identifier(name))
        yield from _rename_below(connection, one, side, None)
        return
    table = _table(connection, one.constrained_oid)
    here = sql.Identifier(table.schema, table.name)
    yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(here, sql.Identifier(name))
    rename = sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}")
    yield rename.format(here, sql.Identifier(twin), sql.Identifier(name))


def _mark(connection: Connection, one: Hanging) -> Iterator[Statement]:
    """Write what keeps the mark of CLUSTER on the index of this name."""
    table = _table(connection, one.table_oid)
    yield sql.SQL("ALTER TABLE {} CLUSTER ON {}").format(
        sql.Identifier(table.schema, table.name), sql.Identifier(str(one.name))
    )


def _rename(
    connection: Connection, kind: LiteralString, one: Hanging, side: Side, other: Side
) -> Iterator[Statement]:
    rename = sql.SQL("ALTER " + kind + " {} RENAME TO {}")
    name, schema = str(one.name), str(one.schema)
    yield rename.format(sql.Identifier(schema, name), sql.Identifier(other.twin(name)))
    yield rename.format(sql.Identifier(schema, side.twin(name)), sql.Identifier(name))
    if one.kind == hanging.INDEX:
        yield from _rename_below(connection, one, side, other)


def _rename_below(
    connection: Connection, one: Hanging, side: Side, other: Side | None
) -> Iterator[Statement]:
    """Write the same for the indexes of partitions: the next change would find their names taken.

    Without ``other`` the old ones are gone.
    """
    rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
    twin = indexes.index(connection, side.twin(str(one.name)), str(one.schema))
    if twin is None:
        return
    twins_below = {below.table_oid: below for below in hanging.below_index(connection, twin.oid)}
    for below in hanging.below_index(connection, one.oid):
        new = twins_below.get(below.table_oid)
        if new is not None:
            table = _table(connection, below.table_oid)
            if other is not None:
                kept = partitioned_index.name_of(table.name, other.twin(str(one.name)))
                yield rename.format(sql.Identifier(below.schema, below.name), sql.Identifier(kept))
            yield rename.format(sql.Identifier(new.schema, new.name), sql.Identifier(below.name))


# Reading ----------------------------------------------------------------------------------------------


def _is_ours(one: Hanging) -> bool:
    """Whether an object is a twin itself, or one of the proofs that a column isn't NULL."""
    return any(mark in str(one.name) for mark in (NEW, OLD, not_null.PREFIX))


def _table(connection: Connection, oid: int) -> Table:
    found = tables.by_oid(connection, oid)
    assert found is not None
    return found
