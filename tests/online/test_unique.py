import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import op
from psycopg import Connection
from psycopg.errors import UniqueViolation
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import ObjectError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import psql, script_of
from tests.online.conftest import revision

ONE = "create table t (id int primary key, a int, b text); insert into t select g, g, g from generate_series(1, 20) g"
PARTITIONED = """
create table p (id int, a int) partition by range (id);
create table p1 partition of p for values from (0) to (10);
create table p2 partition of p for values from (10) to (30) partition by range (id);
create table p2a partition of p2 for values from (10) to (20);
create table p2b partition of p2 for values from (20) to (30);
insert into p select g, g from generate_series(0, 29) g
"""
UQ = ("uq", "t", ["a"])
PART = ("uq", "p", ["a", "id"])


def keys(db: Connection) -> list[tuple]:
    """Every unique constraint: table, name, meaning, whether its index is valid, and whether it's attached."""
    return db.execute("""
        select conrelid::regclass::text, conname, pg_get_constraintdef(o.oid), indisvalid and indisready, conparentid <> 0
        from pg_constraint o join pg_index i on i.indexrelid = o.conindid
        where contype = 'u' and connamespace = 'public'::regnamespace order by 1, 2
    """).fetchall()


def test_it_is_made_once(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    done = run(online.create_unique_constraint, *UQ)
    assert (done.changed, done.subject) == (True, "uq on t")
    assert keys(db) == [("t", "uq", "UNIQUE (a)", True, False)]
    assert not run(online.create_unique_constraint, *UQ).changed


@pytest.mark.parametrize("options", [
    {"deferrable": True, "initially": "DEFERRED"},
    {"deferrable": True},
    {"deferrable": False, "postgresql_include": ["b", "id"]},
    {"postgresql_nulls_not_distinct": True, "postgresql_include": ["b"], "deferrable": True, "initially": "IMMEDIATE"},
])  # fmt: skip
def test_its_options_are_those_of_op(run: Callable, db: Connection, any_url: URL, options: dict) -> None:
    db.execute(ONE)
    # Given as names, they are a KeyError in SQLAlchemy.
    columns = {
        name: [sa.column(c) for c in given] for name, given in options.items() if name == "postgresql_include"
    }
    run(lambda: op.create_unique_constraint(*UQ, **options | columns))
    by_op = keys(db)
    assert not run(online.create_unique_constraint, *UQ, **options).changed
    for way in (
        lambda: run(online.create_unique_constraint, *UQ, **options),
        lambda: psql(any_url, script_of(online.create_unique_constraint, *UQ, **options)),
    ):
        run(online.drop_constraint, "uq", "t", "unique")
        way()
        assert keys(db) == by_op


@pytest.mark.parametrize("change", [
    {"deferrable": True}, {"postgresql_include": ["b"]}, {"postgresql_nulls_not_distinct": True},
])  # fmt: skip
def test_another_one_by_that_name_is_refused(run: Callable, db: Connection, change: dict) -> None:
    db.execute(ONE)
    run(online.create_unique_constraint, *UQ)
    with pytest.raises(
        ObjectError,
        match=r"uq of public\.t already, and it is another one: UNIQUE \(a\).*Nothing was changed",
    ):
        run(online.create_unique_constraint, *UQ, **change)
    with pytest.raises(ObjectError, match="Nothing was changed"):
        run(online.create_unique_constraint, "uq", "t", ["id", "a"])


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize("index", [
    "create unique index uq on t (a) where a > 3",
    "create unique index uq on t ((a + 1))",
    "create index uq on t (a)",
    "create unique index uq on t (a desc)",
    "create table other (a int); create unique index uq on other (a)",
])  # fmt: skip
def test_another_index_by_that_name_is_refused(run: Callable, db: Connection, index: str) -> None:
    db.execute(f"{ONE}; {index}".encode())
    with pytest.raises(ObjectError, match=r"index public\.uq.* Nothing was changed"):
        run(online.create_unique_constraint, *UQ)
    assert keys(db) == []


def test_an_index_that_is_there_is_taken_over(run: Callable, db: Connection) -> None:
    db.execute(f"{ONE}; create unique index uq on t (a)")
    (before,) = db.execute("select pg_relation_filenode('uq')").fetchone() or ()
    run(online.create_unique_constraint, *UQ, deferrable=True)
    assert keys(db) == [("t", "uq", "UNIQUE (a) DEFERRABLE", True, False)]
    assert db.execute("select pg_relation_filenode('uq')").fetchone() == (before,)


def test_a_violation_leaves_nothing_in_the_way_and_the_rerun_succeeds(run: Callable, db: Connection) -> None:
    db.execute(f"{ONE}; insert into t values (21, 3), (22, 5)")
    with pytest.raises(ViolationError, match=r"3.*5"):
        run(online.create_unique_constraint, *UQ)
    assert keys(db) == []
    db.execute("delete from t where id > 20")
    run(online.create_unique_constraint, *UQ)
    assert keys(db) == [("t", "uq", "UNIQUE (a)", True, False)]


def test_writers_go_on_until_the_short_lock(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(ONE)
    ended: list[object] = []
    with connect(any_url) as old, connect(any_url, options="-c lock_timeout=100") as traffic:
        old.execute("begin; insert into t values (100, 100)")
        thread = threading.Thread(target=lambda: ended.append(run(online.create_unique_constraint, *UQ)))
        thread.start()
        until(
            lambda: db.execute(
                "select 1 from pg_stat_activity where query like 'CREATE UNIQUE INDEX CONCURRENTLY%' and wait_event_type = 'Lock'"
            ).fetchone()
        )
        traffic.execute("insert into t values (101, 101); delete from t where id = 101")
        assert not ended
        old.execute("commit")
        thread.join()
    assert keys(db)[0][3]


def test_the_lock_is_taken_by_itself_after_the_build(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    seen: list[str] = []
    with faults.injected(seen.append):
        run(online.create_unique_constraint, *UQ)
    assert seen[-3:] == [
        f"create_unique_constraint: attach: {point}" for point in ("before", "inside", "committed")
    ]
    assert any("build" in point for point in seen[:-3])


def test_partitions_one_by_one_end_as_by_op(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(PARTITIONED)
    run(lambda: op.create_unique_constraint(*PART))
    by_op = keys(db)
    assert len(by_op) == 5
    assert not run(online.create_unique_constraint, *PART).changed
    for way in (
        lambda: run(online.create_unique_constraint, *PART),
        lambda: psql(any_url, script_of(online.create_unique_constraint, *PART)),
    ):
        run(online.drop_constraint, "uq", "p", "unique")
        assert keys(db) == []
        way()
        assert keys(db) == by_op
    db.execute("create table p3 partition of p for values from (30) to (40)")
    assert ("p3", "p3_a_id_key", "UNIQUE (a, id)", True, True) in keys(db)


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize(
    "stop",
    [
        "add to public.p: committed",
        "add to public.p2: committed",
        "build: done",
        "attach public.p1: committed",
        "attach public.p2b: before",
    ],
)
def test_partitions_are_gone_on_with(run: Callable, db: Connection, stop: str) -> None:
    db.execute(PARTITIONED)

    def fail(point: str) -> None:
        if stop in point:
            raise KeyboardInterrupt

    with faults.injected(fail), pytest.raises(KeyboardInterrupt):
        run(online.create_unique_constraint, *PART)
    run(online.create_unique_constraint, *PART)
    assert len(keys(db)) == 5
    assert all(key[3] for key in keys(db))
    assert sum(key[4] for key in keys(db)) == 4


def test_a_partitions_equal_constraint_is_attached(run: Callable, db: Connection) -> None:
    db.execute(f"{PARTITIONED}; alter table p1 add constraint mine unique (a, id)")
    run(online.create_unique_constraint, *PART)
    assert ("p1", "mine", "UNIQUE (a, id)", True, True) in keys(db)
    assert len(keys(db)) == 5


def test_a_violation_in_a_partition_is_named_and_the_rerun_succeeds(run: Callable, db: Connection) -> None:
    db.execute(f"{PARTITIONED}; insert into p values (21, 21)")
    with pytest.raises(ViolationError, match="21"):
        run(online.create_unique_constraint, *PART)
    with pytest.raises(UniqueViolation):
        db.execute("insert into p values (1, 1)")
    db.execute("delete from p where a = 21")
    run(online.create_unique_constraint, *PART)
    assert all(key[3] for key in keys(db))


def test_a_key_without_the_partition_columns_is_refused_first(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    with pytest.raises(ObjectError, match=r"lacks column .id.*Nothing was changed"):
        run(online.create_unique_constraint, "uq", "p", ["a"])
    assert keys(db) == []
    db.execute("alter table p2b add constraint p2b_a_id_key check (a > 0)")
    with pytest.raises(ObjectError, match=r"p2b_a_id_key of public\.p2b already.*Nothing was changed"):
        run(online.create_unique_constraint, *PART)
    assert keys(db) == []


def test_a_key_that_only_a_lower_level_refuses_leaves_nothing(run: Callable, db: Connection) -> None:
    db.execute("""
        create table p (id int, a int) partition by range (id);
        create table p1 partition of p for values from (0) to (10) partition by list (a);
        create table p1a partition of p1 default
    """)
    with pytest.raises(ObjectError, match=r"lacks column .a.*Nothing was changed"):
        run(online.create_unique_constraint, "uq", "p", ["id"])
    assert db.execute("select from pg_constraint where conname = 'uq'").fetchone() is None


def test_a_hypertable_is_refused_with_what_to_do(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb; create table h (at timestamptz not null, r int)")
        db.execute("select create_hypertable('h', 'at')")
        with (
            revision(empty_url),
            pytest.raises(UnsafeError, match=r"hypertable.*Nothing was changed.*op\.create_unique"),
        ):
            online.create_unique_constraint("uq", "h", ["at", "r"])


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((None, "t", ["a"]), "has no name"),
        (("ü" * 32, "t", ["a"]), "64 bytes"),
        (("uq", "nothing", ["a"]), "nothing doesn't exist"),
        (("uq", "t", ["nothing"]), 'column "nothing"'),
        (("uq", "t", ["j"]), "json"),
        (("t_pkey", "t", ["a"]), "already"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_changed(
    run: Callable, db: Connection, arguments: tuple, told: str
) -> None:
    db.execute(f"{ONE}; alter table t add j json")
    with pytest.raises(ObjectError, match=f"{told}.*Nothing was changed") as caught:
        run(online.create_unique_constraint, *arguments)
    assert "\n" not in str(caught.value)
    assert keys(db) == []


@pytest.mark.parametrize("any_url", ["stock 15"], indirect=True)
@pytest.mark.parametrize("name", ['a"; drop table r; --', "Ünïcode %s %% {} 'x'", "ü" * 31 + "x", "select"])
def test_identifiers_are_only_names(run: Callable, db: Connection, any_url: URL, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    part = '"' + name[:26].replace('"', '""') + ' part"'
    sub = '"' + name[:26].replace('"', '""') + ' sub"'
    db.execute(
        f"create schema {quoted}; create table {quoted}.{quoted} ({quoted} int) partition by range ({quoted})".encode()
    )
    db.execute(
        f"create table {quoted}.{part} partition of {quoted}.{quoted} for values from (0) to (9) partition by range ({quoted})".encode()
    )
    db.execute(
        f"create table {quoted}.{sub} partition of {quoted}.{part} for values from (0) to (9)".encode()
    )
    made = """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where contype = 'u' and connamespace >= 16384 order by 1
    """
    uq = (name.encode()[:60] + b"_uq").decode()  # its index would have the table's own name
    run(online.create_unique_constraint, uq, name, [name], schema=name)
    by_online = db.execute(made).fetchall()
    assert len(by_online) == 3
    assert not run(online.create_unique_constraint, uq, name, [name], schema=name).changed
    run(online.drop_constraint, uq, name, schema=name)
    psql(any_url, script_of(online.create_unique_constraint, uq, name, [name], schema=name))
    assert db.execute(made).fetchall() == by_online
    db.execute(f"drop schema {quoted} cascade".encode())
