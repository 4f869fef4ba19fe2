"""The connection that holds the claim on a backfill; it is opened anew, and claims again, when it is lost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString, TypeVar

import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable

from homeops_db.errors import OnlineError
from homeops_db.online.backfill.session import Sessions

T = TypeVar("T")

LOCK_TIMEOUT: Final = timedelta(seconds=4)
_PAUSE: Final = 0.2  # seconds
_LINGERS: Final = 10.0
"""Seconds for which a session that was lost may still hold the lock."""

_TRY: LiteralString = "select pg_try_advisory_lock(%s)"


@dataclass
class Keeper:
    """Holds an advisory lock, and asks.

    Attributes:
        sessions: Opens it.
        patience: How long a lost server is waited for.
        key: Of the lock, once it is taken.
    """

    sessions: Sessions
    patience: timedelta
    key: int | None = None
    _connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection; a new one, with the lock, if it was lost.

        Raises:
            OnlineError: Another run has claimed the backfill meanwhile.
            psycopg.OperationalError: The server doesn't come back.
        """
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
        return self._connection

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask; again while a table is locked, and once more on a new connection if the old one was lost."""
        began = time.monotonic()
        while True:
            try:
                return question(self.connection)
            except LockNotAvailable:
                if time.monotonic() - began > self.patience.total_seconds():
                    raise
            except psycopg.OperationalError:
                if self._connection is not None and not self._connection.closed:
                    raise
                return question(self.connection)

    def try_lock(self, key: int) -> bool:
        """Take the lock if it is free, and remember it."""
        row = self.connection.execute(_TRY, (key,)).fetchone()
        if row is not None and row[0]:
            self.key = key
            return True
        return False

    def close(self) -> None:
        """Close the connection: the lock is free."""
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> Connection:
        began = time.monotonic()
        while True:
            try:
                connection = self.sessions.open(lock_timeout=LOCK_TIMEOUT)
            except psycopg.OperationalError:
                was_there = self._connection is not None
                if not was_there or time.monotonic() - began > self.patience.total_seconds():
                    raise
                time.sleep(_PAUSE)
                continue
            if self.key is None or self._claim(connection):
                return connection
            connection.close()
            if time.monotonic() - began > _LINGERS:
                raise OnlineError(
                    "The connection was lost, and another run has this backfill now. What was committed "
                    "stays. Look at it: homeops-db backfill list"
                )
            time.sleep(_PAUSE)

    def _claim(self, connection: Connection) -> bool:
        row = connection.execute(_TRY, (self.key,)).fetchone()
        return bool(row and row[0])
