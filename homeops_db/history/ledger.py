"""The ledger in schema ``migrations``: which version stands, and everything that ever happened.

``schema_versions`` has one row a version, written in the revision's own transaction: it can't disagree with
``alembic_version``. What no transaction can record (a start) goes through the lock's autocommit connection.
"""

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import class_row, scalar_row

from homeops_db.catalog import relations, server
from homeops_db.errors import DatabaseError
from homeops_db.history import backfills, changes
from homeops_db.history.scripts import Revision
from homeops_db.naming import LEDGER_SCHEMA

DDL: Final = "\n".join(
    [backfills.DDL, changes.DDL, Path(__file__).with_name("ledger.sql").read_text(encoding="utf-8")]
)
_FORMATS: Final = tuple(f"HomeOps ledger, format {number}" for number in (1, 2, 3, 4))

# Statements with :names run inside the revision's transaction, or are written out by --sql; there
# the server's own clock measures the revision, because nothing else is there when it runs.
APPLY: Final = """
insert into migrations.schema_versions as v
    (version, description, migration_file, rollback_file, applied_at, applied_by, execution_time_ms,
     checksum, status)
values (:version, :description, :file, :rollback_file, clock_timestamp(), current_user,
        coalesce(:ms, cast(extract(epoch from clock_timestamp() - now()) * 1000 as integer)),
        :checksum, 'applied')
on conflict (version) do update
set description = excluded.description, migration_file = excluded.migration_file,
    rollback_file = excluded.rollback_file, applied_at = excluded.applied_at,
    applied_by = excluded.applied_by, execution_time_ms = excluded.execution_time_ms,
    checksum = excluded.checksum, status = excluded.status
"""
ROLL_BACK: Final = "update migrations.schema_versions set status = 'rolled_back' where version = :version"
EVENT: Final = """
insert into migrations.schema_events (version, direction, event, client, run_id, execution_time_ms, checksum)
values (:version, :direction, :event, :client, :run_id,
        coalesce(:ms, cast(extract(epoch from clock_timestamp() - now()) * 1000 as integer)),
        :checksum)
"""

_EVENT_NOW: LiteralString = """
insert into migrations.schema_events
    (version, direction, event, client, run_id, execution_time_ms, checksum, detail)
values (%(version)s, %(direction)s, %(event)s, %(client)s, %(run_id)s, %(ms)s, %(checksum)s, %(detail)s)
"""
# A version that stands keeps its row when something fails: a failed downgrade leaves it applied.
_STATE: LiteralString = """
insert into migrations.schema_versions as v
    (version, description, migration_file, rollback_file, applied_at, applied_by, execution_time_ms,
     checksum, status)
values (%(version)s, %(description)s, %(file)s, %(rollback_file)s, clock_timestamp(), current_user,
        %(ms)s, %(checksum)s, %(status)s)
on conflict (version) do update
set description = excluded.description, migration_file = excluded.migration_file,
    rollback_file = excluded.rollback_file, applied_at = excluded.applied_at,
    applied_by = excluded.applied_by, execution_time_ms = excluded.execution_time_ms,
    checksum = excluded.checksum, status = excluded.status
where v.status <> 'applied'
"""
_ROLL_BACK_NOW: LiteralString = (
    "update migrations.schema_versions set status = 'rolled_back' where version = %s"
)
_BEGUN: LiteralString = """
select exists (
    select from migrations.schema_events
    where version = %(version)s and event = 'step' and detail::jsonb @> %(step)s::jsonb
      and id > coalesce((select max(id) from migrations.schema_events
                         where version = %(version)s and event in ('finished', 'stamped')), 0))
"""
_UNFINISHED: LiteralString = """
select version, direction
from (select distinct on (version) version, direction, event
      from migrations.schema_events where event <> 'step' order by version, id desc) latest
where event = 'started'
"""
# A downgrade that was killed, or failed behind a step of its own, may have taken half of a version away.
_HALF_TAKEN_BACK: LiteralString = """
select version
from (select distinct on (version) version, direction, event, id
      from migrations.schema_events where event <> 'step' order by version, id desc) latest
where direction = 'downgrade'
  and (event = 'interrupted'
       or event = 'failed'
          and exists (select from migrations.schema_events s
                      where s.version = latest.version and s.event = 'step' and s.id < latest.id
                        and s.id > (select max(b.id) from migrations.schema_events b
                                    where b.version = latest.version and b.event = 'started')))
"""
_VERSIONS: LiteralString = """
select version, description, migration_file, rollback_file, applied_at, applied_by, execution_time_ms,
       checksum, status
from migrations.schema_versions order by id
"""
_EVENTS: LiteralString = """
select occurred_at, version, direction, event, actor, client, execution_time_ms, detail
from migrations.schema_events
where not %(ended)s or event not in ('started', 'step')
order by id desc limit %(limit)s
"""
_HEAD: LiteralString = "select version_num from migrations.alembic_version"


@dataclass(frozen=True)
class VersionRow:
    """One row of ``migrations.schema_versions``. ``execution_time_ms`` is 0 for a stamped version."""

    version: str
    description: str
    migration_file: str
    rollback_file: str | None
    applied_at: datetime
    applied_by: str
    execution_time_ms: int | None
    checksum: str
    status: str


@dataclass(frozen=True)
class Event:
    """One row of ``migrations.schema_events``, newest first where they come as a list."""

    occurred_at: datetime
    version: str
    direction: str
    event: str
    actor: str
    client: str | None
    execution_time_ms: int | None
    detail: str | None


def client() -> str:
    """Say who runs this process: system user, host and process id."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


def is_ready(connection: Connection) -> bool:
    """Tell whether this database has the ledger, in a format that can be read. Takes no lock."""
    return server.schema_comment(connection, LEDGER_SCHEMA) in _FORMATS


def ensure(connection: Connection) -> None:
    """Make the ledger's schema and tables where they are missing or older; a re-run changes nothing.

    Only ever called by the holder of the migration lock. Takes ACCESS EXCLUSIVE on the tables that
    it makes, and none where the ledger is ready.

    Raises:
        DatabaseError: The server is a standby, or the role may not make the schema.
    """
    if server.schema_comment(connection, LEDGER_SCHEMA) == _FORMATS[-1]:
        return
    here = server.server(connection)
    if here.in_recovery:
        raise DatabaseError(
            f"{here.database} at {here.address} is a standby and can't be changed. Connect to the primary."
        )
    try:
        with connection.transaction():
            connection.execute(DDL.encode())
    except InsufficientPrivilege as error:
        raise DatabaseError(
            f"Role {here.role} may not make the schema {LEDGER_SCHEMA} in database {here.database}: "
            f"{error.diag.message_primary}. Nothing was changed. As its owner, run: "
            f'GRANT CREATE ON DATABASE "{here.database}" TO "{here.role}";'
        ) from None


def current(connection: Connection) -> str | None:
    """Read the version that stands, from Alembic's own table; None in an empty database.

    Raises:
        DatabaseError: The table was changed by hand and names several.
    """
    if not relations.exists(connection, f"{LEDGER_SCHEMA}.alembic_version"):
        return None
    with connection.cursor(row_factory=scalar_row) as cursor:
        heads: list[str] = cursor.execute(_HEAD).fetchall()
    if len(heads) > 1:
        raise DatabaseError(
            f"migrations.alembic_version names {', '.join(sorted(heads))}, and the history is one line. "
            "Nothing was changed. Find out which stands, then run: alembic stamp --purge VERSION"
        )
    return heads[0] if heads else None


def versions(connection: Connection) -> list[VersionRow]:
    """Read the ledger, in the order in which versions first came."""
    with connection.cursor(row_factory=class_row(VersionRow)) as cursor:
        return cursor.execute(_VERSIONS).fetchall()


def events(connection: Connection, *, limit: int, ended: bool = False) -> list[Event]:
    """Read the newest events, newest first; ``ended`` leaves the starts out."""
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(_EVENTS, {"limit": limit, "ended": ended}).fetchall()


def unfinished(connection: Connection) -> list[str]:
    """Name the versions whose last event is a start: a run is at work on them, or died."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(_UNFINISHED).fetchall()


def half_taken_back(connection: Connection) -> list[str]:
    """Name versions that stand, though a downgrade of them has begun and not ended. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(_HALF_TAKEN_BACK).fetchall()


def record_event(
    connection: Connection,
    version: str,
    direction: str,
    event: str,
    *,
    run_id: str,
    ms: int | None = None,
    checksum: str | None = None,
    detail: str | None = None,
) -> None:
    """Append an event at once, on an autocommit connection."""
    connection.execute(
        _EVENT_NOW,
        {
            "version": version,
            "direction": direction,
            "event": event,
            "client": client(),
            "run_id": run_id,
            "ms": ms,
            "checksum": checksum,
            "detail": detail,
        },
    )


def step_begun(connection: Connection, version: str, step: Mapping[str, Any]) -> bool:
    """Tell whether a run of this version began this step since the version last came to an end."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(_BEGUN, {"version": version, "step": json.dumps(step)}).fetchone())


def record_failure(
    connection: Connection, revision: Revision, direction: str, *, ms: int | None = None
) -> None:
    """Mark an upgrade that failed; a version that stands keeps its row."""
    if direction == "upgrade":
        connection.execute(_STATE, {**row_of(revision), "ms": ms, "status": "failed"})


def reconcile(connection: Connection, revisions: Sequence[Revision], *, run_id: str) -> None:
    """Bring the ledger in line with what a killed or purged run left; a re-run changes nothing.

    A revision that was started and never ended is recorded as interrupted. Versions that
    ``alembic_version`` says stand become applied, the others that were applied become rolled back:
    so it can be told from the ledger what `alembic stamp --purge` did. Where the head has no file here,
    this checkout is older than the database, and knows nothing: no row is restated.
    """
    by_version = {revision.version: revision for revision in revisions}
    head = current(connection)
    standing = set(lineage(revisions, head))
    with connection.transaction(), connection.cursor() as cursor:
        for version, direction in cursor.execute(_UNFINISHED).fetchall():
            record_event(connection, version, direction, "interrupted", run_id=run_id)
            if version in by_version and version not in standing:
                record_failure(connection, by_version[version], direction)
        if head is not None and head not in by_version:
            return
        applied = {row.version for row in versions(connection) if row.status == "applied"}
        for version, direction in _differences(applied, standing):
            if version in by_version:
                _restate(connection, by_version[version], direction)
                record_event(connection, version, direction, "stamped", run_id=run_id)


def lineage(revisions: Sequence[Revision], head: str | None) -> list[str]:
    """List the versions that stand when ``head`` does; empty for None or a head without a file."""
    line = [revision.version for revision in revisions]
    return line[: line.index(head) + 1] if head in line else []


def row_of(revision: Revision) -> dict[str, Any]:
    """Name the values of a revision's row."""
    return {
        "version": revision.version,
        "description": revision.description,
        "file": revision.file,
        "rollback_file": revision.rollback_file,
        "checksum": revision.checksum,
    }


def _differences(applied: set[str], standing: set[str]) -> Iterator[tuple[str, str]]:
    yield from ((version, "upgrade") for version in sorted(standing - applied))
    yield from ((version, "downgrade") for version in sorted(applied - standing))


def _restate(connection: Connection, revision: Revision, direction: str) -> None:
    if direction == "upgrade":
        connection.execute(_STATE, {**row_of(revision), "ms": 0, "status": "applied"})
    else:
        connection.execute(_ROLL_BACK_NOW, (revision.version,))
