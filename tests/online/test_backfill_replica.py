"""A backfill and a standby that can't follow: it waits, and says for whom; it goes on by itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Connection

from homeops_db import online
from tests.fixtures.databases import connect
from tests.fixtures.replica import Replicated
from tests.fixtures.waiting import until
from tests.online.conftest import revision

# Each batch takes as long as this, so that there is something left to do when the standby stops.
SLOW = """
create table t (id bigint primary key, old int, new int);
insert into t select i, i from generate_series(1, 15000) i;
create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.01); return null; end';
create trigger slowly before update on t for each statement execute function slowly();
"""
LIMITS: dict[str, Any] = {"batch_rows": 100, "max_batch_rows": 100, "max_replication_bytes": "256kB"}


class Backfill(threading.Thread):
    """A revision that fills ``t.new``, in a thread."""

    def __init__(self, replicated: Replicated, **limits: Any) -> None:
        super().__init__(daemon=True)
        self.replicated, self.limits = replicated, limits
        self.done: online.Backfilled | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with revision(self.replicated.url), online.pace(**self.limits):
                self.done = online.backfill("t", {"new": "old"}, schema="public", where="new IS NULL")
        except BaseException as error:
            self.error = error

    def result(self) -> online.Backfilled:
        """Wait for its end, and give what it did."""
        self.join(30)
        assert not self.is_alive(), "it never ended"
        if self.error is not None:
            raise self.error
        assert self.done is not None
        return self.done


@contextmanager
def filling(replicated: Replicated, **limits: Any) -> Iterator[Backfill]:
    """Start a backfill for the block; cancel it if the block fails."""
    thread = Backfill(replicated, **limits)
    thread.start()
    try:
        yield thread
    finally:
        with connect(replicated.url) as db:
            if thread.is_alive():
                db.execute("update migrations.backfills set state = 'cancelled'")
        thread.join(30)


@pytest.fixture
def db(replicated: Replicated) -> Iterator[Connection]:
    """A session on the primary; the table ``t`` is there, and the standby has it."""
    with connect(replicated.url) as connection:
        connection.execute(SLOW.encode())
        replicated.catch_up()
        yield connection


def ask(db: Connection, question: str) -> Any:
    row = db.execute(question.encode()).fetchone()
    return row[0] if row else None


def test_it_waits_while_the_standby_does_not_replay_and_goes_on_by_itself(
    db: Connection, replicated: Replicated
) -> None:
    with filling(replicated, **LIMITS) as backfill, replicated.paused():
        until(lambda: ask(db, "select to_regclass('migrations.backfills') is not null"))
        until(lambda: ask(db, "select waiting_for from migrations.backfills") is not None)
        waiting_for = ask(db, "select waiting_for from migrations.backfills")
        assert waiting_for.startswith("standby replica1 is ")
        assert waiting_for.endswith(" behind, received but not replayed (limit 256 kB)")
        done, beat = stand(db)
        assert 0 < done < 15000
        until(lambda: stand(db)[1] > beat + 1)
        assert stand(db)[0] == done  # a batch that was in hand would have ended by now
        assert ask(db, "select state from migrations.backfills") == "running"
        replicated.resume()
        result = backfill.result()
    assert result.rows == 15000
    assert result.waits["replication lag"] >= 1
    assert ask(db, "select count(*) from t where new is distinct from old") == 0
    replicated.catch_up()
    with connect(replicated.standby.url) as there:
        assert ask(there, "select count(*) from t where new is distinct from old") == 0


def stand(db: Connection) -> tuple[int, float]:
    """How many rows are done, and when the run was last seen alive, in seconds."""
    row = db.execute(
        "select (select count(*) from t where new is not null),"
        " extract(epoch from heartbeat_at)::float8 from migrations.backfills"
    ).fetchone()
    assert row is not None
    return row[0], row[1]
