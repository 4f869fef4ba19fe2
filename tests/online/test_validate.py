from collections.abc import Callable

import pytest
from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, ViolationError
from homeops_db.online import check, validation
from homeops_db.online.subject import table_of
from homeops_db.online.work import at_work
from tests.fixtures.databases import connect
from tests.online.columns import psql, script_of
from tests.online.conftest import revision

ONE = """
create table r (id int primary key);
create table t (id int primary key, a int, r int);
insert into r values (1);
insert into t select g, g, 1 from generate_series(1, 20) g;
alter table t add constraint ck check (a > 0) not valid, add constraint fk foreign key (r) references r not valid,
              add constraint uq unique (a)
"""


def not_valid(db: Connection) -> list[str]:
    return [
        name for (name,) in db.execute("select conname from pg_constraint where not convalidated order by 1")
    ]


def test_it_is_validated_once(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(ONE)
    assert run(online.validate_constraint, "ck", "t").changed
    assert not run(online.validate_constraint, "ck", "t", schema="public").changed
    assert not_valid(db) == ["fk"]
    psql(any_url, script_of(online.validate_constraint, "fk", "t", schema="public"))
    assert not_valid(db) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing", "has no constraint nothing"), ("uq", "can't be validated"), (None, "has no name")],
)
def test_what_is_wrong_is_told(run: Callable, db: Connection, name: str, told: str) -> None:
    db.execute(ONE)
    with pytest.raises(ObjectError, match=f"{told}.*Nothing was changed"):
        run(online.validate_constraint, name, "t")


@pytest.mark.parametrize("any_url", ["stock 18"], indirect=True)
def test_not_null_of_18(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    db.execute("insert into t (id) values (30), (31); alter table t add constraint nn not null a not valid")
    with pytest.raises(
        ViolationError,
        match=r"^2 rows \(id=30; id=31\) contradict constraint nn \(NOT NULL a\) of public\.t\. .*WHERE \"a\" IS NULL$",
    ):
        run(online.validate_constraint, "nn", "t")
    db.execute("update t set a = id where a is null")
    run(online.validate_constraint, "nn", "t")
    assert not_valid(db) == ["ck", "fk"]


def test_the_locks_stop_neither_reads_nor_writes(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(ONE)
    held: dict[str, set[str]] = {}

    def look(point: str) -> None:
        if point.endswith("validate: inside"):
            for table, mode in db.execute("""
                select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation
                where c.relname in ('t', 'r') and c.relkind = 'r' and l.granted and l.pid <> pg_backend_pid()
            """):  # fmt: skip
                held.setdefault(table, set()).add(mode)

    with faults.injected(look):
        run(online.validate_constraint, "fk", "t")
    assert held["t"] <= {"ShareUpdateExclusiveLock", "AccessShareLock"}
    assert held["r"] <= {"RowShareLock", "AccessShareLock"}
    assert "ShareUpdateExclusiveLock" in held["t"]


def test_the_lock_is_asked_for_by_the_policy(any_url: URL, db: Connection) -> None:
    """Another SHARE UPDATE EXCLUSIVE is in the way: it is waited for by looking, not in the queue."""
    db.execute(ONE)
    with connect(any_url) as other:
        other.execute("begin; lock table t in share update exclusive mode")
        asked: list[int] = []

        def look(point: str) -> None:
            asked.append(point.endswith("validate: before"))

        with (
            faults.injected(look),
            revision(any_url),
            online.policy(give_up_after="300ms"),
            pytest.raises(LockTimeoutError, match=r"SHARE UPDATE EXCLUSIVE on public\.t"),
        ):
            online.validate_constraint("ck", "t")
        assert sum(asked) <= 2
        other.execute("commit")
    assert "ck" in not_valid(db)


def test_long_values_and_line_breaks_stay_one_line(run: Callable, db: Connection) -> None:
    db.execute("create table t (k text primary key); insert into t values (E'a\\nb' || repeat('x', 200))")
    db.execute("alter table t add constraint ck check (k = '') not valid")
    with pytest.raises(ViolationError, match=r"^1 row \(k=a bx{57}…\)"):
        run(online.validate_constraint, "ck", "t")


def test_the_columns_of_a_table_may_have_any_name(run: Callable, db: Connection) -> None:
    """The query that counts has names of its own, and an alias; neither may be taken for a column's."""
    db.execute(
        "create table r (r int primary key, f int); create table f (f int, r int, homeops_count int, primary key (f, r))"
    )
    db.execute("insert into r values (1); insert into f values (1, 1), (2, 3)")
    db.execute("alter table f add constraint fk foreign key (r) references r not valid")
    with pytest.raises(ViolationError, match=r"^1 row \(f=2, r=3: r=3\)"):
        run(online.validate_constraint, "fk", "f")


def test_ensure_not_valid_is_there_once(any_url: URL, db: Connection) -> None:
    db.execute(ONE)
    with revision(any_url), at_work("test", "t") as work:
        table = table_of(work.connection, "t", None)
        check.ensure_not_valid(work, table, "nn", "a IS NOT NULL AND a::text <> '100%' AND a::text <> ':x'")
        assert work.changed
        assert not_valid(db) == ["ck", "fk", "nn"]
        work.changed = False
        check.ensure_not_valid(work, table, "nn", "(a is not null) and a::text <> '100%' and a::text <> ':x'")
        assert not work.changed
        with pytest.raises(ObjectError, match="already"):
            check.ensure_not_valid(work, table, "nn", "a > 1")
        validation.validate(work, table, "nn")
    assert not_valid(db) == ["ck", "fk"]


def test_an_interrupted_validation_is_begun_again(run: Callable, db: Connection) -> None:
    db.execute(ONE)

    def fail(point: str) -> None:
        if point.endswith("validate: inside"):
            raise KeyboardInterrupt

    with faults.injected(fail), pytest.raises(KeyboardInterrupt):
        run(online.validate_constraint, "ck", "t")
    assert "ck" in not_valid(db)
    run(online.validate_constraint, "ck", "t")
    assert "ck" not in not_valid(db)


@pytest.mark.parametrize("any_url", ["local server", "stock 18"], indirect=True)
def test_a_transaction_timeout_is_lifted_for_the_scan(run: Callable, db: Connection, any_url: URL) -> None:
    """PostgreSQL 17's timeout, from the role or the database, ends the whole session."""
    db.execute("""
        create table t (a int);
        insert into t values (1);
        create function slow(int) returns boolean language sql as 'select pg_sleep(0.5) is not null';
    """)
    name = sql.Identifier(str(any_url.database))
    db.execute(sql.SQL("alter database {} set transaction_timeout = 400").format(name))
    assert run(online.create_check_constraint, "ck", "t", "slow(a)").changed
    db.execute(sql.SQL("alter database {} reset transaction_timeout").format(name))
    assert db.execute("select convalidated from pg_constraint where conname = 'ck'").fetchone() == (True,)
