"""A role without pg_read_all_stats sees neither ages nor states nor queries of others."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.catalog import locks
from homeops_db.errors import LockTimeoutError
from homeops_db.locking.policy import Policy
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.locking.conftest import Taking, awaits, holding, seconds, servers, wants

pytestmark = servers("local server", slow=["stock 15", "stock 18"])


@pytest.fixture
def blind(any_url: URL, db: Connection) -> Iterator[URL]:
    """The table's owner, who is nobody else."""
    role = f"blind_{os.getpid()}"  # the server may serve other runs of these tests
    db.execute(f"create role {role} login; grant all on schema public to {role}")
    db.execute(f"alter table t owner to {role}")
    yield any_url.set(username=role)
    db.execute(f"drop owned by {role}; drop role {role}")


def test_it_is_blind(any_url: URL, blind: URL) -> None:
    with holding(any_url, "select count(*) from t") as holder, connect(blind) as connection:
        (found,) = locks.holders(connection, wants(connection, "t")[0].oids, "ACCESS EXCLUSIVE", ours=0)
        assert (found.pid, found.age_ms, found.state) == (holder.info.backend_pid, None, "")
    assert not found.is_autovacuum


def test_who_was_there_before_it_looked_counts_as_old(
    any_url: URL, db: Connection, blind: URL, taking: Taking
) -> None:
    points: list[str] = []
    with holding(any_url, "select count(*) from t") as holder, faults.injected(points.append):
        taker = taking("t", url=blind)
        until(lambda: taker.observer is not None)
        for _ in range(20):
            assert not awaits(db, taker.pid)
            time.sleep(0.01)
        assert points == []
        holder.commit()
        assert taker.result().tries == 1


def test_a_busy_pool_is_not_taken_for_one_old_transaction(
    any_url: URL, db: Connection, blind: URL, taking: Taking
) -> None:
    """The same pids hold the table at every look, each time in another transaction."""
    ended = threading.Event()

    def traffic() -> None:
        with connect(any_url) as connection:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute("select count(*) from t")
                    time.sleep(0.02)

    pool = [threading.Thread(target=traffic) for _ in range(4)]
    for session in pool:
        session.start()
    try:
        policy = Policy(lock_timeout=seconds(1), give_up_after=seconds(3), max_victim_ms=5000)
        assert taking("t", url=blind, policy=policy).result().waited_ms < 900
    finally:
        ended.set()
        for session in pool:
            session.join()


def test_its_report_says_what_it_knows(any_url: URL, blind: URL, taking: Taking) -> None:
    with (
        holding(any_url, "select count(*) from t", old=True) as holder,
        pytest.raises(LockTimeoutError, match=rf"pid {holder.info.backend_pid}.*ACCESS SHARE on public\.t"),
    ):
        taking("t", url=blind, policy=Policy(give_up_after=seconds(0.3))).result()
