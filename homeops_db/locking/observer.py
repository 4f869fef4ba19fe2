"""The second connection: it sees who is in our way and who waits behind us, while the first one waits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus

from homeops_db.errors import DatabaseError
from homeops_db.locking import pooler

T = TypeVar("T")

# It reads catalogs alone: an uncommitted DROP EXTENSION timescaledb must not block it. Whoever logs in
# as a role that becomes another one (ALTER ROLE … SET role) may cancel its sessions only as itself.
_OPTIONS: Final = (
    "-c timescaledb.disable_load=on -c role=none -c jit=off -c idle_session_timeout=0 "
    "-c lock_timeout=4s -c statement_timeout=10s"
)

_WORKER: LiteralString = """
select pg_backend_pid(), extract(epoch from current_setting('deadlock_timeout')::interval)::float8
"""


@dataclass
class Observer:
    """A connection of its own, and what it knows of the one that it looks after.

    Attributes:
        pid: The worker's.
        deadlock_timeout: How long the worker waits before an autovacuum is asked to yield.
    """

    pid: int
    deadlock_timeout: timedelta
    _parameters: Mapping[str, Any] = field(repr=False)
    _connection: Connection

    @property
    def connection(self) -> Connection:
        """The connection; a new one if it was lost."""
        if self._connection.closed:
            self._connection = psycopg.connect(**self._parameters, autocommit=True)
        return self._connection

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask the catalog; once more on a new connection if the old one was lost."""
        try:
            return question(self.connection)
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            return question(self.connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def observing(worker: Connection) -> Iterator[Observer]:
    """Open a second connection like ``worker``, for the block.

    It carries the same application_name: whoever fences off a dead run ends it as well. ``worker`` is
    left as it was: in no transaction, if it was in none.

    Raises:
        DatabaseError: It can't be opened, or ``worker`` is behind a pooler that keeps no session.
    """
    was_idle = worker.info.transaction_status is TransactionStatus.IDLE
    row = worker.execute(_WORKER).fetchone()
    if was_idle and not worker.autocommit:
        worker.rollback()
    assert row is not None
    parameters = parameters_of(worker)
    if worker.autocommit and pooler.is_pooled(worker, row[0]):
        pooler.refuse_pooler(worker, parameters)
    parameters["options"] = f"{parameters['options']} {_OPTIONS}".strip()
    try:
        connection = psycopg.connect(**parameters, autocommit=True)
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise DatabaseError(
            f"No connection could be opened to watch the locks: {reason}. Nothing was changed by this step. "
            "A run needs three connections: look at max_connections and at the role's CONNECTION LIMIT, then "
            "run the same command again."
        ) from error
    observer = Observer(row[0], timedelta(seconds=row[1]), parameters, connection)
    try:
        yield observer
    finally:
        observer.close()


def parameters_of(worker: Connection) -> dict[str, Any]:
    """Give what opens another connection like ``worker``: of several hosts, to the one that it is at."""
    info = worker.info
    given: dict[str, Any] = info.get_parameters()
    for name in ("target_session_attrs", "load_balance_hosts", "hostaddr"):
        given.pop(name, None)
    return {
        **given,
        "host": info.host,
        **({"hostaddr": info.hostaddr} if info.hostaddr else {}),
        "port": info.port,
        "user": info.user,
        "dbname": info.dbname,
        "password": info.password,
        "options": info.options,
    }
