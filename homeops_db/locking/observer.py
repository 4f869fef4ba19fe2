"""The second connection: it sees who is in our way and who waits behind us, while the first one waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

# It reads catalogs alone: an uncommitted DROP EXTENSION timescaledb must not block it.
_OPTIONS = "-c timescaledb.disable_load=on -c lock_timeout=4s -c statement_timeout=10s"


@dataclass(frozen=True)
class Observer:
    """A connection of its own, and the pid of the one that it looks after."""

    connection: Connection
    pid: int


@contextmanager
def observing(worker: Connection) -> Iterator[Observer]:
    """Open a second connection like ``worker``, for the block.

    It carries the same application_name: whoever fences off a dead run ends it as well.
    """
    row = worker.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    given: dict[str, Any] = worker.info.get_parameters()
    given["options"] = f"{given.get('options', '')} {_OPTIONS}".strip()
    with psycopg.connect(**given, password=worker.info.password, autocommit=True) as connection:
        yield Observer(connection, row[0])
