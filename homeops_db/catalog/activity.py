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

# pg_terminate_backend with a timeout waits until the backend is gone; in ms
# (https://www.postgresql.org/docs/17/functions-admin.html).
TERMINATE_APPLICATION: LiteralString = """
-- Materialized: flattened into one WHERE, the planner may terminate first and compare names afterwards.
with meant as materialized (
    select pid from pg_stat_activity
    where datname = current_database() and application_name = %(application)s and pid <> pg_backend_pid()
)
select pid from meant where pg_terminate_backend(pid, %(wait_ms)s)
"""


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


def terminate_application(connection: Connection, application: str, *, wait_ms: int) -> list[int]:
    """End this database's backends named ``application`` and wait until they are gone.

    Args:
        connection: Must belong to the same role as those backends, or to pg_signal_backend.
        application: The exact application_name.
        wait_ms: How long to wait for each, in milliseconds.

    Returns:
        The process ids that were ended.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            TERMINATE_APPLICATION, {"application": application, "wait_ms": wait_ms}
        ).fetchall()
