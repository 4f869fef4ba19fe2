"""Locks are looked for, asked for, and asked for again."""

import os
import threading
import time
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import DivisionByZero, QueryCanceled
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.errors import LockTimeoutError
from homeops_db.locking.policy import Policy
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.locking.conftest import ASKS, Taking, awaits, holding, seconds, servers, wants

here = servers("local server", slow=["stock 15", "stock 18"])
everywhere = servers("local server", "stock 15", slow=["stock 18"])


@everywhere
def test_an_old_transaction_is_waited_for_by_looking(any_url: URL, db: Connection, taking: Taking) -> None:
    points: list[str] = []
    with holding(any_url, "select count(*) from t", old=True) as holder, faults.injected(points.append):
        taker = taking("t")
        until(lambda: taker.observer is not None)
        for _ in range(60):  # it has looked many times by then
            assert not awaits(db, taker.pid)
            time.sleep(0.01)
        assert points == []
        holder.commit()
        released = time.monotonic()
        taken = taker.result()
    assert time.monotonic() - released < 1
    assert (taken.tries, taken.cost.victims) == (1, 0)
    assert taken.waited_ms >= 500
    assert points == ["transaction: before", "transaction: inside", "transaction: committed"]


@here
def test_a_young_transaction_is_asked_to_let_us_in(any_url: URL, db: Connection, taking: Taking) -> None:
    with holding(any_url, "select count(*) from t") as holder:
        taker = taking("t", policy=Policy(lock_timeout=seconds(20), old_after=seconds(60)))
        until(lambda: awaits(db, taker.pid))
        holder.commit()
        assert taker.result().tries == 1


@everywhere
def test_a_lock_timeout_is_tried_again_with_the_whole_transaction(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    db.execute("create table other (id int); create table log (id int)")
    tries: list[int] = []

    def work(connection: Connection) -> str:
        connection.execute("insert into log values (1)")
        connection.execute("lock table other")
        return "done"

    with holding(any_url, "lock table other in access share mode") as holder:

        def let_go(point: str) -> None:
            tries.append(1)
            if len(tries) == 3:
                holder.commit()

        with faults.injected(lambda point: let_go(point) if point.endswith("before") else None):
            taker = taking("t", policy=Policy(lock_timeout=seconds(0.02)), work=work)
            taken = taker.result()
    assert (taken.result, taken.tries) == ("done", 3)
    assert db.execute("select count(*) from log").fetchone() == (1,)


@everywhere
def test_a_deadlock_is_tried_again(any_url: URL, db: Connection, taking: Taking) -> None:
    db.execute("create table other (id int)")
    asked = threading.Event()

    def work(connection: Connection) -> None:
        connection.execute("set deadlock_timeout = '20ms'")  # so that it is us whom the server chooses
        asked.set()
        connection.execute("lock table other")

    with holding(any_url, "set deadlock_timeout = '20s'", "lock table other") as holder:
        taker = taking("t", policy=ASKS, work=work)
        asked.wait(10)
        until(lambda: awaits(db, taker.pid))
        holder.execute("select count(*) from t")  # returns because the taker was rolled back
        holder.commit()
        assert taker.result().tries >= 2


@here
def test_any_other_error_ends_it_at_once(any_url: URL, db: Connection, taking: Taking) -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        connection.execute("insert into t values (99)")
        connection.execute("select 1/0")

    with pytest.raises(DivisionByZero):
        taking("t", work=work).result()
    assert len(calls) == 1
    assert db.execute("select count(*) from t where id = 99").fetchone() == (0,)


@here
def test_a_statement_timeout_of_the_work_is_no_lock_failure(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        connection.execute("set local statement_timeout = '20ms'; select pg_sleep(10)")

    with pytest.raises(QueryCanceled):
        taking("t", work=work).result()
    assert len(calls) == 1


@here
def test_an_administrators_cancel_is_obeyed(any_url: URL, db: Connection, taking: Taking) -> None:
    with holding(any_url, "select count(*) from t"):
        taker = taking("t", policy=ASKS)
        until(lambda: awaits(db, taker.pid))
        db.execute("select pg_cancel_backend(%s)", (taker.pid,))
        with pytest.raises(QueryCanceled):
            taker.result()


@here
def test_a_terminated_worker_is_an_error_and_holds_nothing(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    with holding(any_url, "select count(*) from t"):
        taker = taking("t", policy=ASKS)
        until(lambda: awaits(db, taker.pid))
        db.execute("select pg_terminate_backend(%s, 5000)", (taker.pid,))
        with pytest.raises(psycopg.OperationalError):
            taker.result()
    db.execute("select count(*) from t")


@here
def test_who_waits_before_us_is_waited_for_by_looking_too(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    """SHARE UPDATE EXCLUSIVE gets along with a reader, but not with the ALTER TABLE that waits for it."""
    with holding(any_url) as alters, holding(any_url, "select count(*) from t") as reader:
        waits = threading.Thread(target=lambda: alters.execute("alter table t add x int"))
        waits.start()
        until(lambda: awaits(db, alters.info.backend_pid))
        points: list[str] = []
        with faults.injected(points.append):
            taker = taking("t", mode="SHARE UPDATE EXCLUSIVE", policy=Policy(old_after=seconds(0.01)))
            until(lambda: taker.observer is not None)
            for _ in range(20):
                assert not awaits(db, taker.pid)
                time.sleep(0.01)
            assert points == []
            reader.commit()
            waits.join(10)
            alters.commit()
            assert taker.result().tries == 1


@here
def test_two_takers_of_the_same_tables_never_deadlock(any_url: URL, db: Connection, taking: Taking) -> None:
    db.execute("create table a (id int); create table b (id int)")
    assert [str(want.table) for want in wants(db, "b", "a")] == ["public.b", "public.a"]
    for _ in range(5):
        both = [taking(*names, policy=ASKS) for names in (("a", "b"), ("b", "a"))]
        assert [taker.result().tries for taker in both] == [1, 1]


@here
def test_a_row_of_transactions_that_never_ends_is_asked_at_last(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    """Somebody old is always there, and never the same: waiting by looking alone would never end."""
    ended = threading.Event()

    def traffic(offset: float) -> None:
        with connect(any_url) as connection:
            time.sleep(offset)
            while not ended.is_set():
                with connection.transaction():
                    connection.execute("select count(*) from t")
                    time.sleep(0.3)

    crowd = [threading.Thread(target=traffic, args=(offset,)) for offset in (0, 0.1, 0.2)]
    for session in crowd:
        session.start()
    try:
        time.sleep(0.3)
        taken = taking(
            "t", policy=Policy(lock_timeout=seconds(1), old_after=seconds(0.05), max_victim_ms=5000)
        ).result()
    finally:
        ended.set()
        for session in crowd:
            session.join()
    assert taken.waited_ms >= 1000


@everywhere
def test_a_partition_in_use_is_waited_for_by_looking(any_url: URL, db: Connection, taking: Taking) -> None:
    db.execute("create table p (id int) partition by range (id)")
    db.execute("create table p1 partition of p for values from (0) to (9)")
    with holding(any_url, "select count(*) from p1", old=True):
        points: list[str] = []
        with (
            faults.injected(points.append),
            pytest.raises(LockTimeoutError, match=r"ACCESS SHARE on public\.p1"),
        ):
            taking("p", policy=Policy(give_up_after=seconds(0.3))).result()
        assert points == []


@here
def test_a_tree_is_locked_within_one_lock_timeout(any_url: URL, db: Connection, taking: Taking) -> None:
    """The server's lock_timeout is for each lock: three held partitions could cost three times as long."""
    db.execute("create table p (id int) partition by list (id)")
    for number in range(3):
        db.execute(f"create table p{number} partition of p for values in ({number})")
    with ExitStack() as stack:
        holders = [
            stack.enter_context(holding(any_url, f"lock table p{number} in access share mode"))
            for number in range(3)
        ]
        taker = taking("p", policy=Policy(lock_timeout=seconds(0.5), old_after=seconds(60)))
        for holder in holders:
            until(lambda: awaits(db, taker.pid))
            time.sleep(0.25)
            holder.commit()
        assert taker.result().tries == 2


@everywhere
def test_an_owner_without_privileges_locks_by_its_own_statement(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    """Who took UPDATE, DELETE and TRUNCATE from itself may still ALTER, but not LOCK TABLE."""
    role = f"locker_{os.getpid()}"
    db.execute(f"create role {role} login; grant create, usage on schema public to {role}")
    with connect(any_url.set(username=role)) as owner:
        owner.execute(f"create table sealed (id int); revoke all on sealed from {role}")
    try:
        add = "alter table sealed add x int"
        taking("sealed", url=any_url.set(username=role), work=lambda taker: taker.execute(add)).result()
        assert db.execute("select x from sealed").fetchall() == []
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")


@everywhere
def test_a_materialized_view_is_locked_by_its_own_statement(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    db.execute("create materialized view m as select * from t")
    taking("m", work=lambda connection: connection.execute("alter materialized view m rename to n")).result()
    assert db.execute("select count(*) from n").fetchone() == (10,)
