"""Materialized views on the column: one like each is made over the shadow, and the switch swaps their names.

That is done just before the switch, which makes them as fresh as its beginning, and the old ones are dropped
just after it: the way back makes them again from what the new ones say. Their rows are visible to every
snapshot, as after any REFRESH.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import Connection, sql

from homeops_db.catalog import hanging, materialized, tables, worded
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.materialized import Index, Materialized
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online.type_change.sides import NEW, OLD, Side
from homeops_db.online.work import Statement, Work


@dataclass(frozen=True)
class Original:
    """A materialized view that hangs on the column, with its indexes; equal until something is done to it."""

    view: Materialized
    indexes: Sequence[Index]

    @property
    def identifier(self) -> sql.Identifier:
        """Its quoted name."""
        return sql.Identifier(self.view.schema, self.view.name)

    def twin(self, side: Side) -> sql.Identifier:
        """The quoted name of the one like it."""
        return sql.Identifier(self.view.schema, side.twin(self.view.name))


def of(connection: Connection, side: Side, found: Sequence[Hanging] | None = None) -> list[Original]:
    """Read those that hang on the column, each behind what it reads. Takes no lock."""
    if found is None:
        oids = [part.oid for part in tables.tree(connection, side.table.oid)]
        found = hanging.of_column(connection, oids, side.column)
    views = worded.views_above(connection, on(found)) if on(found) else []
    twins = {one.oid: sql.Identifier(one.schema, side.twin(one.name)) for one in views if one.is_materialized}
    if not twins:
        return []
    indexes = materialized.indexes(connection, twins)
    return [
        Original(view, [index for index in indexes if index.view_oid == view.oid])
        for view in materialized.read(connection, twins)
    ]


def on(found: Sequence[Hanging]) -> list[int]:
    """Give the views of both kinds among what hangs on a column."""
    return sorted({one.oid for one in found if one.kind in (hanging.VIEW, hanging.MATERIALIZED_VIEW)})


def reasons(connection: Connection, found: Sequence[Hanging]) -> Iterator[str]:
    """Name what can't be made like it is, because a view between it and the column is made anew."""
    views = worded.views_above(connection, on(found))
    plain = {one.oid: one for one in views if not one.is_materialized}
    for one in views:
        below = [plain[oid] for oid in one.below if oid in plain]
        if one.is_materialized and below:
            yield f"{one} (it reads {below[0]})"
    for index in materialized.indexes(connection, [one.oid for one in views if one.is_materialized]):
        if not index.is_valid:
            yield f"index {index.name} of a materialized view (it is INVALID)"


def wants(connection: Connection, found: Sequence[Original]) -> list[Wanted]:
    """Name the locks under which they are renamed."""
    known = (tables.by_oid(connection, one.view.oid) for one in found)
    return [wanted(connection, table) for table in known if table is not None]


def swap(side: Side, other: Side, found: Sequence[Original]) -> Iterator[Statement]:
    """Write what swaps their names, and those of their indexes."""
    rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
    for one in found:
        yield renamed(one.identifier, other.twin(one.view.name))
        yield renamed(one.twin(side), one.view.name)
        for index in one.indexes:
            here, twin = (
                sql.Identifier(one.view.schema, name) for name in (index.name, side.twin(index.name))
            )
            yield rename.format(here, sql.Identifier(other.twin(index.name)))
            yield rename.format(twin, sql.Identifier(index.name))


def clear(work: Work, side: Side) -> None:
    """Drop those over the shadow: what a run has left that ended midway, or what a switch has replaced.

    Locks: ACCESS EXCLUSIVE on them, which nobody reads.
    """
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    over = on(hanging.of_column(work.connection, oids, side.shadow))
    views = worded.views_above(work.connection, over)
    ours = [one for one in views if one.is_materialized and any(mark in one.name for mark in (NEW, OLD))]
    if ours:
        known = [tables.by_oid(work.connection, one.oid) for one in ours]
        names = sql.SQL(", ").join(sql.Identifier(one.schema, one.name) for one in ours)
        locks = [wanted(work.connection, table) for table in known if table is not None]
        work.execute(
            locks, sql.SQL("DROP MATERIALIZED VIEW {}").format(names), step="drop materialized views"
        )


def renamed(view: sql.Identifier, name: str) -> str:
    """Write the statement that gives one another name."""
    return f"ALTER MATERIALIZED VIEW {view.as_string()} RENAME TO {sql.Identifier(name).as_string()}"
