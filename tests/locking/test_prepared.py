"""Prepared transactions: a two-phase commit on its way is waited for, a forgotten one is named at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.catalog import locks
from homeops_db.errors import LockTimeoutError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.locking.conftest import Taking, awaits, servers, wants

pytestmark = servers("stock 15", slow=["stock 18"])


@contextmanager
def prepared(url: URL, gid: str, *statements: str) -> Iterator[None]:
    """A prepared transaction; its session is gone."""
    with connect(url) as connection:
        connection.execute("begin")
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute(f"prepare transaction '{gid}'")
    try:
        yield
    finally:
        with connect(url) as connection:
            for (left,) in connection.execute("select quote_literal(gid) from pg_prepared_xacts").fetchall():
                connection.execute(f"rollback prepared {left}")


def until_old(db: Connection) -> None:
    (want,) = wants(db, "t")
    until(lambda: (locks.holders(db, want.oids, want.mode, ours=0)[0].age_ms or 0) > 150)


def test_a_forgotten_prepared_transaction_is_named(any_url: URL, db: Connection, taking: Taking) -> None:
    points: list[str] = []
    insert = "insert into t values (50); savepoint s; insert into t values (51); release s"
    with prepared(any_url, "it''s lost", insert), faults.injected(points.append):
        until_old(db)
        with pytest.raises(LockTimeoutError) as refused:
            taking("t").result()
    assert points == []
    first, second, third = str(refused.value).splitlines()
    assert first.startswith("ACCESS EXCLUSIVE on public.t can't be had now: a prepared transaction holds")
    assert "Nothing was tried" in first
    assert 'prepared transaction "it\'s lost" of homeops, transaction open for 1.' in second
    assert second.endswith(": ROW EXCLUSIVE on public.t")
    assert "ROLLBACK PREPARED 'it''s lost'" in third


def test_a_two_phase_commit_on_its_way_is_waited_for(any_url: URL, db: Connection, taking: Taking) -> None:
    with prepared(any_url, "short", "insert into t values (50)"):
        until_old(db)
        taker = taking("t")
        until(lambda: taker.observer is not None)
        assert not awaits(db, taker.pid)
        db.execute("commit prepared 'short'")
        assert taker.result().tries == 1


def test_a_prepared_transaction_that_holds_a_row_is_named(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    def work(connection: Connection) -> None:
        connection.execute("update t set v = 'y' where id = 1")

    with (
        prepared(any_url, "row", "update t set v = 'z' where id = 1"),
        pytest.raises(LockTimeoutError) as refused,
    ):
        taking("t", mode="ACCESS SHARE", work=work).result()
    assert "rows of public.t can't be had now" in str(refused.value)
    assert "ROLLBACK PREPARED 'row'" in str(refused.value)
