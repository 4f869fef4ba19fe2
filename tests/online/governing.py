"""Where the governor is tested: one that looks, limits of one kind alone, and sessions that do something."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.catalog import tables
from homeops_db.locking.observer import observing
from homeops_db.locking.pace import Pace
from homeops_db.online.backfill.governor import Governor
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until

OFF = Pace(
    max_replication_lag=timedelta(0),
    max_replication_bytes=0,
    max_slot_bytes=0,
    max_queue=0,
    max_active_p95=timedelta(0),
    max_wal_rate=0,
    max_dead_share=0,
    max_snapshot_age=timedelta(0),
)
MB = 1 << 20


def only(**limits: Any) -> Pace:
    """A pace with these limits, and no others."""
    return replace(OFF, **limits)


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


@dataclass
class Clock:
    """The governor's own clock; it goes only where it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def governing(
    url: URL, *, ours: Collection[int] = (), names: Collection[str] = (), clock: Any = None
) -> Iterator[Governor]:
    """A governor that has looked once: what begins from now on is its business."""
    with connect(url, application_name="governed") as worker, observing(worker) as observer:
        found = [tables.table(worker, name, "public") for name in names]
        oids = [one.oid for one in found if one is not None]
        governor = Governor(observer, lambda: oids, lambda: ours, clock or Clock())
        assert governor.look(OFF) is None
        yield governor


def signal(governor: Governor, pace: Pace) -> str | None:
    """Which reason there is, in a word."""
    reason = governor.look(pace)
    return None if reason is None else reason.signal


def text(governor: Governor, pace: Pace) -> str:
    reason = governor.look(pace)
    assert reason is not None
    return reason.text


@contextmanager
def in_transaction(url: URL, *statements: str, **parameters: str) -> Iterator[Connection]:
    """A session that has run the statements and keeps its transaction open."""
    with connect(url, **parameters) as connection:
        connection.autocommit = False
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.rollback()


@contextmanager
def running(url: URL, *statements: str, autocommit: bool = False, **parameters: str) -> Iterator[int]:
    """A session that is inside the last statement for the block. Gives its pid."""
    with connect(url, **parameters) as connection, connect(url) as admin:

        def run() -> None:
            connection.autocommit = autocommit
            try:
                for statement in statements:
                    connection.execute(statement.encode())
            except Exception:
                connection.close()

        thread = threading.Thread(target=run, daemon=True)
        pid = connection.info.backend_pid
        thread.start()
        until(lambda: query(admin, pid) == statements[-1])
        try:
            yield pid
        finally:
            admin.execute("select pg_terminate_backend(%s)", (pid,))
            thread.join(20)


def query(admin: Connection, pid: int) -> str | None:
    row = admin.execute(
        "select query from pg_stat_activity where pid = %s and state = 'active'", (pid,)
    ).fetchone()
    return row[0] if row else None


def awaits(admin: Connection, pid: int) -> bool:
    row = admin.execute(
        "select exists (select from pg_locks where pid = %s and not granted)", (pid,)
    ).fetchone()
    return bool(row and row[0])


def seconds(db: Connection, part: str) -> float:
    """For how long a statement with this in it has been running."""
    row = db.execute(
        "select extract(epoch from clock_timestamp() - query_start)::float8 from pg_stat_activity"
        " where state = 'active' and query like %s and pid <> pg_backend_pid()",
        (f"%{part}%",),
    ).fetchone()
    return row[0] if row else 0.0


SNAPSHOT = ("set transaction isolation level repeatable read", "select count(*) from t")


def age(db: Connection, pid: int) -> float:
    row = db.execute(
        "select extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity where pid = %s",
        (pid,),
    ).fetchone()
    assert row is not None
    return row[0]


def tell(db: Connection) -> None:
    """Report what the session has done: by itself it does so after a second of work, or ten of doing nothing."""
    db.execute("select pg_stat_force_next_flush()")


def dead(db: Connection, name: str) -> int:
    row = db.execute("select pg_stat_get_dead_tuples(to_regclass(%s))", (name,)).fetchone()
    assert row is not None
    return row[0]


def ask(db: Connection, question: str) -> Any:
    row = db.execute(question.encode()).fetchone()
    return row[0] if row else None
