"""online.Restructure refuses what it can't carry over: all of it is named, and nothing is left behind."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import manifest
from homeops_db.errors import ObjectError, OnlineError, UnsafeError, ViolationError
from homeops_db.history import changes
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401
from tests.online.reshaping import OURS, unhurried  # noqa: F401

MADE = "create table t (id int primary key, n int, name text)"
PARTS = {"t_1": "FROM (0) TO (100)", "t_2": "DEFAULT"}
BY_N: dict[str, Any] = {"partition_by": "RANGE (n)", "partitions": PARTS, "primary_key": ["id", "n"]}
REFUSED: dict[str, tuple[str, dict[str, Any], type[OnlineError], str]] = {
    "no key": (
        "create table t (id int, n int)", {}, ObjectError,
        "public.t has no unique key without nulls whose columns are in both shapes",
    ),
    "partitioned": (
        "create table t (id int primary key, n int) partition by range (id)", {}, ObjectError,
        "public.t can't get another shape online: it is partitioned already. Nothing was changed.",
    ),
    "a partition": (
        "create table p (id int primary key, n int) partition by range (id); create table t partition of p default", {},
        ObjectError, "public.t can't get another shape online: it is a partition. Nothing was changed.",
    ),
    "columns of the row's type": (
        f"{MADE}; create table other (x t); create table more (x t[])", {"columns": ("n", ...)}, ObjectError,
        "public.t can't get another shape while it is needed by: other dependent column x of table public.more; other dependent "
        "column x of table public.other. Nothing was changed. Drop these before",
    ),
    "functions of the row's type": (
        f"{MADE}; create function all_t() returns setof t language sql as 'select * from t'", {"columns": ("n", ...)},
        ObjectError, "public.t can't get another shape while it is needed by: function public.all_t(). Nothing was changed.",
    ),
    "a table of a type": (
        "create type shape as (id int, n int); create table t of shape (primary key (id))",
        {"columns": (..., sa.Column("more", sa.Integer))}, ObjectError,
        "public.t can't get this shape, for the server refuses to give it: row type",
    ),
    "an exclusion constraint on partitions": (
        f"{MADE}; alter table t add constraint xc exclude using btree (name with =)", BY_N, ObjectError,
        "public.t can't get this shape, for the server refuses to give it: exclusion constraint xc",
    ),
    "unique keys without the partition key, both named": (
        f"{MADE}; alter table t add constraint uq unique (name); create unique index ux on t (id, name)", BY_N, ObjectError,
        "refuses to give it: index ux (unique constraint on partitioned table must include all partitioning columns); "
        "unique constraint uq (unique constraint on partitioned table must include all partitioning columns). Nothing was",
    ),
    "a key that nothing finds": (
        f"{MADE}", {**BY_N, "primary_key": ["n", "id"]}, ObjectError,
        "No index of the new shape of public.t begins with id, by which its rows are found, so each write would read the",
    ),
    "no such column to drop": (
        MADE, {"drop": ("gone",)}, ObjectError,
        "drop= names gone, and public.t has no column, index, constraint, statistics or trigger of that name.",
    ),
    "an index of a column that goes": (
        f"{MADE}; create index ix on t (name, n); alter table t add constraint ck check (n > 3)", {"drop": ("n",)},
        ObjectError, 'refuses to give it: index ix (column "n" does not exist); check constraint ck (column "n" does not exist',
    ),
    "a view of a column that goes": (
        f"{MADE}; create view v as select n from t", {"drop": ("n",)}, ObjectError, "public.t can't get this shape: CREATE VIEW",
    ),
    "a materialized view of a column that goes": (
        f"{MADE}; create materialized view m as select n from t", {"drop": ("n",)}, ObjectError,
        "refuses to give it: materialized view public.m (column",
    ),
    "a type without a way": (
        MADE, {"columns": (..., sa.Column("n", sa.Text))}, ObjectError,
        "Column public.t.n gets another type, and transform= doesn't say how it is made as text of integer.",
    ),
    "a way there without one back": (
        MADE, {"columns": (..., sa.Column("up", sa.Text)), "drop": ("name",), "transform": {"up": "upper(name)"}},
        ObjectError, "transform= reads name of public.t, and nothing says how that is made on the other way",
    ),
    "what changes by itself": (
        MADE, {"columns": (..., sa.Column("at", sa.Text)), "transform": {"at": "now()::text || n"}}, UnsafeError,
        "may change by itself",
    ),
    "what can't be read": (
        MADE, {"columns": (..., sa.Column("up", sa.Text)), "transform": {"up": "upper(nobody)"}}, ObjectError,
        "transform['up'] can't be read: column \"nobody\" does not exist. Nothing was changed. Check the revision.",
    ),
    "a column without a value": (
        MADE, {"columns": (..., sa.Column("must", sa.Text, nullable=False))}, ObjectError,
        "Column must of public.t takes no NULL, and nothing says what it is in a row that is written to the other shape.",
    ),
    "a column that is said twice": (
        MADE, {"columns": ("id", "id", ...)}, ObjectError, "The columns of public.t aren't clear: id isn't there, or is said",
    ),
    "a new identity": (
        MADE, {"columns": (..., sa.Column("no", sa.Integer, sa.Identity()))}, ObjectError,
        "Column no is an identity, and rows that are there would need numbers. Nothing was changed.",
    ),
    "a publication of all tables": (
        f"{MADE}; create publication pub_all for all tables", {"columns": ("n", ...)}, ObjectError,
        "public.t can't get another shape online: the publication pub_all is FOR ALL TABLES, so subscribers would be",
    ),
    "a partition whose name is taken": (
        f"{MADE}; create table t_1 (x int)", BY_N, ObjectError, "public.t can't get this shape: ALTER TABLE",
    ),
    "a table of an extension": (
        f"{MADE}; alter extension plpgsql add table t", {"columns": ("n", ...)}, ObjectError,
        "public.t can't get another shape online: it belongs to the extension plpgsql. Nothing was changed.",
    ),
    "a table that a subscription fills": (
        f"{MADE}; create subscription filling connection 'dbname=nowhere' publication p with (connect = false, slot_name = none);"
        "set allow_system_table_mods = on; insert into pg_subscription_rel (srsubid, srrelid, srsubstate) select s.oid, 't'::regclass, 'r' from pg_subscription s"
        " where subname = 'filling'; reset allow_system_table_mods", {"columns": ("n", ...)}, ObjectError,
        "public.t can't get another shape online: the subscription filling fills it, which would not know the new table",
    ),
    "a foreign table": (
        "create foreign data wrapper nothing; create server far foreign data wrapper nothing;"
        "create foreign table t (id int) server far", {}, ObjectError,
        "t is no table that this can be done to. Nothing was changed.",
    ),
    "the server's own": (
        "select", {"table": "pg_class", "schema": "pg_catalog"}, ObjectError,
        "pg_catalog.pg_class can't get another shape online: it is the server's own",
    ),
}  # fmt: skip

OFTEN = (
    "partitioned",
    "columns of the row's type",
    "a key that nothing finds",
    "a publication of all tables",
)


@pytest.fixture
def cleaned(db: Connection) -> Iterator[None]:
    yield
    db.execute("drop publication if exists pub_all; drop foreign data wrapper if exists nothing cascade")
    if scalar(db, "select exists (select from pg_subscription where subname = 'filling')"):
        db.execute("drop subscription filling")
    if scalar(db, "select exists (select from pg_depend where deptype = 'e' and objid = to_regclass('t'))"):
        db.execute("alter extension plpgsql drop table t")


def described(db: Connection) -> list[str]:
    """Everything that is there, as far as it hangs on the tables of the application."""
    tables = rows(
        db,
        "select oid from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1",
    )
    return [str(manifest.read(db, oid)) for (oid,) in tables]


@MOSTLY_HERE
@pytest.mark.parametrize("name", [name if name in OFTEN else slowly(name) for name in REFUSED])
def test_it_is_refused_before_anything_is_changed(
    run: Callable[..., Any], db: Connection, cleaned: None, name: str
) -> None:
    made, asked, error, said = REFUSED[name]
    asked = dict(asked)
    db.execute(made.encode())
    before = described(db)
    with pytest.raises(error) as caught:
        run(online.Restructure(asked.pop("table", "t"), **asked).expand)
    assert said in str(caught.value)
    assert "Nothing was" in str(caught.value)
    assert described(db) == before
    assert rows(db, OURS) == []
    open_ = "select count(*) from migrations.changes where state not in ('undone')"
    assert not scalar(db, "select to_regclass('migrations.changes')") or scalar(db, open_) == 0


@MOSTLY_HERE
def test_a_temporary_table_is_refused(run: Callable[..., Any], db: Connection) -> None:
    db.execute("create temporary table t (id int primary key, n int)")
    schema = scalar(db, "select relnamespace::regnamespace::text from pg_class where oid = 't'::regclass")
    with pytest.raises(ObjectError, match="it is temporary"):
        run(online.Restructure("t", schema=schema, columns=("n", "id")).expand)
    assert rows(db, OURS) == []


def test_a_hypertable_is_refused(empty_url: URL) -> None:
    with connect(empty_url, options="-c client_min_messages=warning") as db:
        db.execute("create extension timescaledb")
        db.execute("create table h (t timestamptz primary key, n int); select create_hypertable('h', 't')")
        with revision(empty_url), pytest.raises(ObjectError, match="it is a hypertable, whose chunks"):
            online.Restructure("h", columns=("n", "t")).expand()
        assert rows(db, OURS) == []


@MOSTLY_HERE
def test_rows_that_are_hidden_from_us_are_never_lost(db: Connection, any_url: URL) -> None:
    db.execute("do $$ begin create role plain_owner login; exception when duplicate_object then null; end $$")
    name = scalar(db, "select current_database()")
    db.execute(f"grant create on database {name} to plain_owner; set role plain_owner".encode())
    db.execute(
        "create schema own; create table own.t (id int primary key, n int); insert into own.t values (1, 1), (2, 2)"
    )
    db.execute(
        "alter table own.t enable row level security, force row level security; create policy p on own.t using (n > 1)"
    )
    db.execute("reset role")
    try:
        with pytest.raises(ObjectError) as caught, revision(any_url.set(username="plain_owner")):
            online.Restructure("t", schema="own", columns=("n", "id")).expand()
        assert "The policies of own.t hide rows from this role" in str(caught.value)
        assert rows(db, OURS) == []
        assert scalar(db, "select count(*) from own.t") == 2
    finally:
        db.execute(
            "drop schema own cascade; drop schema if exists migrations cascade; drop owned by plain_owner"
        )


@MOSTLY_HERE
def test_rows_that_the_new_shape_forbids_are_named(run: Callable[..., Any], db: Connection) -> None:
    db.execute(f"{MADE}; insert into t values (1, 5, 'a'), (2, 5, 'A')".encode())
    db.execute("alter table t add constraint uq unique (name)")
    change = online.Restructure(
        "t", columns=(..., sa.Column("name", sa.String(5))), transform={"name": "lower(name)::varchar(5)"}, back={"name": "name::text"}
    )  # fmt: skip
    with pytest.raises(ViolationError) as caught:
        run(change.expand)
    assert "Rows of public.t don't agree with unique constraint uq in their new shape" in str(caught.value)
    assert "Key (name)=(a) is duplicated" in str(caught.value)
    db.execute("update t set name = 'b' where id = 2")
    run(change.expand), run(change.switch)
    assert rows(db, "select id, name from t order by 1") == [(1, "a"), (2, "b")]


@MOSTLY_HERE
def test_an_owner_needs_the_right_to_make_schemas(db: Connection, any_url: URL) -> None:
    db.execute("do $$ begin create role plain_owner login; exception when duplicate_object then null; end $$")
    name = scalar(db, "select current_database()")
    db.execute(f"grant create on database {name} to plain_owner; set role plain_owner".encode())
    db.execute(changes.DDL.encode())
    db.execute(f"reset role; revoke create on database {name} from plain_owner".encode())
    db.execute("create schema own authorization plain_owner; set role plain_owner")
    db.execute("create table own.t (id int primary key, n int); insert into own.t values (1, 2); reset role")
    change = online.Restructure("t", schema="own", columns=("n", "id"))
    try:
        with pytest.raises(OnlineError) as caught, revision(any_url.set(username="plain_owner")):
            change.expand()
        assert f"GRANT CREATE ON DATABASE {name}" in str(caught.value)
        assert rows(db, OURS) == []
        db.execute(f"grant create on database {name} to plain_owner".encode())
        for step in ("expand", "switch", "undo_switch", "switch", "contract"):
            with revision(any_url.set(username="plain_owner")):
                getattr(change, step)()
        assert rows(db, "select * from own.t") == [(2, 1)]
    finally:
        db.execute(
            "drop schema own cascade; drop schema if exists migrations cascade; drop owned by plain_owner"
        )
