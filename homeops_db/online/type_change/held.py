"""Checks and foreign keys: of one column at a time, the application's, since they can refuse a write.

The switch takes them from the column that is left, and gives them to the other one without looking at a row.
The rows are looked at when the lock is gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pglast import parse_sql
from psycopg import Connection, sql

from homeops_db.catalog import constraints, hanging, heap, locks, tables
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.tables import Table
from homeops_db.errors import ViolationError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import not_null, subject, validation
from homeops_db.online.type_change import expressions, literals, twins
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Statement, Work, lifted_timeouts

KINDS: Final = (hanging.CHECK, hanging.FOREIGN_KEY, hanging.REFERRING)

_LATE: Final = " NOT VALID"
_NAMED: Final = 10


def taken(connection: Connection, found: Sequence[Hanging]) -> Iterator[Statement]:
    """Write what takes them from the column that is left."""
    for one in _of(found):
        here, name = _names(connection, one)
        yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(here, name)


def given(
    connection: Connection, side: Side, found: Sequence[Hanging], kept: Mapping[str, Sequence[str]]
) -> Iterator[Statement]:
    """Write what gives them to the column that has the name by then; values in checks are of its type.

    Args:
        connection: Any.
        side: The side that is left.
        found: What hangs on its column.
        kept: What was written for the last switch; see `said`. What nobody has changed since is said as
        before.
    """
    for one in _of(found):
        here, name = _names(connection, one)
        before, after = kept.get(_key(one), ("", ""))
        is_known = after == one.definition
        definition = before if is_known else one.definition
        add = f"ALTER TABLE {here.as_string()} ADD CONSTRAINT {name.as_string()} {definition}"
        if one.kind == hanging.CHECK and not is_known:
            statement: Any = literals.adapt(connection, side, parse_sql(add)[0].stmt)
            add = expressions.printed(statement)
        yield add if add.endswith(_LATE) else add + _LATE
        if one.comment is not None:
            yield sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(name, here, sql.Literal(one.comment))


def refuse_broken(work: Work, side: Side) -> None:
    """Refuse to switch where rows would contradict them.

    A value may fit in one type and not in the other: 9.999 is below 10, and isn't when it is rounded.

    Raises:
        ViolationError: Rows would: up to ten of each are named.

    Locks: ACCESS SHARE on the tables, for as long as they take to read.
    """
    found = list(_broken(work, side))
    if found:
        raise ViolationError(
            f"Column {side.table}.{side.column} can't be switched: "
            f"as {side.type} some rows would contradict its "
            "constraints. Nothing was switched; both columns go "
            "on being kept alike. Mend these rows, then run the "
            "same command again:\n" + "\n".join(f"  {row}" for row in found)
        )


def _broken(work: Work, side: Side) -> Iterator[str]:
    oids = [part.oid for part in tables.tree(work.connection, side.table.oid)]
    for one in hanging.of_column(work.connection, oids, side.column):
        if one.kind not in KINDS or not_null.PREFIX in str(one.name) or str(one.definition).endswith(_LATE):
            continue
        query = _check_broken(work, side, one) if one.kind == hanging.CHECK else _key_broken(work, side, one)
        if query is not None:
            with lifted_timeouts(work.connection):
                rows = work.connection.execute(query.encode()).fetchall()
            yield from (f"{key}: contradicts {one}" for (key,) in rows)


def _check_broken(work: Work, side: Side, one: Hanging) -> str:
    table = tables.by_oid(work.connection, one.constrained_oid)
    assert table is not None
    add = twins.check(work.connection, side, one, subject.quoted((table.name, table.schema)), "homeops_check")
    tree: Any = parse_sql(add)[0].stmt
    condition = expressions.printed(tree.cmds[0].def_.raw_expr)
    return _query(work.connection, table, f"NOT ({condition})")


def _key_broken(work: Work, side: Side, one: Hanging) -> str | None:
    """Find rows of a key without an equal at its other end."""
    key = constraints.by_oid(work.connection, one.oid)
    assert key is not None
    source, referent = (tables.by_oid(work.connection, oid) for oid in (key.table_oid, key.referent_oid))
    if source is None or referent is None or "PERIOD" in str(one.definition):
        return None
    pairs = [
        (
            _name("source", side.shadow if one.is_ours and own == side.column else own),
            _name("referent", side.shadow if one.is_to_us and other == side.column else other),
        )
        for own, other in zip(key.columns, key.referent_columns, strict=True)
    ]
    there = " AND ".join(f"{other} = {own}" for own, other in pairs)
    both = " OR " if key.matches_full else " AND "
    has_values = f"({both.join(f'{own} IS NOT NULL' for own, _ in pairs)})"
    name = subject.quoted((referent.name, referent.schema))
    missing = f"NOT EXISTS (SELECT FROM {name} AS referent WHERE {there})"
    return _query(work.connection, source, f"{has_values} AND {missing}")


def _query(connection: Connection, table: Table, condition: str) -> str:
    keys = heap.keys(connection, table.oid)
    names = list(keys[0].columns) if keys else []
    pairs = ", ".join(f"{sql.Literal(name).as_string()}, {_name('source', name)}" for name in names)
    shown = f"jsonb_build_object({pairs})::text" if names else "source.ctid::text"
    said = sql.Literal(f"{table} ").as_string()
    name = subject.quoted((table.name, table.schema))
    return f"SELECT {said} || {shown} FROM {name} AS source WHERE {condition} LIMIT {_NAMED}"  # noqa: S608


def _name(record: str, column: str) -> str:
    return sql.Identifier(record, column).as_string()


def said(connection: Connection, side: Side, found: Sequence[Hanging]) -> dict[str, list[str]]:
    """Give their words before a switch, and after it."""
    oids = [part.oid for part in tables.tree(connection, side.table.oid)]
    now = {_key(one): one.definition for one in _of(hanging.of_column(connection, oids, side.column))}
    return {
        _key(one): [str(one.definition), str(now[_key(one)]).removesuffix(_LATE)]
        for one in _of(found)
        if _key(one) in now
    }


def _key(one: Hanging) -> str:
    return f"{one.constrained_oid} {one.name}"


def unproven(found: Sequence[Hanging]) -> list[list[Any]]:
    """Name those that are to be validated after the switch: their tables' oids, and their names."""
    return [[one.constrained_oid, one.name] for one in _of(found) if not str(one.definition).endswith(_LATE)]


def validate(work: Work, change: Change) -> None:
    """Look at the rows; done by `validation.validate`, one after the other.

    Locks: SHARE UPDATE EXCLUSIVE on the constrained table, ROW SHARE on the one that a key refers to.
    """
    named = changes.by_number(work.connection, change.id).kept.get("unproven", [])
    for oid, name in named:
        table = tables.by_oid(work.connection, oid)
        if table is not None and constraints.constraint(work.connection, oid, name) is not None:
            validation.validate(work, table, name)
    if named:
        changes.keep(work.connection, change.id, unproven=[])


def wants(work: Work, side: Side, found: Sequence[Hanging]) -> list[Wanted]:
    """Name the locks on other tables that taking and giving foreign keys needs."""
    oids = {one.constrained_oid for one in found if one.kind == hanging.REFERRING}
    for one in found:
        key = constraints.by_oid(work.connection, one.oid) if one.kind == hanging.FOREIGN_KEY else None
        oids |= {key.referent_oid} if key is not None else set()
    others = (tables.by_oid(work.connection, oid) for oid in sorted(oids - {side.table.oid}))
    return [wanted(work.connection, table, locks.ACCESS_EXCLUSIVE) for table in others if table is not None]


def _of(found: Sequence[Hanging]) -> list[Hanging]:
    return [one for one in found if one.kind in KINDS]


def _names(connection: Connection, one: Hanging) -> tuple[sql.Identifier, sql.Identifier]:
    table: Table | None = tables.by_oid(connection, one.constrained_oid)
    assert table is not None
    return sql.Identifier(table.schema, table.name), sql.Identifier(str(one.name))
