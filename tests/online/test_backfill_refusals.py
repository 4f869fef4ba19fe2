"""What is refused before a backfill starts, because it could not end well; and whether a disk has room for it."""

import os
import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import tables
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.online.backfill import disk, refusals
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.looking import FUNCTION, LOOKED, MANY, PARTITIONED, look_at, refused, said, table


@pytest.fixture
def role(any_url: URL, db: Connection) -> Iterator[Connection]:
    """A session of a role that is nobody else and owns nothing."""
    name = f"before_{os.getpid()}"
    db.execute(f"create role {name} login; grant usage on schema public to {name}")
    with connect(any_url.set(username=name)) as connection:
        yield connection
    db.execute(f"drop owned by {name}; drop role {name}")


# What is refused --------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_rows_that_a_policy_hides(db: Connection, role: Connection) -> None:
    me = role.info.user
    db.execute(f"{LOOKED}; alter table t enable row level security; grant all on t to {me}")
    look_at(db, "t", "b")  # a superuser is above it
    for way in ({}, {"deletes": True}):
        refused(UnsafeError, rf"of public\.t would hide rows from role {me}", role, "t", "b", **way)
    db.execute(f"create table s (id int, a int, b int, c text); grant all on s to {me}")
    refused(UnsafeError, r"of public\.t would hide", role, "s", fills="t")
    db.execute(f"alter table t owner to {me}")
    look_at(role, "t", "b")
    db.execute("alter table t force row level security")
    refused(UnsafeError, "would hide", role, "t", "b")


@MOSTLY_HERE
def test_rows_that_a_policy_of_another_table_hides(db: Connection, role: Connection) -> None:
    me = role.info.user
    db.execute(f"{LOOKED}; create table other (id int); alter table other enable row level security")
    db.execute(f"grant all on t, other to {me}")
    refused(
        UnsafeError, "that the statement reads would hide rows", role, "t", "b",
        todo="t.a in (select id from other)",
    )  # fmt: skip
    assert role.execute("show row_security").fetchone() == ("on",)


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("grants", "match"),
    [
        ("select, update on p, p1, p2", None),
        (
            "select, update on p",
            r"Batches name public\.p1 itself, so what is granted on public\.p doesn't count",
        ),
        ("select, update on p, p1", r"denied for table p2.* let it grant SELECT, UPDATE on public\.p2"),
        ("select, delete on p, p1, p2", "denied for table p1"),
        ("update on p, p1, p2", "denied for table p1"),
        ("update (b), select (b) on p, p1, p2", "denied for table p1"),  # it goes by ctid
        ("update (b), select (b, ctid) on p, p1, p2", None),
        ("update (b), select (b, ctid) on p1, p2", None),
        ("update (a), select (b, ctid) on p, p1, p2", "denied for table p1"),
    ],
)
def test_privileges_are_demanded_on_each_leaf(
    db: Connection, role: Connection, grants: str, match: str | None
) -> None:
    db.execute(f"{PARTITIONED} grant {grants} to {role.info.user}")
    if match is None:
        look_at(role, "p", "b", todo="b is null")
    else:
        refused(ObjectError, match, role, "p", "b", todo="b is null")


@MOSTLY_HERE
def test_columns_of_the_condition_must_be_readable(db: Connection, role: Connection) -> None:
    db.execute(f"{LOOKED}; grant select (b, ctid), update (b) on t to {role.info.user}")
    look_at(role, "t", "b", todo="b is null")
    refused(ObjectError, "denied for table t", role, "t", "b", todo="b is null and a > 0")


@MOSTLY_HERE
def test_an_insert_needs_both_tables(db: Connection, role: Connection) -> None:
    db.execute(
        f"{LOOKED}; create table s (id int, a int, b int, c text); grant select on s to {role.info.user}"
    )
    refused(ObjectError, r"denied for table t.*INSERT on public\.t", role, "s", fills="t")
    db.execute(f"grant insert on t to {role.info.user}; revoke select on s from {role.info.user}")
    refused(ObjectError, "denied for table s", role, "s", fills="t")


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("create", "column"),
    [
        ("create table t (id int, b int) partition by range (b)", "b"),
        ("create table t (id int, b int) partition by range ((b + 1))", "b"),
        (
            "create table t (id int, b int) partition by range (id);"
            "create table t1 partition of t for values from (0) to (9) partition by list (b);"
            "create table t11 partition of t1 for values in (1)",
            "b",
        ),
    ],
)
def test_a_partition_key_isnt_set(db: Connection, create: str, column: str) -> None:
    db.execute(create)
    refused(UnsafeError, f"is cut into pieces by column {column}", db, "t", column)
    look_at(db, "t", deletes=True)


@MOSTLY_HERE
def test_a_partition_key_isnt_set_in_one_partition_either(db: Connection) -> None:
    db.execute(PARTITIONED)
    refused(UnsafeError, r"public\.p is cut into pieces by column id", db, "p1", "id")
    look_at(db, "p1", "b")


def test_a_dimension_of_a_hypertable_isnt_set(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute(
            f"create extension timescaledb; {FUNCTION}"
            "create table h (at timestamptz not null, b int); select create_hypertable('h', 'at');"
            "insert into h select now() + i * interval '1 week', i from generate_series(1, 12) i;"
            "create index on h (b); create trigger x after update on h for each row execute function f()"
        )
        for name in ("h", tables.tree(db, table(db, "h").oid)[1].name):
            db.execute("set search_path = public, _timescaledb_internal")
            refused(UnsafeError, r"public\.h is cut into pieces by column at", db, name, "at")
        found = look_at(db, "h", "b")
        assert found.rows == 12
        assert len(said(found, "index")) == 1
        assert said(found, "trigger") == ["trigger x (public.f) fires on each row, AFTER UPDATE"]
        db.execute("create table s (at timestamptz, b int); insert into s values (now(), 1)")
        assert said(look_at(db, "s", fills="h"), "trigger") == []  # TimescaleDB's own isn't named


@MOSTLY_HERE
@pytest.mark.parametrize("column", ["g", "i"])
def test_a_column_that_the_server_fills_isnt_set(db: Connection, column: str) -> None:
    db.execute(
        "create table t (id int primary key, b int, g int generated always as (b * 2) stored, "
        "i int generated always as identity)"
    )
    refused(ObjectError, f'column "{column}" can only be updated to DEFAULT', db, "t", column)


@pytest.mark.parametrize("way", [{}, {"deletes": True}], ids=["update", "delete"])
def test_what_is_published_needs_a_replica_identity(db: Connection, way: dict) -> None:
    db.execute("create table t (id int not null, b int); create publication pub for table t")
    try:
        refused(
            UnsafeError,
            r"Publication pub sends each \w+ of public\.t.* REPLICA IDENTITY",
            db,
            "t",
            "b",
            **way,
        )
        db.execute("alter table t replica identity full")
        look_at(db, "t", "b", **way)
        db.execute("alter publication pub set table t (id)")
        refused(UnsafeError, "Publication pub .*does not cover the replica identity", db, "t", "b", **way)
        db.execute("alter publication pub set table t where (b > 1); create unique index u on t (id)")
        db.execute("alter table t replica identity using index u")
        refused(UnsafeError, "Publication pub .*WHERE expression is not part of", db, "t", "b", **way)
        db.execute("alter publication pub set (publish = 'insert')")
        look_at(db, "t", "b", **way)
    finally:
        db.execute("drop publication pub")


@MOSTLY_HERE
def test_a_leaf_without_a_replica_identity_is_found(db: Connection) -> None:
    db.execute(
        "create table p (id int, b int) partition by range (id);"
        "create table p1 partition of p (primary key (id)) for values from (0) to (100);"
        "create table p2 partition of p for values from (100) to (1000); create publication pub for table p"
    )
    try:
        refused(UnsafeError, r"of public\.p2,", db, "p", "b")
    finally:
        db.execute("drop publication pub")


@MOSTLY_HERE
def test_rules_are_refused(db: Connection) -> None:
    db.execute(f"{LOOKED}; create rule r as on update to t do instead nothing")
    refused(UnsafeError, r"Rule r of public\.t .*DISABLE RULE r", db, "t", "b")
    look_at(db, "t", deletes=True)
    db.execute("alter table t disable rule r")
    look_at(db, "t", "b")


@MOSTLY_HERE
def test_tables_without_pages_are_refused(db: Connection) -> None:
    db.execute(
        "create table p (id int, b int) partition by range (id);"
        "create foreign data wrapper w; create server s foreign data wrapper w;"
        "create foreign table p3 partition of p for values from (1000) to (2000) server s;"
        "create temporary table tt (id int, b int); create view v as select 1 as id, 2 as b"
    )
    try:
        refused(ObjectError, r"public\.p3 of public\.p is a foreign table", db, "p", "b")
        refused(ObjectError, "is a temporary table", db, "tt", "b")
        refused(ObjectError, r"public\.v is a view", db, "v", "b")
    finally:
        db.execute("drop foreign data wrapper w cascade")


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("column", "condition", "match"),
    [
        ("nope", None, 'column "nope" of relation "t" does not exist'),
        ("b", "nope is null", 'column "nope" does not exist'),
        ("b", "b is null; drop table t", "syntax error"),
        ("b", "b = 'x'", "invalid input syntax for type integer"),
    ],
)
def test_what_the_server_cant_read_is_refused(
    db: Connection, column: str, condition: str | None, match: str
) -> None:
    db.execute(LOOKED)
    refused(ObjectError, match, db, "t", column, todo=condition)


@MOSTLY_HERE
def test_a_lock_that_isnt_had_is_told_as_such(any_url: URL, db: Connection) -> None:
    db.execute(f"{LOOKED}; set lock_timeout = '20ms'")
    with connect(any_url) as other, other.transaction():
        other.execute("lock table t in share mode")
        with pytest.raises(LockNotAvailable):
            look_at(db, "t", "b")
    assert look_at(db, "t", "b").rows == 0


@MOSTLY_HERE
def test_no_lock_is_kept(db: Connection) -> None:
    db.execute(PARTITIONED)
    look_at(db, "p", "b", todo="b is null")
    assert db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert db.execute("show row_security").fetchone() == ("on",)


@MOSTLY_HERE
def test_a_scan_for_each_row_that_would_never_end_is_refused(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute(
        "create table t (id int primary key); create table c (t_id int constraint k references t);"
        "insert into t select generate_series(1, 1000); insert into c select generate_series(1, 1000)"
    )
    monkeypatch.setattr(refusals, "_SCAN_RATE", 10_000)
    with pytest.raises(
        UnsafeError, match=r"foreign key k would read all of public\.c .*about 1k times, "
    ) as told:
        look_at(db, "t", deletes=True)
    assert 'online.create_index("ix_…", "c", [\'t_id\'], schema="public")' in str(told.value)
    assert look_at(db, "t", todo="id < 0", deletes=True).rows == 0
    db.execute("create index on c (t_id)")
    assert look_at(db, "t", deletes=True).rows == 1000


@MOSTLY_HERE
def test_a_backfill_that_is_refused_leaves_nothing(run: Callable, db: Connection) -> None:
    db.execute(
        "create table t (id int not null, b int); insert into t values (1); create publication pub for table t"
    )
    try:
        with pytest.raises(UnsafeError, match="replica identity"):
            run(online.backfill, "t", {"b": "id"})
    finally:
        db.execute("drop publication pub")
    assert db.execute("select id, b from t").fetchall() == [(1, None)]
    assert db.execute("select count(*) from migrations.backfills").fetchone() == (0,)


# Free disk --------------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_free_disk_of_this_machine_is_told(db: Connection) -> None:
    db.execute(LOOKED)
    (found,) = [one for one in look_at(db, "t", "b").notices if " are free on the disk of " in one]
    data = db.execute("show data_directory").fetchone()[0]
    assert data in found


@MOSTLY_HERE
def test_too_little_free_disk_is_refused(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    db.execute(LOOKED)
    db.execute(MANY.format(2000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    refused(
        UnsafeError,
        r"public\.t will take about \d+ kB more on the disk of .*, and 98 kB are free",
        db,
        "t",
        "b",
    )
    assert look_at(db, "t", "b", todo="id < 0").rows == 0


@MOSTLY_HERE
def test_what_a_role_may_not_see_is_said(db: Connection, role: Connection) -> None:
    db.execute(f"{LOOKED}; grant all on t to {role.info.user}")
    found = look_at(role, "t", "b")
    assert found.notices[-1] == (
        "free disk can't be seen: our role may not see data_directory (pg_read_all_settings)"
    )
    db.execute(f"grant pg_read_all_settings to {role.info.user}")
    assert " are free on the disk of " in look_at(role, "t", "b").notices[-1]


@MOSTLY_HERE
def test_a_server_elsewhere_is_not_looked_for_here(
    db: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike
) -> None:
    db.execute(LOOKED)
    monkeypatch.setattr(disk, "_PROCESSES", tmp_path)  # where our backend's process isn't
    assert look_at(db, "t", "b").notices[-1] == "free disk can't be seen: the server is on another machine"


@MOSTLY_HERE
@pytest.mark.slow
def test_a_tablespace_is_a_disk_of_its_own(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    db.execute("set allow_in_place_tablespaces = on")
    name = f"before_{os.getpid()}"
    db.execute(f"create tablespace {name} location ''")
    try:
        db.execute(f"create table t (id int, b int) tablespace {name}; create index on t (b)")
        db.execute("insert into t select i, i from generate_series(1, 1000) i")
        asked: dict[str, float] = {}
        monkeypatch.setattr(disk, "_by_device", lambda wanted: asked.update(wanted) or [])
        look_at(db, "t", "b")
    finally:
        db.execute("drop table if exists t")
        db.execute(f"drop tablespace {name}")
    sizes = {str(path).rpartition("/data")[2].partition("/")[2]: size for path, size in asked.items()}
    assert set(sizes) >= {"", "pg_wal"}
    assert any(path.startswith("pg_tblspc/") and size > 0 for path, size in sizes.items())
