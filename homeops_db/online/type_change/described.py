"""Comments and statistics targets of indexes, constraints and statistics: the twins have the same."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from homeops_db.catalog import hanging, locks, tables
from homeops_db.catalog.hanging import Hanging
from homeops_db.locking.wanted import wanted
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work


def ensure(work: Work, side: Side, found: Sequence[Hanging]) -> None:
    """Give the twins the comments and statistics targets of the others.

    They are compared each time: a run may have ended when a twin was built, and nothing said of it.

    Args:
        work: The operation.
        side: The side whose shadow has the twins.
        found: What hangs on the application's column.

    Locks: SHARE UPDATE EXCLUSIVE for some milliseconds.
    """
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    made = {one.name: one for one in hanging.of_column(work.connection, oids, side.shadow)}
    for one in found:
        twin = made.get(side.twin(str(one.name)))
        if (
            twin is None or one.kind == hanging.PRIMARY_KEY
        ):  # of a key it is said when it is one, in the switch
            continue
        table = tables.by_oid(work.connection, one.constrained_oid or one.table_oid)
        assert table is not None
        here = sql.Identifier(table.schema, table.name)
        statements = [*_targets(one, twin), *_comment(one, twin, here)]
        if statements:
            want = wanted(work.connection, table, locks.SHARE_UPDATE_EXCLUSIVE)
            work.execute([want], *statements, step="describe")


def _targets(one: Hanging, twin: Hanging) -> Iterator[Statement]:
    name = sql.Identifier(str(one.schema), str(twin.name))
    for number in sorted({*one.targets, *twin.targets}):
        target = one.targets.get(number, -1)
        if target == twin.targets.get(number, -1):
            continue
        if one.kind == hanging.STATISTICS:
            yield sql.SQL("ALTER STATISTICS {} SET STATISTICS {}").format(name, target)
        else:
            alter = sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}")
            yield alter.format(name, int(number), target)


def _comment(one: Hanging, twin: Hanging, table: sql.Identifier) -> Iterator[Statement]:
    if one.comment == twin.comment:
        return
    if one.kind == hanging.INDEX:
        what = sql.SQL("INDEX {}").format(sql.Identifier(str(one.schema), str(twin.name)))
    elif one.kind == hanging.STATISTICS:
        what = sql.SQL("STATISTICS {}").format(sql.Identifier(str(one.schema), str(twin.name)))
    else:
        what = sql.SQL("CONSTRAINT {} ON {}").format(sql.Identifier(str(twin.name)), table)
    yield sql.SQL("COMMENT ON {} IS {}").format(what, sql.Literal(one.comment))
