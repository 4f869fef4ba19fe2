"""Whether a connection is one server session: a pooler may lend it another backend for each transaction."""

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg import Connection

from homeops_db.errors import DatabaseError

_PATIENCE: Final = 5.0
"""Seconds. In a small pool the second client has the last backend, and we would wait for it for ever."""

_PID: LiteralString = "select pg_backend_pid()"
_MARK: LiteralString = "select set_config('homeops.session', %s, false)"
_THEIRS: LiteralString = "select current_setting('homeops.session', true)"
_OURS: LiteralString = "select pg_backend_pid(), current_setting('homeops.session', true)"


def is_pooled(connection: Connection, pid: int) -> bool:
    """Tell whether something stands between us and the server: a pooler makes up a pid of its own.

    Args:
        connection: Any.
        pid: What pg_backend_pid() said on it.
    """
    return pid != connection.info.backend_pid


def keeps_session(connection: Connection, pid: int, another: Callable[[], Connection]) -> bool:
    """Try out whether a connection stays with its backend while another client is in a transaction.

    The other one must not get our backend, nor make us change it, nor make us wait for one. Takes no lock,
    and 5 s at most.

    Args:
        connection: In autocommit: inside a transaction every pooler keeps the backend.
        pid: What pg_backend_pid() said on it.
        another: Opens a second connection in autocommit, the same way.
    """
    mark = secrets.token_hex(8)
    connection.execute(_MARK, (mark,))
    try:
        with another() as other:
            in_time = threading.Timer(_PATIENCE, other.close)
            in_time.start()
            try:
                with other.transaction():
                    theirs = other.execute(_THEIRS).fetchone()
                    ours = connection.execute(_OURS).fetchone()
            finally:
                in_time.cancel()
    except psycopg.Error:  # closed in time; or pool_mode = statement, which has no transactions
        return False
    return theirs != (mark,) and ours == (pid, mark)


def refuse_pooler(connection: Connection, parameters: Mapping[str, Any]) -> None:
    """Refuse a connection that is lent another backend each time. A direct one costs a question.

    Args:
        connection: In autocommit.
        parameters: Open another one like it.

    Raises:
        DatabaseError: What is set in the session, and advisory locks, would be lost.
    """
    row = connection.execute(_PID).fetchone()
    assert row is not None
    pid: int = row[0]
    if not is_pooled(connection, pid):
        return
    if not keeps_session(connection, pid, lambda: psycopg.connect(**parameters, autocommit=True)):
        info = connection.info
        raise DatabaseError(
            f"{info.host}:{info.port} is a connection pooler that keeps no session (pool_mode = "
            "transaction), or has no room for a second one: locks and settings would be lost between two "
            "statements. Nothing was changed by this step. Connect to the server itself."
        )
