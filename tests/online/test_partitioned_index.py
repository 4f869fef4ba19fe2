from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, ViolationError
from homeops_db.online.partitioned_index import name_of
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.test_create_index import in_background

Run = Callable[..., Any]

LONG = "l" * 60


@pytest.fixture
def p(db: Connection) -> None:
    """Two levels, a partition in another schema, columns in another order, and one with a long name."""
    db.execute(f"""
        create schema s;
        create table p (id int, a int, b text) partition by range (id);
        create table p1 (b text, id int, a int);
        alter table p attach partition p1 for values from (0) to (10);
        create table p2 partition of p for values from (10) to (30) partition by range (id);
        create table s.p2a partition of p2 for values from (10) to (20);
        create table {LONG} partition of p2 for values from (20) to (30);
        insert into p select g, g % 5, g from generate_series(1, 29) g;
    """)


@pytest.fixture(autouse=True)
def no_other_schema(request: pytest.FixtureRequest, any_url: URL) -> Any:
    yield
    with connect(any_url) as connection:
        connection.execute("drop schema if exists s cascade")


def tree(db: Connection, name: str = "ix") -> dict[str, tuple[str, str, bool]]:
    """An index and all that hang below it: name, table, definition, validity."""
    return {
        row[0]: row[1:]
        for row in db.execute(
            "select i.indexrelid::regclass::text, i.indrelid::regclass::text,"
            " regexp_replace(pg_get_indexdef(i.indexrelid), '.* USING ', ''), i.indisvalid"
            " from pg_partition_tree(%s::regclass) t join pg_index i on i.indexrelid = t.relid order by 1",
            (name,),
        )
    }


def expected(definition: str = "btree (a)") -> dict[str, tuple[str, str, bool]]:
    names = {"ix": "p", "p1_ix": "p1", "p2_ix": "p2", "s.p2a_ix": "s.p2a", name_of(LONG, "ix"): LONG}
    return {name: (table, definition, True) for name, table in names.items()}


def indexes(db: Connection) -> set[str]:
    return {
        name
        for (name,) in db.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where relkind in ('i', 'I') and nspname in ('public', 's')"
        )
    }


def test_it_is_built_by_partition(run: Run, db: Connection, p: None) -> None:
    assert run(online.create_index, "ix", "p", ["a"], postgresql_where="a > 1").changed
    assert tree(db) == expected("btree (a) WHERE (a > 1)")
    assert not run(online.create_index, "ix", "p", ["a"], postgresql_where="a > 1").changed


@MOSTLY_HERE
def test_without_partitions(run: Run, db: Connection) -> None:
    db.execute("create table p (a int) partition by list (a)")
    run(online.create_index, "ix", "p", ["a"])
    db.execute("create table p1 partition of p for values in (1)")
    assert [row[2] for row in tree(db).values()] == [True, True]


@MOSTLY_HERE
def test_a_unique_one(run: Run, db: Connection, p: None) -> None:
    run(online.create_index, "ix", "p", ["id"], unique=True)
    assert tree(db) == expected("btree (id)")


@MOSTLY_HERE
def test_a_unique_one_needs_the_partition_key(run: Run, db: Connection, p: None) -> None:
    with pytest.raises(ObjectError, match=r"partition.*Nothing was changed"):
        run(online.create_index, "ix", "p", ["a"], unique=True)
    assert indexes(db) == set()


@MOSTLY_HERE
def test_duplicates_of_a_partition_are_named(run: Run, db: Connection, p: None) -> None:
    db.execute("insert into p values (12), (12), (12)")
    with pytest.raises(ViolationError, match=r"A key of table s\.p2a .*\(id\)=\(12\) 4 times"):
        run(online.create_index, "ix", "p", ["id"], unique=True)
    db.execute("delete from p where id = 12")
    run(online.create_index, "ix", "p", ["id"], unique=True)
    assert tree(db) == expected("btree (id)")


def boundaries(run: Run, db: Connection) -> list[str]:
    passed: list[str] = []
    with faults.injected(passed.append):
        run(online.create_index, "ix", "p", ["a"])
    db.execute("drop index ix")
    return list(dict.fromkeys(passed))


@MOSTLY_HERE
@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_it_goes_on_after_any_boundary(run: Run, db: Connection, p: None, step: int) -> None:
    points = boundaries(run, db)
    assert len(points) > 15
    for boundary in points[::step]:

        def die(point: str, wanted: str = boundary) -> None:
            if point == wanted:
                raise ZeroDivisionError

        with faults.injected(die), pytest.raises(ZeroDivisionError):
            run(online.create_index, "ix", "p", ["a"])
        run(online.create_index, "ix", "p", ["a"])
        assert tree(db) == expected(), boundary
        db.execute("drop index ix")
        assert indexes(db) == set(), boundary


def test_a_partition_that_comes_meanwhile(run: Run, db: Connection, p: None) -> None:
    """One gets its index by itself; one that was attached to an intermediate before that had one doesn't."""
    came = []

    def come(point: str) -> None:
        if point == "create_index: create on public.p: committed":
            came.append("alone")
            db.execute("create table p3 partition of p for values from (30) to (40)")
        elif point == "create_index: create on public.p2: before":
            came.append("below")
            db.execute("create table p2c partition of p2 default")

    with faults.injected(come):
        run(online.create_index, "ix", "p", ["a"])
    assert came == ["alone", "below"]
    assert {table for table, _, _ in tree(db).values()} == {"p", "p1", "p2", "s.p2a", LONG, "p3", "p2c"}
    assert all(is_valid for _, _, is_valid in tree(db).values())


@MOSTLY_HERE
def test_an_index_that_a_partition_has_is_taken(run: Run, db: Connection, p: None) -> None:
    db.execute("create index own on p1 (a); create index other on s.p2a (a desc)")
    run(online.create_index, "ix", "p", ["a"])
    assert set(tree(db)) == set(expected()) - {"p1_ix"} | {"own"}


@MOSTLY_HERE
def test_an_attached_index_that_is_invalid(run: Run, db: Connection, p: None) -> None:
    db.execute("create index ix on only p (a); create index own on p1 (a)")
    db.execute("update pg_index set indisvalid = false where indexrelid = 'own'::regclass")
    db.execute("alter index ix attach partition own")
    run(online.create_index, "ix", "p", ["a"])
    assert all(is_valid for _, _, is_valid in tree(db).values())


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("create index ix on only p (b)", "INVALID index public.ix already"),
        ("create index ix on p1 (a)", "another one"),
        ("create index p1_ix on p1 (b)", "another one"),
        ("create table s.p2a_ix ()", "as a table"),
        (
            "create extension if not exists postgres_fdw; create server f foreign data wrapper postgres_fdw;"
            "create foreign table p9 partition of p for values from (90) to (99) server f",
            "p9 is a foreign table",
        ),
    ],
)
def test_refused_before_anything_is_changed(
    run: Run, db: Connection, p: None, other: str, message: str
) -> None:
    db.execute(other)
    before = indexes(db)
    try:
        with pytest.raises(ObjectError, match=rf"{message}.*Nothing was\s+changed"):
            run(online.create_index, "ix", "p", ["a"])
        assert indexes(db) == before
    finally:
        db.execute("drop extension if exists postgres_fdw cascade")


@MOSTLY_HERE
def test_attaching_waits_by_looking(run: Run, db: Connection, p: None, any_url: URL) -> None:
    """A reader of a partition holds its indexes: its queue stays empty while it is waited for."""
    reader = connect(any_url)
    outcome: list[Any] = []

    def begin(point: str) -> None:
        if point == "create_index: build: done" and not outcome:
            outcome.append("reading")
            reader.execute("begin; set local enable_seqscan = off; select * from p1 where a = 1")

    def work() -> Any:
        with faults.injected(begin), online.policy(old_after="1ms"):
            return run(online.create_index, "ix", "p", ["a"])

    with in_background(work) as ended, reader:
        until(lambda: outcome)
        with connect(any_url, options="-c lock_timeout=1s") as other:
            until(lambda: other.execute("select from p1 where a = 1").rowcount and held_for_long(other))
        reader.execute("commit")
    assert ended[0].cost.victims == 0
    assert tree(db) == expected()


def held_for_long(db: Connection) -> bool:
    query = "select from pg_stat_activity where state = 'idle in transaction' and xact_start < now() - interval '.4 s'"
    return bool(db.execute(query).rowcount)


@MOSTLY_HERE
def test_readers_of_the_parents_are_not_in_the_way(run: Run, db: Connection, p: None, any_url: URL) -> None:
    """Attached from above, the last leaf would complete the parent, and take ACCESS EXCLUSIVE on it."""
    with connect(any_url) as reader:
        reader.execute("begin; lock table only p, only p2 in access share mode")
        with online.policy(give_up_after="2s"):
            run(online.create_index, "ix", "p", ["a"])
    assert tree(db) == expected()


@MOSTLY_HERE
def test_dropping(run: Run, db: Connection, p: None, any_url: URL) -> None:
    run(online.create_index, "ix", "p", ["a"])
    with pytest.raises(ObjectError, match="part of an index of the partitioned table"):
        run(online.drop_index, "p1_ix")
    with connect(any_url) as reader:
        reader.execute("begin; select * from s.p2a")
        with online.policy(give_up_after="200ms"), pytest.raises(LockTimeoutError, match=r"p2a"):
            run(online.drop_index, "ix", "p")
        reader.execute("rollback")
    assert tree(db) == expected()
    run(online.drop_index, "ix", "p")
    assert indexes(db) == set()


@MOSTLY_HERE
@pytest.mark.parametrize("arguments", [("ix",), (None, "p")])
def test_reindex(run: Run, db: Connection, p: None, arguments: tuple) -> None:
    run(online.create_index, "ix", "p", ["a"])
    before = dict(
        db.execute(
            "select relid::regclass::text, pg_relation_filenode(relid) from pg_partition_tree('ix') where isleaf"
        ).fetchall()
    )
    run(online.reindex, *arguments)
    assert tree(db) == expected()
    after = dict(
        db.execute(
            "select relid::regclass::text, pg_relation_filenode(relid) from pg_partition_tree('ix') where isleaf"
        ).fetchall()
    )
    assert set(before) == set(after)
    assert not set(before.values()) & set(after.values())


def test_the_scripts(run: Run, db: Connection, p: None, any_url: URL) -> None:
    given = {"postgresql_where": "a > 1 and b <> '%'"}
    psql(any_url, script_of(online.create_index, "ix", "p", ["a"], **given))
    by_script = tree(db)
    assert not run(online.create_index, "ix", "p", ["a"], **given).changed
    psql(any_url, script_of(online.reindex, "ix"))
    psql(any_url, script_of(online.reindex, None, "p"))
    assert tree(db) == by_script
    psql(any_url, script_of(online.drop_index, "ix", "p"))
    assert indexes(db) == set()
    run(online.create_index, "ix", "p", ["a"], **given)
    assert tree(db) == by_script
