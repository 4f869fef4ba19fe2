"""Materialized views on the column: one like each is made over the shadow, and the switch swaps their names.

That is done just before the switch, which makes them as fresh as its beginning, and the old ones are dropped
just after it: the way back makes them again from what the new ones say. Their rows are visible to every
snapshot, as after any REFRESH.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from pglast import parse_sql
from psycopg import Connection, sql
from psycopg.errors import DataError, IntegrityError, InternalError, NotSupportedError, ProgrammingError

from homeops_db.catalog import hanging, materialized, standstill, tables, worded
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.materialized import Index, Materialized
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online.type_change import expressions, literals
from homeops_db.online.type_change.sides import NEW, OLD, Side
from homeops_db.online.work import Statement, Work, as_query

_ASIDE: Final = "homeops_aside"
_REFUSED: Final = (ProgrammingError, NotSupportedError, DataError, IntegrityError, InternalError)


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


def build(work: Work, side: Side) -> list[Original]:
    """Make one like each over the shadow, and fill it.

    Returns:
        Those that they are like: what was done to them since is to be looked for under the lock.

    Raises:
        ObjectError: One can't be made or filled. Nothing was switched.

    Locks: ACCESS EXCLUSIVE on the table and on them for some milliseconds; filling one reads as REFRESH does.
    """
    clear(work, side)
    found = of(work.connection, side)
    if not found:
        return found
    with _refusing(side, "The materialized views"):
        found = work.under_locks(
            [wanted(work.connection, side.table), *wants(work.connection, found)],
            lambda connection: _make(connection, side),
            step="materialized views",
        )
    for one in found:
        with _refusing(side, f"Materialized view {one.view}"):
            _fill(work, side, one)
    return found


def tries(connection: Connection, side: Side, found: Sequence[Original]) -> Iterator[str]:
    """Write what makes them without rows, once the columns are swapped; each is sent before the next."""
    for number, one in enumerate(found):
        yield _renamed(one.identifier, f"{_ASIDE}_{number}")
        yield ";\n".join([_create(one, one.twin(side)), *one.view.create])
        yield from (_text(statement) for statement in _of_indexes(connection, side, one))
        yield _renamed(one.twin(side), one.view.name)


def swap(side: Side, other: Side, found: Sequence[Original]) -> Iterator[Statement]:
    """Write what swaps their names, and those of their indexes."""
    rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
    for one in found:
        yield _renamed(one.identifier, other.twin(one.view.name))
        yield _renamed(one.twin(side), one.view.name)
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


@contextmanager
def _refusing(side: Side, what: str) -> Iterator[None]:
    try:
        yield
    except _REFUSED as error:
        raise ObjectError(
            f"{what} on {side.table}.{side.column} can't be made for {side.type}: "
            f"{error.diag.message_primary}. Nothing was switched. Mend what is read there, or drop it, then run "
            "the same command again."
        ) from error


def _make(connection: Connection, side: Side) -> list[Original]:
    """Make them without rows while the columns' names are swapped, which nobody else sees.

    So the server understands their queries as those who wrote them meant them, joins by name too.
    """
    found = of(connection, side)
    connection.execute(as_query(";\n".join(_made(side, found))))
    version = standstill.this_transaction(connection)  # the renames have left it on them
    return [replace(one, view=replace(one.view, version=version)) for one in found]


def _made(side: Side, found: Sequence[Original]) -> Iterator[str]:
    yield from _swapped(side)
    for number, one in enumerate(found):
        yield _renamed(one.identifier, f"{_ASIDE}_{number}")
        yield _create(one, one.identifier)
    for number, one in enumerate(found):
        yield _renamed(one.identifier, side.twin(one.view.name))
        yield _renamed(sql.Identifier(one.view.schema, f"{_ASIDE}_{number}"), one.view.name)
    yield from _swapped(side)


def _swapped(side: Side) -> Iterator[str]:
    table = sql.Identifier(side.table.schema, side.table.name)
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    live, shadow, aside = (sql.Identifier(name) for name in (side.column, side.shadow, _ASIDE))
    for source, target in ((live, aside), (shadow, live), (aside, shadow)):
        yield rename.format(table, source, target).as_string()


def _create(one: Original, name: sql.Identifier) -> str:
    return (
        f"CREATE MATERIALIZED VIEW {_text(name)} ({one.view.columns}){one.view.storage} "
        f"AS {one.view.definition} WITH NO DATA"
    )


def _fill(work: Work, side: Side, one: Original) -> None:
    twin = one.twin(side)
    work.execute([], *one.view.create, step="materialized view")
    if one.view.is_populated:
        work.alone(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(twin), step="fill")
    for statement in _of_indexes(work.connection, side, one):
        work.alone(statement, step="index")
    if one.view.is_populated:
        work.alone(sql.SQL("ANALYZE {}").format(twin), step="analyze")


def _of_indexes(connection: Connection, side: Side, one: Original) -> Iterator[Statement]:
    """Write its indexes for the twin, which is there; values in them are of the new type."""
    twin = one.twin(side)
    retyped = _retyped(connection, side, one)
    for index in one.indexes:
        name = side.twin(index.name)
        here = sql.Identifier(one.view.schema, name)
        statement: Any = parse_sql(index.definition)[0].stmt
        for column in retyped:
            literals.adapt(connection, column, statement)
        statement.idxname, statement.tableSpace = name, index.tablespace
        statement.relation.relname = side.twin(one.view.name)
        yield expressions.printed(statement)
        for number, target in index.targets.items():
            yield sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}").format(
                here, int(number), target
            )
        if index.comment is not None:
            yield sql.SQL("COMMENT ON INDEX {} IS {}").format(here, index.comment)
        if index.is_clustered:
            yield sql.SQL("ALTER MATERIALIZED VIEW {} CLUSTER ON {}").format(twin, sql.Identifier(name))


def _retyped(connection: Connection, side: Side, one: Original) -> list[Side]:
    """Give its columns that have the old type there, and the new one in the twin."""
    twin = tables.table(connection, side.twin(one.view.name), one.view.schema)
    assert twin is not None
    was, made = (materialized.types(connection, oid) for oid in (one.view.oid, twin.oid))
    return [
        replace(side, column=name, fill=expressions.of_columns(side.fill, {side.column: name}))
        for name, type_ in made.items()
        if type_ == side.type != was[name] == side.live_type
    ]


def _renamed(view: sql.Identifier, name: str) -> str:
    return f"ALTER MATERIALIZED VIEW {_text(view)} RENAME TO {_text(sql.Identifier(name))}"


def _text(statement: Statement) -> str:
    return statement if isinstance(statement, str) else statement.as_string()
