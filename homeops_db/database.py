"""Connections: one way in for our own reads and writes (psycopg), one for Alembic (SQLAlchemy).

Timeouts and names travel in the connect options, never as a SET on an open connection: a SET
before ``context.configure()`` opens a transaction, and Alembic then rolls the whole upgrade back.
"""

import math
from datetime import timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from homeops_db import urls
from homeops_db.errors import DatabaseError
from homeops_db.settings import Settings
from homeops_db.urls import masked

OLDEST_VERSION: Final = 150000

LOCK_TIMEOUT: Final = timedelta(seconds=4)
"""Of a connection that nobody tries again for: ledger, seeds, scripts of ``--sql``."""


def options(settings: Settings, *, lock_timeout: timedelta | None = None) -> str:
    """Build the ``options`` of a connection: timeouts, and policy that revisions read in SQL.

    ``lock_timeout`` is short where a revision is tried again when it meets a lock, and `LOCK_TIMEOUT`
    where nobody tries again.

    ``client_connection_check_interval`` lets the server end the statement of a client that was
    killed within a second, so that the next run doesn't meet its locks.
    """
    given = {
        "lock_timeout": _milliseconds(lock_timeout or LOCK_TIMEOUT),
        "statement_timeout": _milliseconds(settings.statement_timeout),
        "client_connection_check_interval": 1000,
        # Whatever the database or the role says: psycopg reads this style alone, revisions name their
        # schemas, and a revision may think for a while between two statements.
        "datestyle": "ISO",
        "standard_conforming_strings": "on",
        "search_path": "public",
        "idle_in_transaction_session_timeout": 0,
        "idle_session_timeout": 0,
        "homeops.timescaledb": "on" if settings.timescaledb else "off",
    }
    return " ".join(f"-c {name}={value}" for name, value in given.items())


def connect(
    url: URL,
    settings: Settings,
    *,
    application: str,
    load_timescaledb: bool = True,
    with_options: bool = True,
) -> psycopg.Connection:
    """Open an autocommit connection of our own.

    Args:
        url: Where to.
        settings: Timeouts and policy.
        application: The application_name that others see in pg_stat_activity.
        load_timescaledb: False for a connection that reads only catalogs and the ledger: an uncommitted
            DROP EXTENSION timescaledb of another session then can't block it.
        with_options: False to learn whether a pooler stands in between that refuses them.

    Raises:
        DatabaseError: No answer, a wrong password, no such database, or a server older than 15.
    """
    given = {**urls.libpq(url), **_connect_options(url, settings, application)}
    if not load_timescaledb:
        given["options"] += " -c timescaledb.disable_load=on"
    if not with_options:
        del given["options"]
    try:
        connection = psycopg.connect(**given, autocommit=True)
    except psycopg.Error as error:
        raise unreachable(url, error) from None
    _refuse_old_server(url, connection)
    return connection


def engine(url: URL, settings: Settings, *, application: str) -> Engine:
    """Make the engine that Alembic migrates with: no pool, `connect`'s options, short tries for locks."""
    given = _connect_options(url, settings, application, lock_timeout=settings.lock_timeout)
    return create_engine(url, connect_args=given, poolclass=NullPool)


def alembic_connection(url: URL, settings: Settings, *, application: str) -> Connection:
    """Open the connection that Alembic migrates on. Arguments and errors as for `connect`."""
    try:
        connection = engine(url, settings, application=application).connect()
    except DBAPIError as error:
        raise unreachable(url, error.orig) from None
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    _refuse_old_server(url, driver)
    return connection


def unreachable(url: URL, error: BaseException | None) -> DatabaseError:
    """Turn a failed connect into one line; the server's own words carry the reason."""
    first = (str(error).strip() or "no answer").splitlines()[0]
    reason = first.rpartition("failed: ")[2].removeprefix("FATAL:").strip().rstrip(".")
    return DatabaseError(
        f"Cannot connect to {masked(url)}: {reason}. Nothing was changed. Check HOMEOPS_DATABASE_URL."
    )


def as_error(error: BaseException) -> DatabaseError | None:
    """Turn what the server refused into one line; None for an error that isn't the server's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return None
    text = cause.diag.message_primary or (str(cause).strip() or type(cause).__name__).splitlines()[0]
    state = f" (SQLSTATE {cause.sqlstate})" if cause.sqlstate else ""
    remedy = (
        "Connect as the role that owns the HomeOps schemas, or ask it for the privilege."
        if isinstance(cause, psycopg.errors.InsufficientPrivilege)
        else "Look at the server's log, then run the same command again."
    )
    return DatabaseError(f"The server refused: {text}{state}. What was open is rolled back. {remedy}")


def _connect_options(
    url: URL, settings: Settings, application: str, *, lock_timeout: timedelta | None = None
) -> dict[str, Any]:
    policy = options(settings, lock_timeout=lock_timeout)
    return {
        "connect_timeout": max(1, round(settings.connect_timeout.total_seconds())),
        "application_name": application,
        "client_encoding": "UTF8",
        "options": f"{url.query.get('options', '')} {policy}".strip(),
    }


def _refuse_old_server(url: URL, connection: psycopg.Connection) -> None:
    version = connection.info.server_version
    if version < OLDEST_VERSION:
        connection.close()
        raise DatabaseError(
            f"{masked(url)} is PostgreSQL {version // 10000}: HomeOps needs 15 or newer. "
            "Nothing was changed. Upgrade the server, or point HOMEOPS_DATABASE_URL to another."
        )


def _milliseconds(duration: timedelta) -> int:
    return math.ceil(duration.total_seconds() * 1000)  # rounded down, 0.4 ms would be without end
