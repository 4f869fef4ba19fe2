"""While a lock is waited for, somebody counts who waits behind us; past the limit our try is broken off."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.catalog import locks
from homeops_db.errors import DatabaseError
from homeops_db.locking.observer import Observer, observing
from homeops_db.locking.watch import watching
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.locking.conftest import ASKS, Taker, Taking, Victim, awaits, holding, nothing, seconds, servers

pytestmark = servers("local server", slow=["stock 15", "stock 18"])


class Tries:
    """Counts tries, and holds up every one after the first until it is let go."""

    def __init__(self) -> None:
        self.began = 0
        self.go_on = threading.Event()

    def __call__(self, point: str) -> None:
        if point.endswith(": before"):
            self.began += 1
            if self.began > 1:
                self.go_on.wait(20)


@pytest.mark.parametrize("limits", [{"max_victims": 1}, {"max_victims": 9, "max_victim_ms": 100}])
def test_a_try_that_costs_too_much_is_broken_off_and_nobody_else(
    any_url: URL, db: Connection, taking: Taking, limits: dict
) -> None:
    policy = replace(ASKS, max_victim_ms=10**6)
    tries = Tries()
    with holding(any_url, "select count(*) from t") as holder, faults.injected(tries):
        taker = taking("t", policy=replace(policy, **limits))
        until(lambda: awaits(db, taker.pid))
        victims = [Victim(any_url), Victim(any_url)]
        assert all(victim.survives() for victim in victims)  # while the holder still holds
        until(lambda: tries.began == 2)
        assert holder.execute("select count(*) from t").fetchone() == (10,)
        holder.commit()
        tries.go_on.set()
        taken = taker.result()
    assert taken.tries == 2
    assert taken.cost.victims == 2
    assert taken.cost.victim_ms > 0


def test_below_the_limits_it_goes_on_waiting(any_url: URL, db: Connection, taking: Taking) -> None:
    with holding(any_url, "select count(*) from t") as holder:
        taker = taking("t", policy=replace(ASKS, max_victims=1, max_victim_ms=10**6))
        until(lambda: awaits(db, taker.pid))
        victim = Victim(any_url)
        until(lambda: awaits(db, victim.pid))
        assert not victim.join(0.1)
        assert awaits(db, taker.pid)
        holder.commit()
        assert taker.result().tries == 1
    assert victim.survives()
    assert taker.result().cost.victims == 1


def test_who_waits_for_a_victim_is_one_too(any_url: URL, db: Connection, taking: Taking) -> None:
    """It has locked a row and waits behind us: whoever wants the row does so too."""
    locked = "select from other where id = 1 for update"
    db.execute("create table other as select 1 as id")
    with holding(any_url, "select count(*) from t") as holder, holding(any_url, locked) as first:
        second = Victim(any_url, locked)  # it waited for the row before we came
        until(lambda: awaits(db, second.pid))
        taker = taking("t", policy=replace(ASKS, max_victim_ms=10**6))
        until(lambda: awaits(db, taker.pid))
        victim = threading.Thread(target=lambda: first.execute("select count(*) from t"))
        victim.start()
        until(lambda: awaits(db, first.info.backend_pid))
        assert not victim.join(0.1)
        holder.commit()
        assert taker.result().cost.victims == 2
        victim.join(10)
        first.commit()
    assert second.survives()


def test_the_wait_before_we_came_is_not_our_cost(any_url: URL, db: Connection, taking: Taking) -> None:
    locked = "select from other where id = 1 for update"
    db.execute("create table other as select 1 as id")
    with holding(any_url, "select count(*) from t") as holder, holding(any_url, locked) as first:
        second = Victim(any_url, locked)
        until(lambda: awaits(db, second.pid))
        assert not second.join(0.5)
        taker = taking("t", policy=replace(ASKS, max_victim_ms=400))
        until(lambda: awaits(db, taker.pid))
        victim = threading.Thread(target=lambda: first.execute("select count(*) from t"))
        victim.start()
        until(lambda: awaits(db, first.info.backend_pid))
        assert not victim.join(0.05)
        holder.commit()
        assert taker.result().tries == 1
        victim.join(10)
        first.commit()
    assert second.survives()


def test_no_cancel_meets_a_rollback(
    any_url: URL, db: Connection, taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel that is on its way when the lock times out: the transaction is ended only after it came."""
    seen: list[str] = []
    cancel = locks.cancel_waiting
    state = "select state from pg_stat_activity where pid = %s"

    def slowly(connection: Connection, pid: int) -> bool:
        aborted = "idle in transaction (aborted)"
        until(lambda: connection.execute(state, (pid,)).fetchone() == (aborted,))
        threading.Event().wait(0.1)
        seen.extend(connection.execute(state, (pid,)).fetchone() or ())
        return cancel(connection, pid)

    monkeypatch.setattr(locks, "cancel_waiting", slowly)
    with holding(any_url, "select count(*) from t") as holder:
        tries = Tries()
        with faults.injected(tries):
            taker = taking("t", policy=replace(ASKS, lock_timeout=seconds(0.3), max_victims=0))
            until(lambda: awaits(db, taker.pid))
            victim = Victim(any_url)
            until(lambda: tries.began == 2)
            holder.commit()
            tries.go_on.set()
            taker.result()
    assert seen == ["idle in transaction (aborted)"]
    assert victim.survives()


def test_who_has_got_the_lock_is_not_cancelled(any_url: URL, db: Connection) -> None:
    with holding(any_url, "lock table t") as holder:
        assert not locks.cancel_waiting(db, holder.info.backend_pid)
        assert holder.execute("select 1").fetchone() == (1,)


def test_waiting_for_older_snapshots_is_not_broken_off(any_url: URL, db: Connection) -> None:
    """A plain CREATE INDEX CONCURRENTLY waits, and an ANALYZE waits behind it: that is no traffic."""
    with holding(any_url, "set transaction isolation level repeatable read", "select 1") as older:
        with connect(any_url) as worker, observing(worker) as observer:
            build = threading.Thread(target=lambda: worker.execute("create index concurrently ix on t (v)"))
            with watching(observer, replace(ASKS, max_victims=0)) as watch, watch.armed():
                build.start()
                until(lambda: "a lock of kind virtualxid" in watch.rows)
                behind = Victim(any_url, "analyze t")
                until(lambda: watch.cost.victims)
                assert not behind.join(0.1)
                older.commit()
                build.join(10)
        assert not watch.broken_off
    assert behind.survives()
    assert db.execute("select indisvalid from pg_index where indexrelid = 'ix'::regclass").fetchone() == (
        True,
    )


@pytest.fixture
def observer_pid(db: Connection) -> Callable[[Taker], int]:
    def find(taker: Taker) -> int:
        until(lambda: taker.observer is not None)
        assert isinstance(taker.observer, Observer)
        return taker.observer.connection.info.backend_pid

    return find


def test_a_lost_observer_is_replaced(
    any_url: URL, db: Connection, taking: Taking, observer_pid: Callable[[Taker], int]
) -> None:
    with holding(any_url, "select count(*) from t", old=True) as holder:
        taker = taking("t")
        lost = observer_pid(taker)
        db.execute("select pg_terminate_backend(%s, 5000)", (lost,))
        until(lambda: observer_pid(taker) != lost)
        holder.commit()
        assert taker.result().tries == 1


def test_an_observer_lost_while_it_watches_is_replaced(
    any_url: URL, db: Connection, taking: Taking, observer_pid: Callable[[Taker], int]
) -> None:
    with holding(any_url, "select count(*) from t") as holder:
        taker = taking("t", policy=replace(ASKS, max_victims=0, max_victim_ms=10**6))
        until(lambda: awaits(db, taker.pid))
        db.execute("select pg_terminate_backend(%s, 5000)", (observer_pid(taker),))
        assert Victim(any_url).survives()  # still broken off
        holder.commit()
        assert taker.result().cost.victims >= 1


def test_a_role_without_a_connection_to_spare_is_told_so(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    role = f"single_{os.getpid()}"
    db.execute(f"create role {role} login connection limit 1; grant usage on schema public to {role}")
    try:
        with pytest.raises(DatabaseError, match=r"run needs three connections: .* CONNECTION LIMIT"):
            taking("t", url=any_url.set(username=role)).result()
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")


def test_a_watch_that_fails_leaves_the_try_to_its_lock_timeout(
    any_url: URL, db: Connection, taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(connection: Connection, pid: int) -> list:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(locks, "waiting", fails)
    with holding(any_url, "select count(*) from t") as holder:
        tries = Tries()
        with faults.injected(tries):
            taker = taking("t", policy=replace(ASKS, lock_timeout=seconds(0.1)))
            until(lambda: tries.began == 2)
            holder.commit()
            tries.go_on.set()
            assert taker.result().tries == 2


def test_a_login_that_becomes_another_role_may_break_off_its_own_try(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    """pg_cancel_backend asks whether the role of the moment is a member of the login's."""
    name = f"deployer_{os.getpid()}"
    db.execute(f"create role {name} login; create role {name}_owner; grant {name}_owner to {name}")
    db.execute(f"alter role {name} set role = {name}_owner; alter table t owner to {name}_owner")
    db.execute(f"grant usage on schema public to {name}_owner; grant pg_read_all_stats to {name}")
    try:
        with holding(any_url, "select count(*) from t") as holder:
            taker = taking(
                "t", url=any_url.set(username=name), policy=replace(ASKS, max_victims=0, max_victim_ms=10**6)
            )
            until(lambda: awaits(db, taker.pid))
            assert Victim(any_url).survives()
            holder.commit()
            assert taker.result().tries >= 2
    finally:
        db.execute(f"drop owned by {name}_owner cascade; drop role {name}, {name}_owner")


def test_a_lock_refused_with_nowait_is_tried_again(any_url: URL, db: Connection, taking: Taking) -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise LockNotAvailable

    assert taking("t", work=work).result().tries == 2
    assert taking("t", work=nothing).result().tries == 1
