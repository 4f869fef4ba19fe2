"""What tests of a backfill's beginning look at: a table, a forecast, a refusal."""

import pytest
from psycopg import Connection, sql

from homeops_db.catalog import tables
from homeops_db.online.backfill import before
from homeops_db.online.backfill.before import Forecast
from homeops_db.online.backfill.job import Job, delete, update

LOOKED = "create table t (id int primary key, a int, b int, c text)"
MANY = "insert into t select i, i, case when i % 4 = 0 then 1 end, repeat('x', 100) from generate_series(1, {}) i"
FUNCTION = "create function f() returns trigger language plpgsql as 'begin return new; end';"
PARTITIONED = (
    "create table p (id int primary key, a int, b int) partition by range (id);"
    "create table p1 partition of p for values from (0) to (100);"
    "create table p2 partition of p for values from (100) to (1000);"
)


def table(db: Connection, name: str) -> tables.Table:
    """A table, by the search path."""
    found = tables.table(db, name, None)
    assert found is not None
    return found


def look_at(
    db: Connection, name: str = "t", *columns: str, todo: str | None = None, fills: str | None = None,
    deletes: bool = False, **options: bool,
) -> Forecast:  # fmt: skip
    """Look at a backfill of some columns, at a delete, or at an insert of the rows into another table."""
    root = table(db, name)
    leaves = [one for one in tables.tree(db, root.oid) if not one.is_partitioned]
    given = {"subject": f"public.{name}", "definition": {}, "alias": name, "todo": todo}
    if fills:
        target = table(db, fills)

        def write(leaf: tables.Table, condition: sql.Composable) -> sql.Composable:
            query = "insert into {} select {}.* from only {} as {} where {}"
            called = sql.Identifier(name)
            return sql.SQL(query).format(
                sql.Identifier(target.schema, target.name), called,
                sql.Identifier(leaf.schema, leaf.name), called, condition,
            )  # fmt: skip

        job = Job("batched_insert", statement=write, fills=target, **given)
    elif deletes:
        job = Job("batched_delete", statement=delete(name), **given)
    else:
        values = dict.fromkeys(columns, "null")
        job = Job("backfill", statement=update(name, values), columns=columns, **given)
    return before.forecast(db, job, root, leaves, **options)


def said(forecast: Forecast, *words: str) -> list[str]:
    """The notices that begin with one of these."""
    return [one for one in forecast.notices if one.startswith(words)]


def refused(error: type[Exception], match: str, *arguments: object, **options: object) -> None:
    """It can't be: one line says why, and that nothing was changed."""
    with pytest.raises(error, match=match) as told:
        look_at(*arguments, **options)
    assert "Nothing was changed" in str(told.value)
    assert "\n" not in str(told.value)
