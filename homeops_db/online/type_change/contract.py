"""Drops the shadow with everything that hangs on it: there is no way back without building it anew."""

from collections.abc import Iterator

from psycopg import Connection, sql

from homeops_db.catalog import columns, hanging, tables
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import wanted
from homeops_db.online.type_change import materialized, sync
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work, as_query


def drop(work: Work, side: Side, change: Change, state: str) -> None:
    """Drop triggers, functions, other tables' keys to the shadow, and the shadow itself.

    Locks: ACCESS EXCLUSIVE on the table, and on tables whose keys refer to the shadow, for some milliseconds.
    """
    if columns.column(work.connection, side.table.oid, side.shadow) is None:
        changes.move(work.connection, change.id, state)
        return
    materialized.clear(work, side)
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    keys = [
        one for one in hanging.of_column(work.connection, oids, side.shadow) if one.kind == hanging.REFERRING
    ]
    others = {one.constrained_oid for one in keys} - {side.table.oid}
    wants = [wanted(work.connection, side.table)]
    wants += [
        wanted(work.connection, table) for oid in others if (table := tables.by_oid(work.connection, oid))
    ]

    def send(connection: Connection) -> None:
        for statement in _statements(connection, side, change, keys):
            connection.execute(as_query(statement))
        changes.move(connection, change.id, state)

    work.under_locks(wants, send, step="drop")


def _statements(
    connection: Connection, side: Side, change: Change, keys: list[hanging.Hanging]
) -> Iterator[Statement]:
    yield from sync.drop(side)
    yield from sync.drop_functions(change.id)
    for key in keys:
        source = tables.by_oid(connection, key.constrained_oid)
        if source is not None:
            yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                sql.Identifier(source.schema, source.name), sql.Identifier(str(key.name))
            )
    yield sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(
        sql.Identifier(side.table.schema, side.table.name), sql.Identifier(side.shadow)
    )
