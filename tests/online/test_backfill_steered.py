"""A backfill that is told from outside what to do: by an operator, by Ctrl-C, by what the server feels."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import OnlineError
from homeops_db.history import backfill_orders as orders
from homeops_db.history import backfills
from homeops_db.history.backfills import Backfill
from homeops_db.online.backfill import loop, plan, size
from homeops_db.online.backfill import run as running
from homeops_db.online.backfill.control import Control
from homeops_db.online.backfill.loop import Loop
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import (
    SMALL_BATCHES,
    fill,
    nobody_else_counts,  # noqa: F401 - a fixture
    scalar,
    slowly,
    waited_for,
)
from tests.online.meanwhile import at, in_background

Run = Callable[..., Any]

BEGIN = "backfill: batch: before"


def stored(db: Connection) -> Backfill:
    """The newest backfill, as other terminals see it."""
    found = backfills.one(db, scalar(db, "select max(id) from migrations.backfills"))
    assert found is not None
    return found


@pytest.fixture
def controls(monkeypatch: pytest.MonkeyPatch) -> list[Control]:
    """What the workers of each run are told."""
    made: list[Control] = []

    def make(*arguments: Any) -> Control:
        made.append(Control(*arguments))
        return made[-1]

    monkeypatch.setattr(running, "Control", make)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control loop looks fifty times a second."""
    monkeypatch.setattr(loop, "BEAT", 0.02)
    monkeypatch.setattr(loop, "_GLANCE", 0.02)


# An operator's word -----------------------------------------------------------------------------------


def test_a_pause_is_heard_by_the_batch_in_hand(
    run: Run, db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch, controls: list[Control]
) -> None:
    fill(db, "id int primary key", "g", count=500)
    with monkeypatch.context() as deaf, connect(any_url) as there:
        deaf.setattr(Loop, "_step", lambda *_: None)  # the batch says it, not the next heartbeat
        with (
            online.pace(**SMALL_BATCHES),
            at(BEGIN, lambda: orders.pause(there, 1), number=3) as passed,
            in_background(lambda: run(online.backfill, "t", {"n": "n + 1"}, stripes=1)) as outcome,
        ):
            until(lambda: controls and controls[0].waits_for == "paused")
            assert passed.count(BEGIN) == 3
            assert (stored(db).state, stored(db).rows_done) == ("paused", 150)
            deaf.undo()
            monkeypatch.setattr(loop, "BEAT", 0.02)
            until(lambda: waited_for(db) == "paused")
            heard = stored(db).heartbeat_at
            until(lambda: stored(db).heartbeat_at > heard)  # it lives, and waits on
            assert (passed.count(BEGIN), stored(db).rows_done) == (3, 150)
            orders.resume(there, 1)
    done = outcome[0]
    assert (done.rows, scalar(db, "select count(*) from t where n = g + 1")) == (500, 500)
    assert list(done.waits) == ["paused"]
    assert stored(db).state == "done"


@MOSTLY_HERE
@pytest.mark.parametrize("is_paused", [False, True])
def test_a_cancelled_one_ends_and_a_re_run_goes_on(
    run: Run, db: Connection, any_url: URL, quick: None, is_paused: bool
) -> None:
    fill(db, "id int primary key", "g", count=500)
    with connect(any_url) as there, online.pace(**SMALL_BATCHES):

        def stop() -> None:
            (orders.pause if is_paused else orders.cancel)(there, 1)

        with (
            at(BEGIN, stop, number=3) as passed,
            in_background(lambda: run(online.backfill, "t", {"n": "n + 1"}, stripes=1)) as outcome,
        ):
            if is_paused:
                until(lambda: waited_for(db) == "paused")
                orders.cancel(db, 1)
        assert isinstance(outcome[0], OnlineError)
        assert str(outcome[0]) == (
            "Backfill 1 of public.t was cancelled. 150 rows were done by this run, and stay. A re-run of the "
            "revision goes on from there."
        )
        assert (passed.count(BEGIN), stored(db).state, stored(db).rows_done) == (3, "cancelled", 150)
        done = run(online.backfill, "t", {"n": "n + 1"}, stripes=1)
    assert (done.id, done.rows, scalar(db, "select count(*) from t where n = g + 1")) == (1, 500, 500)
    assert stored(db).state == "done"


@MOSTLY_HERE
def test_a_paused_one_waits_when_it_is_run_again(run: Run, db: Connection, quick: None) -> None:
    fill(db, "id int primary key", "g", count=100)
    with (
        at("begun", lambda: orders.pause(db, 1)),
        in_background(lambda: run(online.backfill, "t", {"n": "-g"})),
    ):
        until(lambda: waited_for(db) == "paused")
        orders.cancel(db, 1)
    db.execute("update migrations.backfills set state = 'paused'")  # as a run leaves it that is killed
    with in_background(lambda: run(online.backfill, "t", {"n": "-g"})) as outcome:
        until(lambda: stored(db).epoch == 2 and stored(db).waiting_for == "paused")
        assert scalar(db, "select count(*) from t where n = -g") == 0
        orders.resume(db, 1)
    assert outcome[0].rows == 100


@MOSTLY_HERE
def test_limits_are_changed_while_it_runs_and_hold_for_a_re_run(
    run: Run, db: Connection, any_url: URL, quick: None, controls: list[Control]
) -> None:
    fill(db, "id int primary key", "g", count=500)
    with connect(any_url) as there, online.pace(**SMALL_BATCHES):

        def retune() -> None:
            orders.retune(there, 1, {"max_batch_rows": 5})
            until(lambda: controls[0].pace.max_batch_rows == 5)

        with at(BEGIN, retune, number=3) as passed:
            done = run(online.backfill, "t", {"n": "n + 1"}, stripes=1)
        assert passed.count(BEGIN) == done.batches == 3 + 350 // 5
        assert stored(db).pace["max_batch_rows"] == 5
        with (
            at(BEGIN, lambda: orders.cancel(there, 2), number=2),
            pytest.raises(OnlineError, match="cancelled"),
        ):
            run(online.backfill, "t", {"n": "n + 1"}, stripes=1)
        db.execute("update migrations.backfills set retuned = '{\"max_batch_rows\": 20}'")
        run(online.backfill, "t", {"n": "n + 1"}, stripes=1)
        assert controls[-1].pace.max_batch_rows == 20
    assert scalar(db, "select count(*) from t where n = g + 2") == 500


# Ctrl-C -----------------------------------------------------------------------------------------------


def interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@MOSTLY_HERE
@pytest.mark.parametrize("workers", [slowly(1), 3])
def test_ctrl_c_lets_the_batch_in_hand_end_and_a_re_run_goes_on(
    run: Run, db: Connection, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    fill(db, "id int primary key", "g", count=3000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    try:
        with (
            online.pace(**SMALL_BATCHES),
            at(BEGIN, interrupt, number=5) as passed,
            pytest.raises(KeyboardInterrupt),
        ):
            run(online.backfill, "t", {"n": "n + 1"}, workers=workers)
    finally:
        signal.signal(signal.SIGINT, before)
    assert passed.count(BEGIN) == passed.count("backfill: batch: done") < 60
    kept = scalar(db, "select count(*) from t where n = g + 1")
    assert (stored(db).state, stored(db).rows_done, stored(db).detail) == (
        "failed",
        kept,
        "KeyboardInterrupt",
    )
    done = run(online.backfill, "t", {"n": "n + 1"}, workers=workers)
    assert (done.id, done.rows, scalar(db, "select count(*) from t where n = g + 1")) == (1, 3000, 3000)


# What the server feels --------------------------------------------------------------------------------


# On a server of its own: whoever writes in another database of it holds a snapshot here too.
@pytest.mark.parametrize("any_url", ["stock 15"], indirect=True)
def test_stripes_are_left_while_an_old_snapshot_is_held(
    run: Run, db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, "id int primary key", "g", count=9000)
    db.execute("alter table t set (autovacuum_enabled = off)")  # an analyze holds a snapshot too
    monkeypatch.setattr(size, "_ENOUGH", 300)
    monkeypatch.setattr(size, "_WIDEST", 1)
    monkeypatch.setattr(size, "_TRY_AGAIN", 0.0)
    with connect(any_url) as old, online.pace(**SMALL_BATCHES):
        old.execute("begin isolation level repeatable read; select from t limit 1")

        def look() -> None:
            if "plain from here" in str(seen[0]) and old.info.transaction_status:
                old.execute("commit")

        seen = watched_plans(monkeypatch)
        with at("backfill: batch: done", look, number=None):
            done = run(online.backfill, "t", {"n": "-g"})
    (told,) = done.plan
    assert f"striped ctid, S={plan.STRIPES}, because" in told
    assert told.index("; plain from here: ") < told.index("; striped again: ")
    assert scalar(db, "select count(*) from t where n = -g") == 9000


def watched_plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The plans of the runs to come."""
    made: list[Any] = []
    original = plan.make

    def make(*arguments: Any, **options: Any) -> Any:
        made.append(original(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(plan, "make", make)
    return made
