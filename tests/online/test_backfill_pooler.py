"""A real PgBouncer in front of the server: what keeps no session is refused by its name, the rest works."""

import time
from collections.abc import Callable, Iterator

import pytest
from alembic import command
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import DatabaseError, LockError
from homeops_db.locking import pooler
from homeops_db.locking.observer import parameters_of
from tests.fixtures.databases import connect
from tests.fixtures.pooler import pooled
from tests.fixtures.projects import Toy
from tests.online.conftest import revision

TABLE = "create table t (id int primary key, a int, b int); insert into t select i, i from generate_series(1, 999) i"

NO_SESSION = ["transaction", "statement"]


@pytest.fixture
def url(empty_url: URL) -> URL:
    with connect(empty_url) as connection:
        connection.execute(TABLE)
    return empty_url


@pytest.fixture(params=NO_SESSION)
def through_a_pool(request: pytest.FixtureRequest, url: URL) -> Iterator[URL]:
    with pooled(url, mode=request.param, ignore_startup_parameters="options") as through:
        yield through


def filled(url: URL) -> int:
    with connect(url) as connection:
        row = connection.execute("select count(*) from t where b is not null").fetchone()
    assert row is not None
    return row[0]


def test_an_upgrade_is_refused(toy: Toy, empty_url: URL) -> None:
    with (
        pooled(empty_url, mode="transaction") as through,
        pytest.raises(LockError, match="connection pooler"),
    ):
        command.upgrade(toy.config(through), "head")
    with connect(empty_url) as connection:
        assert connection.execute("select to_regnamespace('migrations')").fetchone() == (None,)


@pytest.mark.parametrize(
    "operation",
    [
        lambda: online.backfill("t", {"b": "a"}),
        lambda: online.batched_delete("t", "id > 0"),
        lambda: online.batched_insert("t", "select id + 1000, a, b from t", columns=["id", "a", "b"]),
        lambda: online.create_index("ix", "t", ["a"]),
    ],
    ids=["backfill", "batched_delete", "batched_insert", "create_index"],
)
def test_an_operation_is_refused(url: URL, operation: Callable[[], object]) -> None:
    with pooled(url, mode="transaction") as through:
        with (
            pytest.raises(DatabaseError, match="connection pooler that keeps no session") as told,
            revision(through),
        ):
            operation()
        assert "Nothing was changed" in str(told.value)
    assert filled(url) == 0
    with connect(url) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (999,)


def test_a_backfill_through_a_session_works(url: URL) -> None:
    with pooled(url, mode="session", ignore_startup_parameters="options") as through, revision(through):
        done = online.backfill("t", {"b": "a"})
    assert (done.rows, filled(url)) == (999, 999)


def test_it_is_told_from_a_direct_connection(url: URL, through_a_pool: URL) -> None:
    for where, is_kept in ((url, True), (through_a_pool, False)):
        with connect(where) as connection:
            if is_kept:
                pooler.refuse_pooler(connection, {})  # nothing is opened for it
                continue
            with pytest.raises(DatabaseError, match="keeps no session"):
                pooler.refuse_pooler(connection, parameters_of(connection))


def test_a_pool_in_session_mode_is_let_through(url: URL) -> None:
    with pooled(url, mode="session") as through, connect(through) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        assert pooler.is_pooled(connection, row[0])
        pooler.refuse_pooler(connection, parameters_of(connection))


def test_a_pool_without_room_is_found_out_in_time(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked while the second client has the last backend, we would wait until PgBouncer ends the query."""
    monkeypatch.setattr(pooler, "_PATIENCE", 0.2)
    began = time.monotonic()
    with (
        pooled(url, mode="transaction", default_pool_size=1, query_wait_timeout=20) as through,
        connect(through) as connection,
        pytest.raises(DatabaseError, match="keeps no session"),
    ):
        pooler.refuse_pooler(connection, parameters_of(connection))
    assert time.monotonic() - began < 10
