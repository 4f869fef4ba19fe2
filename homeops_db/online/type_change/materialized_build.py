"""Makes and fills a materialized view over the shadow for each one on the column."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from pglast import parse_sql
from psycopg import Connection, sql
from psycopg.errors import DataError, IntegrityError, InternalError, NotSupportedError, ProgrammingError

from homeops_db.catalog import materialized as catalog
from homeops_db.catalog import standstill, tables
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online.type_change import expressions, literals, materialized, places
from homeops_db.online.type_change.materialized import Original
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work, as_query

_ASIDE: Final = "homeops_aside"
_REFUSED: Final = (ProgrammingError, NotSupportedError, DataError, IntegrityError, InternalError)


def build(work: Work, side: Side) -> list[Original]:
    """Make one like each over the shadow, and fill it.

    Returns:
        Those that they are like: what was done to them since is to be looked for under the lock.

    Raises:
        ObjectError: One can't be made or filled. Nothing was switched.

    Locks: ACCESS EXCLUSIVE on the table and on them for some milliseconds; filling one reads as REFRESH does.
    """
    materialized.clear(work, side)
    found = materialized.of(work.connection, side)
    if not found:
        return found
    with _refusing(side, "The materialized views"):
        found = work.under_locks(
            [wanted(work.connection, side.table), *materialized.wants(work.connection, found)],
            lambda connection: _make(connection, side),
            step="materialized views",
        )
    for one in found:
        with _refusing(side, f"Materialized view {one.view}"):
            _fill(work, side, one)
    return found


def tries(connection: Connection, side: Side) -> Iterator[str]:
    """Write what makes them without rows; to be sent, each before the next, when the columns are swapped."""
    found = materialized.of(connection, side)
    made = [_create(connection, side, one, one.twin(side)) for one in found]

    def statements() -> Iterator[str]:
        for number, one in enumerate(found):
            yield materialized.renamed(one.identifier, f"{_ASIDE}_{number}")
            yield ";\n".join([made[number], *one.view.create])
            yield from (_text(statement) for statement in _of_indexes(connection, side, one))
            yield materialized.renamed(one.twin(side), one.view.name)

    return statements()


@contextmanager
def _refusing(side: Side, what: str) -> Iterator[None]:
    try:
        yield
    except _REFUSED as error:
        raise ObjectError(
            f"{what} on {side.table}.{side.column} can't be made for {side.type}: "
            f"{error.diag.message_primary}. Nothing was switched. Mend what is read there, or drop it, then "
            "run the same command again."
        ) from error


def _make(connection: Connection, side: Side) -> list[Original]:
    """Make them without rows while the columns' names are swapped, which nobody else sees.

    So the server understands their queries as those who wrote them meant them, joins by name too.
    """
    found = materialized.of(connection, side)
    connection.execute(as_query(";\n".join(_made(connection, side, found))))
    version = standstill.this_transaction(connection)  # the renames have left it on them
    return [replace(one, view=replace(one.view, version=version)) for one in found]


def _made(connection: Connection, side: Side, found: Sequence[Original]) -> Iterator[str]:
    yield from _swapped(side)
    for number, one in enumerate(found):
        yield materialized.renamed(one.identifier, f"{_ASIDE}_{number}")
        yield _create(connection, side, one, one.identifier)
    for number, one in enumerate(found):
        yield materialized.renamed(one.identifier, side.twin(one.view.name))
        yield materialized.renamed(sql.Identifier(one.view.schema, f"{_ASIDE}_{number}"), one.view.name)
    yield from _swapped(side)


def _swapped(side: Side) -> Iterator[str]:
    table = sql.Identifier(side.table.schema, side.table.name)
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    live, shadow, aside = (sql.Identifier(name) for name in (side.column, side.shadow, _ASIDE))
    for source, target in ((live, aside), (shadow, live), (aside, shadow)):
        yield rename.format(table, source, target).as_string()


def _create(connection: Connection, side: Side, one: Original, name: sql.Identifier) -> str:
    return places.exchanged(
        connection,
        side,
        f"CREATE MATERIALIZED VIEW {_text(name)} ({one.view.columns}){one.view.storage} "
        f"AS {one.view.definition} WITH NO DATA",
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
    was, made = (catalog.types(connection, oid) for oid in (one.view.oid, twin.oid))
    return [
        replace(side, column=name, fill=expressions.of_columns(side.fill, {side.column: name}))
        for name, type_ in made.items()
        if type_ == side.type != was[name] == side.live_type
    ]


def _text(statement: Statement) -> str:
    return statement if isinstance(statement, str) else statement.as_string()
