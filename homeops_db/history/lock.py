"""The migration lock: one run at a time, seen by everybody, freed by itself when its holder dies.

It is a session-level advisory lock on a connection of its own, taken by polling: a session that
*waits* in pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY would wait for it for
ever (https://www.postgresql.org/docs/17/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS).
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, LiteralString

import psycopg
from psycopg import Connection
from psycopg.errors import InsufficientPrivilege, LockNotAvailable, QueryCanceled
from psycopg.rows import class_row
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.catalog import activity
from homeops_db.errors import DatabaseError, LockError
from homeops_db.history import ledger
from homeops_db.locking import pooler
from homeops_db.settings import Settings
from homeops_db.urls import masked

KEY: Final = int.from_bytes(b"homeops\0") & (2**63 - 1)
"""The advisory lock's key. Advisory locks are per database, so one key serves all."""

HEARTBEAT: Final = timedelta(seconds=5)
_FIRST_POLL, _LAST_POLL = 0.05, 1.0  # seconds
_FENCE_WAIT_MS: Final = 5000
_NAME: Final = "homeops-db migration lock"

_TRY: LiteralString = "select pg_try_advisory_lock(%s)"
_RELEASE: LiteralString = "select pg_advisory_unlock(%s)"
_TAKE_ROW: LiteralString = """
insert into migrations.migration_locks (id, locked_by, locked_at, lock_reason, run_id, heartbeat_at)
values (1, %(locked_by)s, clock_timestamp(), %(reason)s, %(run_id)s, clock_timestamp())
on conflict (id) do update
set locked_by = excluded.locked_by, locked_at = excluded.locked_at, lock_reason = excluded.lock_reason,
    run_id = excluded.run_id, heartbeat_at = excluded.heartbeat_at
"""
_BEAT: LiteralString = (
    "update migrations.migration_locks set heartbeat_at = clock_timestamp() where run_id = %s"
)
_CLEAR_ROW: LiteralString = "delete from migrations.migration_locks where run_id = %s"
_ROW: LiteralString = """
select locked_by, locked_at, lock_reason, run_id, heartbeat_at from migrations.migration_locks
"""
_SESSION: LiteralString = "select pg_backend_pid(), current_setting('homeops.timescaledb', true) is not null"


@dataclass(frozen=True)
class Holder:
    """Who holds the migration lock. ``alive`` is False for a row whose session is gone."""

    locked_by: str
    locked_at: datetime | None
    reason: str | None
    run_id: str | None
    heartbeat_at: datetime | None
    alive: bool

    def __str__(self) -> str:
        since = f" since {self.locked_at:%Y-%m-%d %H:%M:%S %Z}" if self.locked_at else ""
        return f"{self.locked_by}{since}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class _Row:
    locked_by: str
    locked_at: datetime
    lock_reason: str | None
    run_id: str | None
    heartbeat_at: datetime | None


@dataclass
class MigrationLock:
    """The lock in our hands. ``connection`` is in autocommit and may be used to record events."""

    connection: Connection
    pid: int
    run_id: str
    _lost: str | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def application(self) -> str:
        """The application_name of the connections that work under this lock."""
        return application(self.run_id)

    def assert_held(self) -> None:
        """Ask the server whether this session still holds the lock; called before a revision's commit.

        Raises:
            LockError: The lock's session is gone, so another run may have begun.
        """
        if self._lost is None:
            try:
                holder = activity.advisory_holder(self.connection, KEY)
            except psycopg.Error as error:
                self._lost = str(error).splitlines()[0]
            else:
                if holder is None or holder.pid != self.pid:
                    self._lost = "the server released it"
        if self._lost is not None:
            raise LockError(
                f"The migration lock was lost: {self._lost}. The revision in hand is rolled back. "
                "Look at the server's log, then run the same command again."
            )

    def beat(self) -> None:
        """Renew the heartbeat until told to stop; what goes wrong is kept for `assert_held`."""
        while not self._stop.wait(HEARTBEAT.total_seconds()):
            try:
                self.connection.execute(_BEAT, (self.run_id,))
            except (LockNotAvailable, QueryCanceled):
                continue  # somebody has the row: the heartbeat is for show, the lock is elsewhere
            except psycopg.Error as error:
                self._lost = str(error).splitlines()[0]
                return

    def release(self) -> None:
        """Give the lock back. Where the session is gone already, the server has done so itself."""
        self._stop.set()
        with suppress(psycopg.Error):
            self.connection.execute(_CLEAR_ROW, (self.run_id,))
            self.connection.execute(_RELEASE, (KEY,))
        self.connection.close()


def application(run_id: str) -> str:
    """Name the connections of one run, so that the next run can end what a dead one left."""
    return f"homeops-db migrate {run_id}"


@contextmanager
def held(url: URL, settings: Settings, *, reason: str) -> Iterator[MigrationLock]:
    """Hold the migration lock for a block.

    Waits up to ``settings.migration_lock_wait`` for another run. A killed run's lock is free at
    once; whatever backend it left behind is ended before this returns.

    Args:
        url: The database; one lock each.
        settings: Timeouts.
        reason: Why, in a few words, for the one who waits.

    Raises:
        LockError: Another run holds it; the text names the holder.
        DatabaseError: Unreachable, no privilege, or behind a transaction pooler.
    """
    connection, pid = _open(url, settings)
    lock = MigrationLock(connection, pid, run_id=secrets.token_hex(4))
    try:
        _wait(connection, settings.migration_lock_wait)
        ledger.ensure(connection)
        _fence(connection)
        connection.execute(_TAKE_ROW, {"locked_by": ledger.client(), "reason": reason, "run_id": lock.run_id})
        threading.Thread(target=lock.beat, name="migration-lock-heartbeat", daemon=True).start()
        yield lock
    finally:
        lock.release()


def holder(connection: Connection) -> Holder | None:
    """Read who holds the lock now, or whose row a dead run left behind; None when it's free."""
    backend = activity.advisory_holder(connection, KEY)
    row = _row(connection)
    if row is None:
        if backend is None:
            return None
        return Holder(f"{backend.role} pid {backend.pid}", None, None, None, None, alive=True)
    return Holder(
        row.locked_by, row.locked_at, row.lock_reason, row.run_id, row.heartbeat_at, alive=backend is not None
    )


def _row(connection: Connection) -> _Row | None:
    if not ledger.is_ready(connection):
        return None
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        return cursor.execute(_ROW).fetchone()


def _wait(connection: Connection, patience: timedelta) -> None:
    deadline = time.monotonic() + patience.total_seconds()
    pause = _FIRST_POLL
    told = False
    while not _taken(connection):
        if time.monotonic() >= deadline:
            raise LockError(
                f"Another run holds the migration lock: {holder(connection) or 'it was just released'}. "
                f"Nothing was changed after waiting {patience.total_seconds():g} s. "
                "Run the same command again when it has ended; `homeops-db status` shows it."
            )
        if not told:
            logging.getLogger(__name__).info("waiting for the migration lock: %s", holder(connection))
            told = True
        time.sleep(pause)
        pause = min(pause * 2, _LAST_POLL)


def _taken(connection: Connection) -> bool:
    row = connection.execute(_TRY, (KEY,)).fetchone()
    return bool(row and row[0])


def _fence(connection: Connection) -> None:
    """End the backends of a run that died: one may still be inside a long statement."""
    row = _row(connection)
    if row is None or row.run_id is None:
        return
    for backend in activity.backends_named(connection, application(row.run_id)):
        try:
            gone = activity.terminate(connection, backend.pid, wait_ms=_FENCE_WAIT_MS)
        except InsufficientPrivilege:
            gone = False
        if not gone:
            raise LockError(
                f"A run that died ({row.locked_by}) left backend {backend.pid} of role {backend.role} at "
                "work, and it could not be ended. Nothing was changed. As that role or a superuser, run: "
                f"SELECT pg_terminate_backend({backend.pid}, 5000); then run the same command again."
            )


def _open(url: URL, settings: Settings) -> tuple[Connection, int]:
    """Open the lock's session, sure that it is one: a pooler may lend a new backend each time."""
    try:
        connection = database.connect(url, settings, application=_NAME, load_timescaledb=False)
    except DatabaseError:
        if _pooler_refuses_options(url, settings):
            raise _pooler_error(url) from None
        raise
    row = connection.execute(_SESSION).fetchone()
    assert row is not None
    pid, has_options = row
    if pooler.is_pooled(connection, pid) and not (
        has_options
        and pooler.keeps_session(connection, pid, lambda: database.connect(url, settings, application=_NAME))
    ):
        connection.close()
        raise _pooler_error(url)
    return connection, pid


def _pooler_refuses_options(url: URL, settings: Settings) -> bool:
    """PgBouncer makes up a backend pid of its own, and by default refuses timeouts as connect options."""
    try:
        with database.connect(url, settings, application=_NAME, with_options=False) as connection:
            row = connection.execute("select pg_backend_pid()").fetchone()
            return row is not None and pooler.is_pooled(connection, row[0])
    except DatabaseError:
        return False


def _pooler_error(url: URL) -> LockError:
    return LockError(
        f"{masked(url)} is a connection pooler that keeps no session (pool_mode = transaction) or no "
        "connect options: the lock, or the timeouts, would be lost between two statements. Nothing was "
        "changed. Connect to the server itself."
    )
