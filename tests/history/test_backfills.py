"""The state of backfills: who has one, what it is told, and that nobody is taken for dead or alive wrongly."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.errors import DatabaseError, ObjectError, OnlineError
from homeops_db.history import backfill_orders, backfill_standing, backfills, ledger
from homeops_db.history.backfill_standing import Standing
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE

FINGERPRINT = "f0" * 32


@pytest.fixture
def db(any_url: URL) -> Iterator[Connection]:
    with connect(any_url) as connection:
        backfills.ensure(connection)
        yield connection


def begin(connection: Connection, **changed: Any) -> int:
    given = {
        "operation": "backfill", "relation": "public.t", "version": "v1.1.0", "fingerprint": FINGERPRINT,
        "definition": {"values": {"b": "a::text"}}, "pace": {"target": 20.0}, "workers": 1, "client": "me",
    }  # fmt: skip
    return backfills.begin(connection, **given | changed)


def take_over(connection: Connection, number: int, **changed: Any) -> int:
    return backfills.take_over(
        connection, number, **{"client": "me", "pace": {"target": 20.0}, "workers": 1} | changed
    )


def beat(connection: Connection, number: int, epoch: int, **changed: Any) -> backfills.Told | None:
    given = {
        "phase": "filling", "waiting_for": None, "plan": "plain", "estimated_rows": 100, "rows_per_second": 10.0,
        "seconds_left_low": 5.0, "seconds_left_high": 9.0,
    }  # fmt: skip
    return backfills.beat(connection, number, epoch, **given | changed)


def add_range(connection: Connection, number: int, share: float, **flags: bool) -> None:
    connection.execute(
        "insert into migrations.backfill_ranges"
        " (backfill_id, relation, axis, epoch, rows_done, share_done, is_closing, is_done)"
        " values (%s, 'public.t', '{}', 0, 10, %s, %s, %s)",
        (number, share, flags.get("closing", False), flags.get("done", False)),
    )


def stored(connection: Connection, number: int) -> backfills.Backfill:
    found = backfills.one(connection, number)
    assert found is not None
    return found


def hold(connection: Connection, fingerprint: str = FINGERPRINT) -> None:
    connection.execute("select pg_advisory_lock(%s)", (backfills.lock_key(fingerprint),))


# The tables -------------------------------------------------------------------------------------------


def test_a_ledger_of_an_older_format_is_upgraded_in_place(any_url: URL) -> None:
    with connect(any_url) as connection:
        ledger.ensure(connection)
        ledger.record_event(connection, "v1.0.0", "upgrade", "finished", run_id="1")
        connection.execute(
            "drop table migrations.backfill_errors, migrations.backfill_ranges, migrations.backfills;"
            "comment on schema migrations is 'HomeOps ledger, format 2'"
        )
        assert ledger.is_ready(connection), "it can be read as it is"
        assert backfill_standing.newest(connection, limit=1) == []
        ledger.ensure(connection)
        assert backfills.is_ready(connection)
        assert begin(connection)
        ledger.ensure(connection)
        connection.execute(ledger.DDL.encode())  # every statement can run again
        assert len(backfill_standing.newest(connection, limit=9)) == 1
        assert [event.version for event in ledger.events(connection, limit=9)] == ["v1.0.0"]


def test_half_a_script_is_no_ledger(any_url: URL) -> None:
    """psql commits what `--sql` wrote statement by statement: the last one says that all are there."""
    before, _, comment = ledger.DDL.rpartition(";\n\n")
    assert "COMMENT ON SCHEMA" in comment
    with connect(any_url) as connection:
        connection.execute(before.encode())
        assert not ledger.is_ready(connection)
        assert backfills.is_ready(connection)
        ledger.ensure(connection)
        assert ledger.is_ready(connection)


def test_without_tables_there_are_no_backfills(any_url: URL) -> None:
    with connect(any_url) as connection:
        assert backfill_standing.newest(connection, limit=9) == []
        assert backfill_standing.still_open(connection) == []
        with pytest.raises(ObjectError, match="no backfill 1"):
            backfill_orders.pause(connection, 1)


def test_a_role_that_may_not_make_them_is_told(any_url: URL) -> None:
    role = f"tests_poor_{os.getpid()}"  # the server may serve other runs of these tests
    with connect(any_url) as connection:
        connection.execute(f"create role {role}; set role {role}")
        with pytest.raises(DatabaseError, match=f"Role {role} may not make tables in schema migrations"):
            backfills.ensure(connection)
        connection.execute(f"reset role; drop role {role}")


# One run at a time ------------------------------------------------------------------------------------


def test_a_new_backfill_replaces_what_its_revision_did_before(db: Connection) -> None:
    failed, done, elsewhere = begin(db), begin(db, fingerprint="d0" * 32), begin(db, version="v1.2.0")
    epoch = take_over(db, done)
    backfills.end(db, done, epoch, backfills.DONE)
    begin(db, fingerprint="e0" * 32)
    assert stored(db, failed).state == "replaced"
    assert stored(db, done).state == "done"
    assert stored(db, elsewhere).state == "running"


def test_the_newest_of_a_fingerprint_is_found(db: Connection) -> None:
    assert backfills.of_fingerprint(db, FINGERPRINT) is None
    begin(db, version=None)
    second = begin(db, version=None)
    found = backfills.of_fingerprint(db, FINGERPRINT)
    assert found is not None
    assert (found.id, found.definition) == (second, {"values": {"b": "a::text"}})


def test_who_takes_over_has_it_alone(db: Connection) -> None:
    number = begin(db)
    first = take_over(db, number)
    add_range(db, number, 0.5)
    second = take_over(db, number, client="another", workers=3)
    assert second == first + 1
    assert beat(db, number, first) is None
    backfills.end(db, number, first, backfills.FAILED, "too late")
    told = beat(db, number, second)
    assert told is not None
    found = stored(db, number)
    assert (found.state, found.client, found.workers, found.detail) == ("running", "another", 3, None)
    assert db.execute("select distinct epoch from migrations.backfill_ranges").fetchall() == [(second,)]


def test_taking_over_waits_for_the_batch_in_hand(db: Connection, any_url: URL) -> None:
    number = begin(db)
    take_over(db, number)
    add_range(db, number, 0.5)
    epochs: list[int] = []
    with connect(any_url) as batch, connect(any_url) as other:
        batch.execute("begin; update migrations.backfill_ranges set rows_done = 11")
        thread = threading.Thread(target=lambda: epochs.append(take_over(other, number)))
        thread.start()
        try:
            pids = (batch.info.backend_pid, other.info.backend_pid)
            until(lambda: db.execute("select %s = any(pg_blocking_pids(%s))", pids).fetchone() == (True,))
            assert epochs == []
        finally:
            batch.execute("commit")
            thread.join()
    assert epochs == [2]
    assert stored(db, number).rows_done == 11


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("before", "after"),
    [("paused", "paused"), ("failed", "running"), ("cancelled", "running"), ("running", "running")],
)
def test_what_a_new_run_finds(db: Connection, before: str, after: str) -> None:
    number = begin(db)
    db.execute("update migrations.backfills set state = %s, finished_at = now(), detail = 'x'", (before,))
    take_over(db, number)
    found = stored(db, number)
    assert (found.state, found.finished_at, found.detail) == (after, None, None)


# What it is told --------------------------------------------------------------------------------------

ORDERS = {"pause": backfill_orders.pause, "resume": backfill_orders.resume, "cancel": backfill_orders.cancel}


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("order", "before", "after"),
    [
        ("pause", "running", "paused"),
        ("pause", "paused", "paused"),
        ("resume", "paused", "running"),
        ("resume", "running", "running"),
        ("cancel", "running", "cancelled"),
        ("cancel", "paused", "cancelled"),
        ("cancel", "failed", "cancelled"),
        *(("pause", ended, None) for ended in ("failed", "cancelled", "replaced", "done")),
        *(("resume", ended, None) for ended in ("failed", "cancelled", "replaced", "done")),
        *(("cancel", ended, None) for ended in ("cancelled", "replaced", "done")),
    ],
)
def test_orders(db: Connection, order: str, before: str, after: str | None) -> None:
    number = begin(db)
    epoch = take_over(db, number)
    db.execute("update migrations.backfills set state = %s", (before,))
    if after is None:
        with pytest.raises(ObjectError, match=f"is {before}, and can't be .*Nothing was changed") as refused:
            ORDERS[order](db, number)
        assert "\n" not in str(refused.value)
        assert stored(db, number).state == before
        return
    assert ORDERS[order](db, number).state == after
    told = beat(db, number, epoch)
    assert told is not None
    assert told.state == after


def test_a_cancelled_one_stays_so_when_its_run_ends(db: Connection) -> None:
    number = begin(db)
    epoch = take_over(db, number)
    assert backfill_orders.cancel(db, number).finished_at is not None
    backfills.end(db, number, epoch, backfills.FAILED, "it was cancelled")
    assert stored(db, number).state == "cancelled"


def test_new_limits_are_heard_and_outlive_the_run(db: Connection) -> None:
    number = begin(db)
    epoch = take_over(db, number, pace={"target": 20.0, "max_queue": 3})
    backfill_orders.retune(db, number, {"target": 5.0})
    found = backfill_orders.retune(db, number, {"max_errors": 2})
    wanted = {"target": 5.0, "max_queue": 3, "max_errors": 2}
    assert (found.pace, found.retuned) == (wanted, {"target": 5.0, "max_errors": 2})
    told = beat(db, number, epoch)
    assert told is not None
    assert told.pace == wanted
    take_over(db, number, pace={"target": 30.0, "max_queue": 4})
    assert stored(db, number).pace == {"target": 5.0, "max_queue": 4, "max_errors": 2}


def test_new_limits_must_go_with_the_others(db: Connection) -> None:
    number = begin(db, pace={"min_batch_rows": 1000, "max_batch_rows": 2000})
    with pytest.raises(OnlineError, match="min_batch_rows is 1000 and max_batch_rows is 500"):
        backfill_orders.retune(db, number, {"max_batch_rows": 500})
    with pytest.raises(OnlineError, match="speed is no limit of a backfill"):
        backfill_orders.retune(db, number, {"speed": 1})
    assert stored(db, number).retuned == {}
    db.execute("update migrations.backfills set state = 'done'")
    with pytest.raises(ObjectError, match="is done, and can't be retuned"):
        backfill_orders.retune(db, number, {"max_batch_rows": 1500})


# How it stands ----------------------------------------------------------------------------------------


def standing(connection: Connection, number: int) -> Standing:
    return backfill_standing.one(connection, number)


def test_running_waiting_and_interrupted(db: Connection, any_url: URL) -> None:
    number = begin(db)
    epoch = take_over(db, number)
    beat(db, number, epoch)
    with connect(any_url) as run:
        hold(run)
        found = standing(db, number)
        assert (found.state, found.seconds_left) == ("running", (5.0, 9.0))
        assert found.backend is not None
        assert found.backend.pid == run.info.backend_pid
        beat(db, number, epoch, waiting_for="a standby is behind")
        found = standing(db, number)
        assert (found.state, found.seconds_left) == ("waiting", None)
        backfill_orders.pause(db, number)
        assert standing(db, number).state == "paused"
        backfill_orders.resume(db, number)
    until(lambda: standing(db, number).backend is None)
    assert standing(db, number).state == "interrupted"


def test_a_run_that_ends_between_two_looks_was_not_interrupted(db: Connection, any_url: URL) -> None:
    number = begin(db)
    epoch = take_over(db, number)

    def end(_point: str) -> None:
        with connect(any_url) as run:
            backfills.end(run, number, epoch, backfills.DONE)

    with faults.injected(end):
        (found,) = backfill_standing.newest(db, limit=1)
    assert found.state == "done"


def test_a_run_that_begins_between_two_looks_is_running(db: Connection, any_url: URL) -> None:
    number = begin(db)
    take_over(db, number)
    with connect(any_url) as run:

        def start(_point: str) -> None:
            hold(run)
            take_over(run, number)

        with faults.injected(start):
            assert standing(db, number).state == "running"


def test_how_much_is_done(db: Connection) -> None:
    number = begin(db)
    epoch = take_over(db, number)
    assert standing(db, number).share == 0
    add_range(db, number, 1.0, done=True)
    add_range(db, number, 0.5)
    add_range(db, number, 0.0, closing=True)
    found = standing(db, number)
    assert (found.share, found.backfill.rows_done) == (0.75, 30)
    assert (found.backfill.ranges, found.backfill.ranges_done) == (3, 1)
    backfills.end(db, number, epoch, backfills.DONE)
    assert standing(db, number).share == 1


def test_which_are_open(db: Connection) -> None:
    numbers = {state: begin(db, fingerprint=f"{place:064x}", version=None) for place, state in enumerate(
        ("running", "paused", "failed", "cancelled", "replaced", "done"))}  # fmt: skip
    for state, number in numbers.items():
        db.execute("update migrations.backfills set state = %s where id = %s", (state, number))
    found = [each.backfill.id for each in backfill_standing.still_open(db)]
    assert found == [numbers["running"], numbers["paused"], numbers["failed"]]
    newest = [each.backfill.id for each in backfill_standing.newest(db, limit=2)]
    assert newest == [numbers["done"], numbers["replaced"]]


def test_rows_that_failed(db: Connection) -> None:
    number = begin(db)
    for key in (7, 8):
        db.execute(
            "insert into migrations.backfill_errors (backfill_id, relation, key, sqlstate, message, was_skipped)"
            " values (%s, 'public.t', jsonb_build_object('id', %s::text), '22012', 'division by zero', true)",
            (number, key),
        )
    found = backfill_standing.errors(db, number, limit=1)
    assert [(error.key, error.sqlstate, error.was_skipped) for error in found] == [
        ({"id": "7"}, "22012", True)
    ]
    assert stored(db, number).errors == 2


@MOSTLY_HERE
@pytest.mark.parametrize("fingerprint", ["f" * 64, "0" * 64, "7" + "f" * 63])
def test_every_fingerprint_has_a_lock(db: Connection, fingerprint: str) -> None:
    hold(db, fingerprint)
    found = standing(db, begin(db, fingerprint=fingerprint)).backend
    assert found is not None
    assert found.pid == db.info.backend_pid
