import re
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.test_create_index import found, in_background, leave_invalid

Run = Callable[..., Any]


@pytest.fixture
def t(db: Connection) -> None:
    db.execute("create table t (a int, b text); create table t2 (a int); create index ix on t (a)")


def test_it_is_dropped(run: Run, db: Connection, t: None) -> None:
    assert run(online.drop_index, "ix", "t", schema="public").changed
    assert found(db) == {}


@MOSTLY_HERE
def test_readers_and_writers_go_on(run: Run, db: Connection, t: None, any_url: URL) -> None:
    with connect(any_url) as old:
        old.execute("begin; insert into t values (1)")
        with in_background(lambda: run(online.drop_index, "ix")):
            until(lambda: not found(db)["ix"][1])
            db.execute("set lock_timeout = '1s'; insert into t values (2); select * from t")
            old.execute("commit")
    assert found(db) == {}


def test_a_forgotten_reader_is_named_and_the_next_run_ends_it(
    run: Run, db: Connection, t: None, any_url: URL
) -> None:
    with connect(any_url, application_name="forgotten") as old:
        old.execute("begin; select * from t")
        with online.policy(give_up_after="300ms"), pytest.raises(LockTimeoutError) as caught:
            run(online.drop_index, "ix")
    assert re.search(
        r"DROP INDEX CONCURRENTLY public\.ix waits .*\n.*in the way: pid \d+, forgotten", str(caught.value)
    )
    assert found(db)["ix"][1] is False
    assert run(online.drop_index, "ix").changed
    assert found(db) == {}


@MOSTLY_HERE
def test_what_a_failed_build_left(run: Run, db: Connection) -> None:
    db.execute("create table t (a int, b text); insert into t values (1, 'x'), (1, 'x')")
    leave_invalid(db)
    run(online.drop_index, "ix", "t")
    assert found(db) == {}


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("nowhere",), {}, "Index nowhere doesn't exist"),
        (("nowhere", "t"), {}, "Index nowhere doesn't exist"),
        (("ix", "nowhere"), {}, "Table nowhere doesn't exist"),
        (("ix", "t2"), {}, r"of table public\.t, and not of public\.t2"),
        (("ix",), {"schema": "elsewhere"}, r"elsewhere\.ix doesn't exist"),
        (("t",), {}, "t is no index"),
        (("t",), {"if_exists": True}, "t is no index"),
        (("i" * 64,), {}, "64 bytes"),
        (("k",), {}, r'online\.drop_constraint\("k", "t", schema="public"\)'),
        (("u",), {}, "needed.*f"),
    ],
)
def test_bad_input(
    run: Run, db: Connection, t: None, *, arguments: tuple, keywords: dict, message: str
) -> None:
    db.execute("""
        alter table t add constraint k unique (b); create unique index u on t (a);
        alter table t2 add constraint f foreign key (a) references t (a)
    """)
    with pytest.raises(ObjectError, match=rf"(?s){message}"):
        run(online.drop_index, *arguments, **keywords)
    assert set(found(db)) == {"ix", "k", "u"}
    assert all(is_valid for _, is_valid in found(db).values())


@MOSTLY_HERE
def test_a_missing_one_may_be_missing(run: Run, t: None) -> None:
    assert not run(online.drop_index, "nowhere", "t", if_exists=True).changed


@MOSTLY_HERE
def test_it_is_always_concurrent(run: Run, t: None) -> None:
    with pytest.raises(UnsafeError, match=r"op\.drop_index"):
        run(online.drop_index, "ix", postgresql_concurrently=False)


@MOSTLY_HERE
@pytest.mark.parametrize("boundary", ["announced", "drop: before", "drop: done"])
def test_a_revision_that_is_interrupted_runs_again(toy: Toy, any_url: URL, boundary: str) -> None:
    toy.add("v1.1.0", 'op.create_index("ix", "t1", ["id"])')
    toy.add("v1.2.0", 'from homeops_db import online\nonline.drop_index("ix", "t1")')

    def die(point: str) -> None:
        if point == f"drop_index: {boundary}":
            raise KeyboardInterrupt

    with faults.injected(die), pytest.raises(KeyboardInterrupt):
        command.upgrade(toy.config(any_url), "head")
    command.upgrade(toy.config(any_url), "head")
    with connect(any_url) as connection:
        assert found(connection, "t1") == {}


@MOSTLY_HERE
def test_the_script(db: Connection, t: None, any_url: URL) -> None:
    psql(any_url, script_of(online.drop_index, "ix", "t", schema="public"))
    assert found(db) == {}
    psql(any_url, script_of(online.drop_index, "ix", "t", if_exists=True))
    assert "does not exist" in psql(any_url, script_of(online.drop_index, "ix", "t"), fails=True)
