from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import psql, script_of
from tests.online.conftest import revision
from tests.online.test_create_index import in_background

Run = Callable[..., Any]


@pytest.fixture
def run(empty_url: URL) -> Run:
    def call(operation: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        with revision(empty_url):
            return operation(*arguments, **keywords)

    return call


@pytest.fixture
def db(empty_url: URL) -> Iterator[Connection]:
    with connect(empty_url, options="-c client_min_messages=warning") as connection:
        connection.execute("create extension timescaledb")
        connection.execute("create table h (t timestamptz not null, a int, b text)")
        connection.execute(
            "select create_hypertable('h', 't', chunk_time_interval => interval '1 day', create_default_indexes => false)"
        )
        connection.execute(
            "insert into h select timestamptz '2024-01-01Z' + g * interval '8 h', g from generate_series(0, 8) g"
        )
        yield connection


def chunks(db: Connection) -> list[str]:
    return [name for (name,) in db.execute("select show_chunks('h')::text order by 1")]


def found(db: Connection) -> list[tuple]:
    """Table, definition and validity of all indexes of the hypertable and its chunks."""
    return db.execute(
        "select indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), '.* USING ', ''), indisvalid"
        " from pg_index where indrelid = any (array(select show_chunks('h')) || array['h'::regclass]) order by 1"
    ).fetchall()


def everywhere(db: Connection, definition: str) -> list[tuple]:
    return sorted((table, definition, True) for table in [*chunks(db), "h"])


def files(db: Connection) -> set[int]:
    return {
        number
        for (number,) in db.execute(
            "select pg_relation_filenode(indexrelid) from pg_index"
            " where indrelid = any (array(select show_chunks('h')))"
        )
    }


def test_it_is_built_by_chunk(run: Run, db: Connection) -> None:
    given = {"postgresql_where": "a > 1", "postgresql_with": {"fillfactor": 70}}
    assert run(online.create_index, "ix", "h", ["a"], **given).changed
    assert found(db) == everywhere(db, "btree (a) WITH (fillfactor='70') WHERE (a > 1)")
    assert not run(online.create_index, "ix", "h", ["a"], **given).changed
    db.execute("insert into h values ('2025-01-01Z', 1)")
    assert found(db) == everywhere(db, "btree (a) WITH (fillfactor='70') WHERE (a > 1)")


def test_writes_to_other_chunks_go_on(run: Run, db: Connection, empty_url: URL) -> None:
    """In one transaction, the build would hold SHARE on the hypertable and the chunks done to its end."""
    first, second, *_ = chunks(db)
    with connect(empty_url) as writer:
        writer.execute(f"begin; lock table {second} in row exclusive mode")
        with (
            online.policy(lock_timeout="1s", old_after="10s"),
            in_background(lambda: run(online.create_index, "ix", "h", ["a"])),
        ):
            until(lambda: (first, "btree (a)", True) in found(db))
            db.execute(
                "set lock_timeout = '1s'; insert into h select t, 1 from h where t < '2024-01-02Z' limit 1"
            )
            writer.execute("rollback")
    assert found(db) == everywhere(db, "btree (a)")


def test_a_chunk_that_is_held_is_waited_for_by_looking(run: Run, db: Connection, empty_url: URL) -> None:
    last = chunks(db)[-1]
    with connect(empty_url, application_name="writer") as writer:
        writer.execute(f"begin; insert into {last} select * from {last} limit 1")
        with online.policy(give_up_after="300ms", old_after="1ms"):
            with pytest.raises(LockTimeoutError, match="writer"):
                run(online.create_index, "ix", "h", ["a"])
            assert found(db) == []
        # One that is overlooked stops it half-way.
        with online.policy(give_up_after="1ms", lock_timeout="10ms", old_after="1h"):
            with pytest.raises(LockTimeoutError, match=r"(?s)tries: 1.*writer.*left INVALID"):
                run(online.create_index, "ix", "h", ["a"])
            assert ("h", "btree (a)", False) in found(db)


def test_a_lock_that_is_missed_half_way_begins_again(run: Run, db: Connection, empty_url: URL) -> None:
    """What was built up to there is dropped: the server would keep the INVALID index for ever."""
    last = chunks(db)[-1]
    writer = connect(empty_url)
    passed: list[str] = []

    def hold(point: str) -> None:
        passed.append(point)
        if point == "create_index: build: before" and passed.count(point) == 1:
            writer.execute(f"begin; lock table {last} in row exclusive mode")
        elif point == "create_index: drop leftover: before":
            assert (last, "btree (a)", True) not in found(db)
            writer.execute("rollback")

    with faults.injected(hold), online.policy(lock_timeout="20ms", old_after="1min"), writer:
        done = run(online.create_index, "ix", "h", ["a"])
    assert done.tries > 2
    assert found(db) == everywhere(db, "btree (a)")


@pytest.fixture
def left(db: Connection, empty_url: URL) -> None:
    """What an interrupted build leaves: an INVALID index, and those of some chunks."""
    with connect(empty_url) as writer, connect(empty_url, options="-c lock_timeout=50ms") as builder:
        writer.execute(f"begin; lock table {chunks(db)[1]} in row exclusive mode")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            builder.execute("create index ix on h (b) with (timescaledb.transaction_per_chunk)")
    assert ("h", "btree (b)", False) in found(db)


def test_what_an_interrupted_build_left_is_replaced(run: Run, db: Connection, left: None) -> None:
    assert run(online.create_index, "ix", "h", ["a"]).changed
    assert found(db) == everywhere(db, "btree (a)")


def test_what_an_interrupted_build_left_is_dropped(run: Run, db: Connection, left: None) -> None:
    run(online.drop_index, "ix", "h")
    assert found(db) == []


def test_dropping_does_not_queue(run: Run, db: Connection, empty_url: URL) -> None:
    """DROP INDEX CONCURRENTLY would hold ACCESS EXCLUSIVE on the first chunks while it waits for the last."""
    run(online.create_index, "ix", "h", ["a"])
    first, *_, last = chunks(db)
    with connect(empty_url, application_name="reader") as reader:
        reader.execute(f"begin; select * from {last}")
        with (
            online.policy(give_up_after="1s"),
            in_background(lambda: run(online.drop_index, "ix")) as outcome,
            connect(empty_url, options="-c lock_timeout=300ms") as other,
        ):
            while not outcome:
                other.execute(f"select * from {first}")
    assert isinstance(outcome[0], LockTimeoutError)
    assert "reader" in str(outcome[0])
    assert found(db) == everywhere(db, "btree (a)")
    run(online.drop_index, "ix")
    assert found(db) == []


def test_a_unique_one_is_refused(run: Run, db: Connection) -> None:
    with pytest.raises(UnsafeError, match=r"hypertable.*maintenance window"):
        run(online.create_index, "ix", "h", ["t", "a"], unique=True)
    assert found(db) == []


def test_another_definition_is_refused(run: Run, db: Connection) -> None:
    run(online.create_index, "ix", "h", ["a"])
    with pytest.raises(ObjectError, match="another one"):
        run(online.create_index, "ix", "h", ["b"])


@pytest.mark.parametrize("arguments", [("ix", "h"), (None, "h")])
def test_reindex(run: Run, db: Connection, arguments: tuple) -> None:
    run(online.create_index, "ix", "h", ["a"])
    before = files(db)
    assert run(online.reindex, *arguments).changed
    assert found(db) == everywhere(db, "btree (a)")
    assert len(before) == len(files(db) - before)
    run(online.drop_index, "ix")  # TimescaleDB still knows which index of a chunk belongs to it
    assert found(db) == []


def test_the_scripts(run: Run, db: Connection, empty_url: URL) -> None:
    given = {"postgresql_where": "a > 1"}
    psql(empty_url, script_of(online.create_index, "ix", "h", ["a"], **given))
    assert not run(online.create_index, "ix", "h", ["a"], **given).changed
    before = files(db)
    psql(empty_url, script_of(online.reindex, "ix"))
    between = files(db)
    psql(empty_url, script_of(online.reindex, table_name="h"))
    assert not before & between
    assert not between & files(db)
    psql(empty_url, script_of(online.drop_index, "ix", schema="public"))
    assert found(db) == []
