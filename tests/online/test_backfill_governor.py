"""The reasons for which a backfill waits, on everybody's server: queue, slow statements, snapshots, dead rows."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection, Cursor
from sqlalchemy.engine import URL

from homeops_db.locking.pace import Pace
from homeops_db.online.backfill import signals
from tests.fixtures.waiting import until
from tests.online.governing import (
    OFF,
    SNAPSHOT,
    Clock,
    age,
    ask,
    awaits,
    dead,
    governing,
    in_transaction,
    ms,
    only,
    running,
    seconds,
    signal,
    tell,
    text,
)


def test_nothing_is_the_matter(any_url: URL) -> None:
    with governing(any_url) as governor:
        assert governor.look(Pace(max_wal_rate=1 << 40)) is None
        assert governor.reasons == []
        assert list(governor.unseen) == []


def test_a_look_is_one_read_a_signal(db: Connection, any_url: URL) -> None:
    db.execute("create table t (id int)")
    with governing(any_url, ours=[1, 2], names=["t"]) as governor:
        pace = Pace(max_wal_rate=1 << 40)
        sent = []
        governor.observer.connection.cursor_factory = counting(sent)
        governor.look(pace)
        assert len(sent) == 7  # one of the server itself, which has the WAL's rate


def counting(sent: list[object]) -> Any:
    class Counting(Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **keywords: Any) -> Any:
            sent.append(query)
            return super().execute(query, *arguments, **keywords)

    return Counting


def test_the_queue_behind_a_batch_and_behind_that(db: Connection, any_url: URL) -> None:
    db.execute(
        "create table t (id int primary key, v int); insert into t select i, 0 from generate_series(1, 3) i"
    )
    pace = only(max_queue=1)
    first, second = "update t set v = 1 where id = 1", "update t set v = 1 where id = 2"
    with (
        in_transaction(any_url, first) as worker,
        in_transaction(any_url, "update t set v = 1 where id = 3") as other,
    ):
        ours = [worker.info.backend_pid]
        with (
            governing(any_url, ours=ours) as governor,
            running(any_url, second, first) as waits,
            running(any_url, "update t set v = 1 where id = 3") as elsewhere,
        ):
            until(lambda: awaits(db, waits) and awaits(db, elsewhere))
            assert signal(governor, pace) is None
            with running(any_url, second) as behind:  # waits for one that waits for us
                until(lambda: awaits(db, behind))
                assert governor.look(OFF) is None
                assert text(governor, pace) == "2 sessions wait behind a batch (limit 1)"
                ours.append(behind)
                with governing(any_url, ours=ours) as again:  # one of our own isn't a victim
                    assert signal(again, pace) is None
        other.rollback()


def test_statements_of_others_that_take_long(db: Connection, any_url: URL) -> None:
    pace, ours, clock = only(max_active_p95=ms(60)), list[int](), Clock()
    with running(any_url, "select pg_sleep(20), 1"), governing(any_url, ours=ours, clock=clock) as governor:
        until(lambda: seconds(db, "pg_sleep(20), 1") > 0.06)
        assert signal(governor, pace) is None  # it began before us
        with in_transaction(any_url, "select 1"), running(any_url, "select pg_sleep(20), 2") as pid:
            until(lambda: seconds(db, "pg_sleep(20), 2") > 0.06)
            ours.append(pid)
            assert signal(governor, pace) is None
            ours.clear()
            assert text(governor, pace).startswith("the statement of another session is at ")
        clock.now += 1
        assert governor.look(pace) is None


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
def test_one_slow_statement_among_many_is_no_reason(db: Connection, any_url: URL) -> None:
    with governing(any_url) as governor, running(any_url, "select pg_sleep(20), 0"), ExitStack() as others:
        until(lambda: seconds(db, "pg_sleep(20), 0") > 0.5)
        for number in range(1, 20):
            others.enter_context(running(any_url, f"select pg_sleep(20), {number}"))
        between = (seconds(db, "pg_sleep(20), 0") + seconds(db, "pg_sleep(20), 1")) / 2
        assert governor.look(only(max_active_p95=timedelta(seconds=between))) is None
        reason = text(governor, only(max_active_p95=ms(1)))
        assert reason.startswith("the p95 of 20 statements of other sessions is at ")
        others.close()
        assert signal(governor, only(max_active_p95=timedelta(seconds=between))) == "active time"


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
def test_a_statement_that_goes_on_while_we_wait_is_not_waited_for_for_ever(
    db: Connection, any_url: URL
) -> None:
    """It is slow without us: a report, say."""
    pace, clock = only(max_active_p95=ms(100)), Clock()
    with governing(any_url, clock=clock) as governor, running(any_url, "select pg_sleep(20), 1"):
        until(lambda: seconds(db, "pg_sleep(20), 1") > 1.01)
        assert signal(governor, pace) == "active time"
        clock.now += 0.99
        assert signal(governor, pace) == "active time"  # it has been running long, but not while we waited
        clock.now += 1
        with running(any_url, "select pg_sleep(20), 2"):
            until(lambda: seconds(db, "pg_sleep(20), 2") > 0.1)
            assert signal(governor, pace) == "active time"  # we don't know yet about the other one
        assert governor.look(pace) is None


def test_a_reason_lasts_a_second_and_ends_below_its_limit(db: Connection, any_url: URL) -> None:
    db.execute("create table t (id int primary key); insert into t values (1)")
    pace, clock = only(max_queue=1), Clock()
    update = "delete from t where id = 1"
    ours = list[int]()
    with in_transaction(any_url, update) as worker, governing(any_url, ours=ours, clock=clock) as governor:
        ours.append(worker.info.backend_pid)
        with running(any_url, update) as one:
            with running(any_url, update) as other:
                until(lambda: awaits(db, one) and awaits(db, other))
                assert signal(governor, pace) == "queue"
            clock.now += 5
            until(lambda: not awaits(db, other))
            assert text(governor, pace) == "1 session waits behind a batch (limit 1)"
            assert signal(governor, replace(pace, max_queue=2)) is None
            assert signal(governor, pace) is None  # it begins above the limit
            with running(any_url, update) as other:
                until(lambda: awaits(db, other))
                assert signal(governor, pace) == "queue"
        until(lambda: not awaits(db, one))
        clock.now += 0.9
        assert text(governor, pace) == "2 sessions wait behind a batch (limit 1)"
        clock.now += 0.2
        assert governor.look(pace) is None


def test_a_limit_that_is_switched_off_lets_go_at_once(db: Connection, any_url: URL) -> None:
    with (
        governing(any_url) as governor,
        running(any_url, "select pg_sleep(20)"),
    ):
        until(lambda: signal(governor, only(max_active_p95=ms(1))) == "active time")
        assert governor.look(OFF) is None


def test_a_snapshot_that_somebody_holds(db: Connection, any_url: URL) -> None:
    db.execute("create table t (id int primary key); insert into t values (1)")
    pace = only(max_snapshot_age=ms(100))
    with in_transaction(any_url, *SNAPSHOT, application_name="report") as holder:
        pid = holder.info.backend_pid
        with governing(any_url) as governor, governing(any_url, ours=[pid]) as ours:
            until(lambda: signal(governor, pace))
            assert text(governor, pace).startswith(f"pid {pid} (report, role ")
            assert ", idle in transaction) keeps dead rows from being removed, for " in text(governor, pace)
            assert governor.oldest_snapshot_age > ms(100)
            assert ours.look(pace) is None
            assert ours.oldest_snapshot_age < ms(100)
            holder.rollback()
            governor.clock.now += 1
            assert governor.look(pace) is None


def test_a_long_transaction_whose_snapshots_are_short(db: Connection, any_url: URL) -> None:
    """READ COMMITTED takes a new one for each statement; only an open transaction that wrote keeps rows."""
    db.execute("create table t (id int primary key); insert into t values (1)")
    pace = only(max_snapshot_age=ms(50))
    with in_transaction(any_url, "select count(*) from t") as long, governing(any_url) as governor:
        until(lambda: age(db, long.info.backend_pid) > 0.05)
        assert governor.look(pace) is None
        db.execute("insert into t values (2)")
        long.execute("delete from t where id = 1")  # now it has a number, and a young one
        assert governor.look(pace) is None
        db.execute("insert into t values (3)")
        governor.look(pace)
        governor.clock.now += 1
        assert signal(governor, pace) == "old snapshot"


def test_a_statement_in_a_long_transaction_may_have_a_snapshot_of_its_own(
    db: Connection, any_url: URL
) -> None:
    with running(any_url, "select pg_sleep(0.3)", "select pg_sleep(20)") as pid:
        between = (age(db, pid) + seconds(db, "pg_sleep(20)")) / 2
        with governing(any_url) as governor:
            assert governor.look(only(max_snapshot_age=timedelta(seconds=between))) is None
            until(lambda: signal(governor, only(max_snapshot_age=timedelta(seconds=between))))


def test_vacuum_keeps_nothing(db: Connection, any_url: URL) -> None:
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    db.execute("create table t (id int); insert into t select generate_series(1, 5000)")
    slow = "-c vacuum_cost_delay=100 -c vacuum_cost_limit=1"
    with (
        governing(any_url, clock=clock) as governor,
        running(any_url, "vacuum t", autocommit=True, options=slow) as pid,
    ):
        until(lambda: ask(db, f"select count(*) = 1 from pg_stat_progress_vacuum where pid = {pid}"))
        assert ask(db, f"select backend_xmin is not null from pg_stat_activity where pid = {pid}")
        db.execute("insert into t values (1)")
        governor.look(pace)
        clock.now += 61
        assert governor.look(pace) is None


def test_dead_rows_count_where_autovacuum_is_outrun(
    db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_FEW", 0)  # otherwise a table as small as this one isn't looked at
    create = "create table {} (id int) with (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0.1)"
    for name in ("t", "small", "off"):
        db.execute(create.format(name).encode())
        db.execute(f"insert into {name} select generate_series(1, 100); analyze {name}".encode())
    db.execute("alter table off set (autovacuum_enabled = false)")
    db.execute("alter table small set (autovacuum_vacuum_threshold = 1000)")
    with in_transaction(
        any_url, "lock table t, small, off in share update exclusive mode"
    ):  # no autovacuum comes
        db.execute(
            "delete from t where id > 20; delete from small where id > 20; delete from off where id > 20"
        )
        tell(db)
        pace = only(max_dead_share=0.5)
        with governing(any_url, names=["t"]) as governor:
            assert text(governor, pace) == (
                "80% of the rows of public.t are dead, and autovacuum is behind (limit 50%)"
            )
        for name in ("off", "small"):  # nobody will come, so waiting doesn't help
            assert dead(db, name) == 80
            with governing(any_url, names=[name]) as governor:
                assert governor.look(pace) is None
    db.execute("vacuum t")
    with governing(any_url, names=["t"]) as governor:
        assert governor.look(pace) is None


def test_counters_that_a_crash_emptied_tell_nothing_of_the_rows_before_it(
    db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_FEW", 0)
    db.execute(
        "create table t (id int) with (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)"
    )
    db.execute("insert into t select generate_series(1, 1000); analyze t")
    with in_transaction(any_url, "lock table t in share update exclusive mode"):
        tell(db)
        db.execute("select pg_stat_reset_single_table_counters('t'::regclass)")
        db.execute("update t set id = id where id <= 100")
        tell(db)
        with governing(any_url, names=["t"]) as governor:
            assert dead(db, "t") == 100
            assert governor.look(only(max_dead_share=0.5)) is None
            assert signal(governor, only(max_dead_share=0.05)) == "dead rows"


# A role without privileges ----------------------------------------------------------------------------


@pytest.fixture
def plain_url(db: Connection, any_url: URL) -> Iterator[URL]:
    """The database as a role sees it that is nothing but itself."""
    db.execute("drop role if exists homeops_plain")
    db.execute("create role homeops_plain login")
    yield any_url.set(username="homeops_plain")
    db.execute("drop owned by homeops_plain; drop role homeops_plain")


def test_what_a_plain_role_may_not_see_is_said_and_not_guessed(
    db: Connection, any_url: URL, plain_url: URL
) -> None:
    db.execute("create table t (id int primary key); insert into t values (1)")
    db.execute("grant all on t to homeops_plain; grant usage on schema public to homeops_plain")
    pace = only(max_active_p95=ms(10), max_queue=1)
    with (
        in_transaction(plain_url, "delete from t where id = 1") as worker,
        governing(plain_url, ours=[worker.info.backend_pid]) as governor,
        running(any_url, "select pg_sleep(20), 1"),
    ):
        assert [said.split(" (")[0] for said in governor.unseen] == [
            "role homeops_plain may not see how far standbys are behind",
            "role homeops_plain may not see how long other roles' statements are running",
            "role homeops_plain may not see since when other roles' transactions, begun before this run, are open",
        ]
        until(lambda: seconds(db, "pg_sleep(20), 1") > 0.01)
        assert governor.look(pace) is None
        with (
            running(any_url, "delete from t where id = 1") as one,
            running(any_url, "delete from t where id = 1") as two,
        ):
            until(lambda: awaits(db, one) and awaits(db, two))
            assert signal(governor, pace) == "queue"  # locks are shown to everybody
        with running(plain_url, "select pg_sleep(20), 2"):  # and so are its own sessions
            until(lambda: seconds(db, "pg_sleep(20), 2") > 0.01)
            governor.look(pace)
            assert "active time" in [reason.signal for reason in governor.reasons]


def test_a_plain_role_sees_how_old_a_snapshot_has_become_since_it_began(
    db: Connection, any_url: URL, plain_url: URL
) -> None:
    db.execute("create table t (id int primary key); insert into t values (1)")
    pace, clock = only(max_snapshot_age=timedelta(seconds=60)), Clock()
    with in_transaction(any_url, *SNAPSHOT), governing(plain_url, clock=clock) as governor:
        assert governor.oldest_snapshot_age == timedelta(0)
        clock.now += 1
        assert governor.look(pace) is None
        db.execute("insert into t values (2)")
        governor.look(pace)
        clock.now += 50
        assert governor.look(pace) is None
        clock.now += 11
        assert ") keeps dead rows from being removed, for 6" in text(governor, pace)
