"""The migration lock: one run at a time, freed by death, refused behind a pooler."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.errors import LockError
from homeops_db.history import ledger, lock
from homeops_db.settings import Settings
from tests.fixtures.databases import connect, libpq
from tests.fixtures.pooler import pooled
from tests.fixtures.projects import Checkout, Toy
from tests.fixtures.waiting import until

SOON = timedelta(seconds=0.2)


def one(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def test_the_holder_is_shown_and_gone_afterwards(any_url: URL) -> None:
    with connect(any_url) as other:
        with lock.held(any_url, Settings(), reason="a test"):
            holder = lock.holder(other)
            assert holder is not None
            assert (holder.alive, holder.reason, holder.locked_by) == (True, "a test", ledger.client())
        assert lock.holder(other) is None


def test_a_second_run_gives_up_and_names_the_holder(any_url: URL) -> None:
    settings = Settings(migration_lock_wait=SOON)
    with (
        lock.held(any_url, settings, reason="the first"),
        pytest.raises(LockError, match=rf"{ledger.client()}.*\(the first\)"),
        lock.held(any_url, settings, reason="the second"),
    ):
        pytest.fail("two held it")


def test_a_second_run_waits_for_the_first(any_url: URL) -> None:
    order = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with lock.held(any_url, Settings(), reason="the first"):
            inside.set()
            leave.wait(20)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(20)
    threading.Timer(0.3, leave.set).start()
    with lock.held(any_url, Settings(), reason="the second"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_does_not_block_create_index_concurrently(toy: Toy, any_url: URL) -> None:
    command.upgrade(toy.config(any_url), "head")
    with lock.held(any_url, Settings(), reason="the builder"), connect(any_url) as builder:
        waiting = threading.Thread(target=_try_to_hold, args=(any_url,))
        waiting.start()
        with connect(any_url) as watcher:
            until(
                lambda: one(
                    watcher,
                    "select count(*) = 2 from pg_stat_activity where datname = current_database()"
                    " and application_name = 'homeops-db migration lock'",
                )
            )
        builder.execute("set lock_timeout = '10s'")
        builder.execute("create index concurrently t1_id on public.t1 (id)")
        waiting.join()


def _try_to_hold(url: URL) -> None:
    with (
        pytest.raises(LockError),
        lock.held(url, Settings(migration_lock_wait=timedelta(seconds=1)), reason="x"),
    ):
        pass


def test_the_heartbeat_beats(any_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", timedelta(seconds=0.02))
    with lock.held(any_url, Settings(), reason="a test"), connect(any_url) as other:
        until(lambda: one(other, "select heartbeat_at > locked_at from migrations.migration_locks"))


def test_a_missed_heartbeat_is_no_lost_lock(any_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", timedelta(seconds=0.02))
    monkeypatch.setattr(database, "LOCK_TIMEOUT", timedelta(seconds=0.02))
    with lock.held(any_url, Settings(), reason="a test") as held, connect(any_url) as other:
        with other.transaction():
            other.execute("select 1 from migrations.migration_locks for update")
            until(
                lambda: one(other, "select true from pg_locks where not granted and pid <> pg_backend_pid()")
            )
            until(lambda: not one(other, "select true from pg_locks where not granted"))  # the beat gave up
        held.assert_held()
        beaten = one(other, "select heartbeat_at from migrations.migration_locks")
        until(lambda: one(other, "select heartbeat_at from migrations.migration_locks") != beaten)


def test_a_lock_that_was_lost_rolls_the_revision_back(toy: Toy, any_url: URL) -> None:
    toy.add(
        "v1.1.0",
        """
        op.execute("create table public.t2 (id int)")
        op.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                   "where datname = current_database() and application_name = 'homeops-db migration lock'")
        """,
    )
    with pytest.raises(LockError, match="lock was lost"):
        command.upgrade(toy.config(any_url), "head")
    with connect(any_url) as connection:
        assert ledger.current(connection) == "v1.0.0"
        assert one(connection, "select to_regclass('public.t2')") is None


def test_a_run_killed_in_a_long_statement_is_followed_at_once(
    checkout: Checkout, add_revision: Callable[..., Path], first_url: URL
) -> None:
    add_revision("v1.0.1", "op.execute(f\"select pg_sleep({os.environ['SLEEP']})\")", change="patch")
    killed = checkout.start("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=libpq(first_url), SLEEP="600")
    with connect(first_url) as watcher:
        until(lambda: one(watcher, "select true from pg_stat_activity where query like 'select pg_sleep%'"))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        status = checkout.run(
            "homeops-db", "status", "--json", check=False, HOMEOPS_DATABASE_URL=libpq(first_url)
        )
        assert (status.returncode, json.loads(status.stdout)["failed"]) == (3, ["v1.0.1"])
        checkout.run("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=libpq(first_url), SLEEP="0")
        assert ledger.current(watcher) == "v1.0.1"
        assert (
            one(watcher, "select true from pg_stat_activity where query like 'select pg_sleep(600)%'") is None
        )
        happened = [(e.version, e.event) for e in ledger.events(watcher, limit=4)][::-1]
    assert happened == [("v1.0.1", event) for event in ("started", "interrupted", "started", "finished")]


def test_a_downgrade_that_was_killed_is_shown_until_it_is_done(
    checkout: Checkout, add_revision: Callable[..., Path], first_url: URL
) -> None:
    sleep = "op.execute(f\"select pg_sleep({os.environ['SLEEP']})\")"
    add_revision("v1.0.1", downgrade=sleep, change="patch")
    url = {"HOMEOPS_DATABASE_URL": libpq(first_url)}

    def failed() -> list[str]:
        return list(
            json.loads(checkout.run("homeops-db", "status", "--json", check=False, **url).stdout)["failed"]
        )

    checkout.run("alembic", "upgrade", "head", **url)
    killed = checkout.start("alembic", "downgrade", "v1.0.0", SLEEP="600", **url)
    with connect(first_url) as watcher:
        until(lambda: one(watcher, "select true from pg_stat_activity where query like 'select pg_sleep%'"))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert failed() == ["v1.0.1"]
    checkout.run("alembic", "upgrade", "head", **url)
    assert failed() == ["v1.0.1"]
    checkout.run("alembic", "downgrade", "v1.0.0", SLEEP="0", **url)
    assert failed() == []


def test_a_leftover_backend_that_may_not_be_ended_stops_the_next_run(any_url: URL) -> None:
    with connect(any_url) as admin, lock.held(any_url, Settings(), reason="the dead one") as dead:
        name = f"tests_other_{os.getpid()}"
        admin.execute(f"create role {name} login")
        admin.execute(f"grant create on database {any_url.database} to {name}")
        admin.execute(f"grant usage on schema migrations to {name}")
        admin.execute(f"grant select, insert, update, delete on all tables in schema migrations to {name}")
        with connect(any_url, application_name=dead.application) as leftover:
            admin.execute("select pg_terminate_backend(%s, 5000)", (dead.pid,))
            with (
                pytest.raises(
                    LockError, match=rf"left backend {leftover.info.backend_pid} of role {any_url.username}"
                ),
                lock.held(any_url.set(username=name), Settings(), reason="the next"),
            ):
                pytest.fail("it went on beside a living backend")
        admin.execute(f"drop owned by {name}")
        admin.execute(f"drop role {name}")


def test_two_upgrades_started_together_apply_every_revision_once(
    checkout: Checkout, add_revision: Callable[..., Path], empty_url: URL
) -> None:
    add_revision("v1.0.1", 'op.execute("create table public.only_once (id int)")', change="patch")
    runs = [
        checkout.start("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=libpq(empty_url)) for _ in range(2)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    with connect(empty_url) as connection:
        finished = [e.version for e in ledger.events(connection, limit=50) if e.event == "finished"]
    assert sorted(finished) == ["v1.0.0", "v1.0.1"]


def test_giving_up_has_its_own_exit_code_and_one_line(checkout: Checkout, first_url: URL) -> None:
    with lock.held(first_url, Settings(), reason="the holder"):
        ended = checkout.run(
            "alembic", "upgrade", "head",
            HOMEOPS_DATABASE_URL=libpq(first_url), HOMEOPS_MIGRATION_LOCK_WAIT="100ms", check=False,
        )  # fmt: skip
    assert ended.returncode == LockError.exit_code
    assert "the holder" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.fixture(
    params=[
        {"mode": "transaction"},
        {"mode": "session", "ignore_startup_parameters": "options"},
        {"mode": "statement", "ignore_startup_parameters": "options"},
    ],
    ids=["transaction", "session without options", "statement"],
)
def pooler(request: pytest.FixtureRequest, empty_url: URL) -> Iterator[URL]:
    with pooled(empty_url, **request.param) as url:
        yield url


def test_a_pooler_that_keeps_no_session_is_refused(pooler: URL, empty_url: URL) -> None:
    with pytest.raises(LockError, match="pooler"), lock.held(pooler, Settings(), reason="a test"):
        pytest.fail("it was taken behind a pooler")
    with connect(empty_url) as connection:
        assert not ledger.is_ready(connection)
