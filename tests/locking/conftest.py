"""Where the tests of locks work: sessions that hold something, and a taker in a thread of its own."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db.catalog import tables
from homeops_db.locking.observer import Observer, observing
from homeops_db.locking.policy import Policy
from homeops_db.locking.take import Taken, take
from homeops_db.locking.wanted import Wanted, wanted
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until

EXCLUSIVE = "ACCESS EXCLUSIVE"


def servers(*names: str, slow: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Where tests run: always, and when there is time."""
    later = [pytest.param(name, marks=pytest.mark.slow) for name in slow]
    return pytest.mark.parametrize("any_url", [*names, *later], indirect=True)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


ASKS = Policy(lock_timeout=seconds(60), old_after=seconds(3600))
"""Asks whoever is there, however old, and waits long for the lock: what a test breaks off, it breaks off."""


def wants(connection: Connection, *names: str, mode: str = EXCLUSIVE) -> list[Wanted]:
    """Name the locks on tables of public."""
    found = [tables.table(connection, name, "public") for name in names]
    return [wanted(connection, table, mode) for table in found if table is not None]


class Taker(threading.Thread):
    """A revision's session that takes locks, in a thread."""

    def __init__(self, url: URL, names: Sequence[str], policy: Policy, work: Callable, mode: str) -> None:
        super().__init__(daemon=True)
        self.connection = connect(url, application_name="taker")
        self.pid = self.connection.info.backend_pid
        self.names, self.policy, self.work, self.mode = names, policy, work, mode
        self.observer: Observer | None = None
        self.taken: Taken[Any] | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            asked = wants(self.connection, *self.names, mode=self.mode)
            with observing(self.connection) as self.observer:
                self.taken = take(self.connection, self.observer, asked, self.work, policy=self.policy)
        except BaseException as error:
            self.error = error

    def result(self) -> Taken[Any]:
        """Wait for its end, and give what came of it."""
        self.join(20)
        assert not self.is_alive(), "it never ended"
        if self.error is not None:
            raise self.error
        assert self.taken is not None
        return self.taken


def nothing(connection: Connection) -> None:
    """Work that does nothing."""


Taking = Callable[..., Taker]


@pytest.fixture
def taking(any_url: URL) -> Iterator[Taking]:
    """Start takers: ``taking("t", policy=ASKS, work=…)``; what is left of them is ended."""
    started: list[Taker] = []

    def start(
        *names: str,
        policy: Policy | None = None,
        work: Callable = nothing,
        mode: str = EXCLUSIVE,
        url: URL | None = None,
    ) -> Taker:
        taker = Taker(url or any_url, names, policy or Policy(), work, mode)
        started.append(taker)
        taker.start()
        return taker

    yield start
    with connect(any_url) as admin:
        for taker in started:
            if taker.is_alive():
                admin.execute("select pg_terminate_backend(%s)", (taker.pid,))
            taker.join(20)
            taker.connection.close()


@pytest.fixture
def db(any_url: URL) -> Iterator[Connection]:
    """A session that looks on; the table ``t`` is there."""
    with connect(any_url) as connection:
        connection.execute("create table t (id int primary key, v text)")
        connection.execute("insert into t select i, 'x' from generate_series(1, 10) i")
        yield connection


@contextmanager
def holding(url: URL, *statements: str, old: bool = False, **parameters: str) -> Iterator[Connection]:
    """A session with an open transaction that has run the statements; commit() lets go."""
    with connect(url, **parameters) as connection:
        connection.autocommit = False
        for statement in statements:
            connection.execute(statement.encode())
        if old:
            until(lambda: age(url, connection.info.backend_pid) > 0.15)
        yield connection
        connection.rollback()


def age(url: URL, pid: int) -> float:
    """How long a session's transaction has been open, in seconds."""
    with connect(url) as connection:
        query = "select extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity where pid = %s"
        row = connection.execute(query, (pid,)).fetchone()
    assert row is not None
    return row[0] or 0.0


def awaits(connection: Connection, pid: int) -> bool:
    """Whether a session waits for a lock at this moment."""
    row = connection.execute("select exists (select from pg_locks where pid = %s and not granted)", (pid,))
    return bool(row.fetchone()[0])


class Victim(threading.Thread):
    """Traffic: one statement in a session of its own, and how long it took."""

    def __init__(self, url: URL, statement: str = "select count(*) from t") -> None:
        super().__init__(daemon=True)
        self.connection = connect(url, application_name="traffic")
        self.pid = self.connection.info.backend_pid
        self.statement = statement
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.connection.execute(sql.SQL(self.statement))
        except BaseException as error:
            self.error = error

    def survives(self) -> bool:
        """Wait for its end, and say whether nobody harmed it."""
        self.join(20)
        self.connection.close()
        return not self.is_alive() and self.error is None
