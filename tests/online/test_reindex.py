from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, files, psql, script_of
from tests.online.test_create_index import found, in_background

Run = Callable[..., Any]

LONG = "i" * 63


@pytest.fixture
def t(db: Connection) -> None:
    db.execute("""
        create table t (a int, b text, r int4range, exclude using gist (r with &&));
        create index ix on t (a); create index i on t (b); create table t2 (a int)
    """)


def interrupted(db: Connection, url: URL, name: str = "ix", table: str = "t") -> str:
    """Leave what a REINDEX that was cancelled leaves; give its name."""
    before = set(found(db, table))
    with connect(url) as old, connect(url, options="-c lock_timeout=50ms") as builder:
        old.execute(f"begin; insert into {table} values (1)")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            builder.execute(f"reindex index concurrently {name}")
    (left,) = set(found(db, table)) - before
    assert found(db, table)[left][1] is False
    return left


@pytest.mark.parametrize("arguments", [("ix",), ("ix", "t"), (None, "t")])
def test_it_is_built_anew(run: Run, db: Connection, t: None, arguments: tuple) -> None:
    before, names = dict(files(db, "t")), found(db)
    assert run(online.reindex, *arguments, schema="public").changed
    after = dict(files(db, "t"))
    assert found(db) == names
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({"ix"} if arguments[0] else {"ix", "i"})


@MOSTLY_HERE
def test_what_a_failed_one_left_is_dropped(run: Run, db: Connection, t: None, any_url: URL) -> None:
    """Also a second one, and only this index's."""
    names = set(found(db))
    first, second, other = interrupted(db, any_url), interrupted(db, any_url), interrupted(db, any_url, "i")
    assert (first, second, other) == ("ix_ccnew", "ix_ccnew1", "i_ccnew")
    run(online.reindex, "ix")
    assert set(found(db)) == names | {other}
    run(online.reindex, table_name="t")
    assert set(found(db)) == names


@MOSTLY_HERE
def test_the_leftover_of_a_long_name(run: Run, db: Connection, any_url: URL) -> None:
    db.execute(f"create table t (a int); create index {LONG} on t (a)")
    left = interrupted(db, any_url, LONG)
    assert left == "i" * 57 + "_ccnew"
    run(online.reindex, LONG)
    assert set(found(db)) == {LONG}


@MOSTLY_HERE
def test_a_valid_index_of_such_a_name_is_kept(run: Run, db: Connection, t: None) -> None:
    db.execute("create index ix_ccnew on t (b); create index ix_ccold on t (b)")
    run(online.reindex, "ix")
    assert {"ix", "ix_ccnew", "ix_ccold"} <= set(found(db))


def test_a_forgotten_transaction_is_named(run: Run, db: Connection, t: None, any_url: URL) -> None:
    before = dict(files(db, "t"))
    with connect(any_url, application_name="forgotten") as old:
        old.execute("begin isolation level repeatable read; select * from t2")
        with (
            online.policy(give_up_after="300ms"),
            pytest.raises(LockTimeoutError, match=r"(?s)REINDEX.*forgotten"),
        ):
            run(online.reindex, "ix")
    assert dict(files(db, "t")) == before
    assert not [name for name in found(db) if "_cc" in name]


@MOSTLY_HERE
def test_a_writer_goes_on(run: Run, db: Connection, t: None, any_url: URL) -> None:
    with connect(any_url) as old:
        old.execute("begin; insert into t values (1)")
        with in_background(lambda: run(online.reindex, "ix")):
            until(lambda: "ix_ccnew" in found(db))
            db.execute("set lock_timeout = '1s'; insert into t values (2)")
            with pytest.raises(ObjectError, match="is building index"):
                run(online.reindex, table_name="t")
            old.execute("commit")
    assert found(db)["ix"] == ("btree (a)", True)


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), ObjectError, "Neither an index nor a table"),
        (("nowhere",), ObjectError, "Index nowhere doesn't exist"),
        ((None, "nowhere"), ObjectError, "Table nowhere doesn't exist"),
        (("ix", "t2"), ObjectError, r"and not of public\.t2"),
        (("t",), ObjectError, "t is no index"),
        (("t_r_excl",), UnsafeError, "exclusion constraint"),
    ],
)
def test_bad_input(run: Run, t: None, *, arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=rf"{message}.*Nothing was changed"):
        run(online.reindex, *arguments)


@MOSTLY_HERE
def test_the_scripts(db: Connection, t: None, any_url: URL) -> None:
    before = dict(files(db, "t"))
    psql(any_url, script_of(online.reindex, "ix", schema="public"))
    between = dict(files(db, "t"))
    assert between["ix"] != before["ix"]
    assert "exclusion constraint" in psql(any_url, script_of(online.reindex, table_name="t"))
    assert dict(files(db, "t"))["ix"] != between["ix"]
