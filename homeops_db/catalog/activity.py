"""Who does what at this moment: holders of an advisory lock, backends of a run."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A bigint key of pg_advisory_lock stands in pg_locks as its upper and lower half, objsubid 1
# (https://www.postgresql.org/docs/17/view-pg-locks.html).
ADVISORY_HOLDER: LiteralString = """
select a.pid, a.usename as role, a.application_name as application, a.client_addr::text as client,
       a.backend_start, a.state
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid = (%(key)s::bigint >> 32 & 4294967295)::oid
  and l.objid = (%(key)s::bigint & 4294967295)::oid
"""

BACKENDS_NAMED: LiteralString = """
select pid, usename as role, application_name as application, client_addr::text as client,
       backend_start, state
from pg_stat_activity
where datname = current_database() and application_name = %(application)s and pid <> pg_backend_pid()
order by pid
"""

# With a timeout, in ms, it waits until the backend is gone and says whether it is
# (https://www.postgresql.org/docs/17/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL).
TERMINATE: LiteralString = "select pg_terminate_backend(%(pid)s, %(wait_ms)s)"


@dataclass(frozen=True)
class Backend:
    """One server process and the client behind it."""

    pid: int
    role: str | None
    application: str
    client: str | None
    backend_start: datetime
    state: str | None


def advisory_holder(connection: Connection, key: int) -> Backend | None:
    """Read who holds the session-level advisory lock ``key`` in this database, if anyone."""
    with connection.cursor(row_factory=class_row(Backend)) as cursor:
        return cursor.execute(ADVISORY_HOLDER, {"key": key}).fetchone()


def backends_named(connection: Connection, application: str) -> list[Backend]:
    """Read this database's other backends with exactly this application_name."""
    with connection.cursor(row_factory=class_row(Backend)) as cursor:
        return cursor.execute(BACKENDS_NAMED, {"application": application}).fetchall()


def terminate(connection: Connection, pid: int, *, wait_ms: int) -> bool:
    """End a backend and wait until it is gone.

    Args:
        connection: Must belong to the backend's own role, or to pg_signal_backend.
        pid: Its process id.
        wait_ms: How long to wait, in milliseconds.

    Returns:
        Whether it is gone.

    Raises:
        psycopg.errors.InsufficientPrivilege: It belongs to another role.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(TERMINATE, {"pid": pid, "wait_ms": wait_ms}).fetchone())
