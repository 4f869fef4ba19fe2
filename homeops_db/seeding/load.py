"""One seeding run: the checks, then each file in a transaction of its own, under the migration lock."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import Connection, sql
from psycopg.rows import scalar_row
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.catalog import server
from homeops_db.history import lock, mark, scripts
from homeops_db.history.lock import MigrationLock
from homeops_db.seeding import bulk, files, policy, script
from homeops_db.seeding.failure import failure, server_reason
from homeops_db.seeding.files import SeedFile
from homeops_db.seeding.script import Statement
from homeops_db.settings import Environment, Settings

_RECORDED: LiteralString = "select checksum from migrations.seed_runs where file = %s"
_RECORD: Final = """
insert into migrations.seed_runs as r (file, environment, checksum, rows_changed, execution_time_ms)
values (%(file)s, %(environment)s, %(checksum)s, %(rows)s, %(ms)s)
on conflict (file) do update
set environment = excluded.environment, checksum = excluded.checksum, rows_changed = excluded.rows_changed,
    execution_time_ms = excluded.execution_time_ms, ran_at = excluded.ran_at, ran_by = excluded.ran_by
"""


@dataclass(frozen=True)
class FileResult:
    """What one file did.

    Attributes:
        execution_time_ms: In milliseconds.
        needs: The later version that it is written for, where it was left out for that.
    """

    file: str
    rows_changed: int
    execution_time_ms: int
    needs: str | None = None

    @property
    def unchanged(self) -> bool:
        """Whether everything was there already."""
        return self.rows_changed == 0 and self.needs is None


@dataclass(frozen=True)
class _Run:
    connection: Connection
    environment: Environment
    migration_lock: MigrationLock


def seed(
    url: URL,
    settings: Settings,
    *,
    environment: Environment | None = None,
    folder: Path = files.SEEDS_FOLDER,
    migration_lock: MigrationLock | None = None,
    announce: Callable[[str], object] = lambda _file: None,
) -> list[FileResult]:
    """Run the seeds of an environment: ``common`` first, then its own, every file every time.

    Files that need a later version than the database's are left out.

    Each file is one transaction and is recorded in it. A run that finds everything in place writes
    nothing, not even its record. All files are read and parsed before the first one runs. Takes
    the migration lock for the whole run, and on the tables what the files' statements take.

    Args:
        url: The database, at any version.
        settings: Policy and timeouts.
        environment: Whose seeds, where not the settings' own; see `policy.chosen`.
        folder: Holds the four folders of seeds.
        migration_lock: The lock, where the caller holds it already.
        announce: Called with each file's name before it runs.

    Raises:
        PolicyError: The environment forbids these seeds, or the database runs as another one.
        SeedError: A file failed and left nothing; files before it stay. Or the database has no schema yet.
        LockError: Another run holds the migration lock.
        DatabaseError: The server doesn't answer.
    """
    wanted = policy.chosen(settings, environment)
    readied = [(file, _read(file)) for file in files.read(wanted, folder)]
    revisions = scripts.read()
    with database.connect(url, settings, application="homeops-db seed") as connection:
        # Before the lock, because taking it makes the ledger in an empty database.
        policy.refuse_other_version(connection, revisions)
    with (
        _held(url, settings, wanted, migration_lock) as held,
        database.connect(url, settings, application=held.application) as connection,
    ):
        version = policy.refuse_other_version(connection, revisions)
        mark.refuse_other_environment(connection, wanted, what=f"seeding it as {wanted}")
        # Statements that psycopg had prepared would be gone after the DISCARD between two files.
        connection.prepare_threshold = None
        run = _Run(connection, wanted, held)
        return [
            _run_file(run, file, statements, announce)
            if policy.suits(file, version)
            else FileResult(file.name, 0, 0, needs=file.since)
            for file, statements in readied
        ]


def _held(
    url: URL, settings: Settings, environment: Environment, outer: MigrationLock | None
) -> AbstractContextManager[MigrationLock]:
    return nullcontext(outer) if outer else lock.held(url, settings, reason=f"{environment} seeds")


def _read(file: SeedFile) -> list[Statement]:
    if file.table is None:
        return script.read(file)
    bulk.columns(file)
    return []


def _run_file(
    run: _Run, file: SeedFile, statements: list[Statement], announce: Callable[[str], object]
) -> FileResult:
    announce(file.name)
    began = time.monotonic()
    connection = run.connection
    try:
        with connection.transaction():
            _find_extensions(connection)
            rows = (
                script.run(connection, file, statements) if file.table is None else bulk.run(connection, file)
            )
            result = FileResult(file.name, rows, round((time.monotonic() - began) * 1000))
            _record(run, file, result)
            run.migration_lock.assert_held()
        # What a file SET or made as a temporary table must not reach the next one.
        connection.execute("DISCARD ALL")
    except psycopg.Error as error:
        raise failure(file, None, "", server_reason(error)) from error
    return result


def _find_extensions(connection: Connection) -> None:
    """Make crypt() and the like findable: an extension may live in another schema than public."""
    path = ["pg_catalog", "public", *server.extension_schemas(connection), "pg_temp"]
    connection.execute(
        sql.SQL("SET LOCAL search_path TO {}").format(
            sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys(path)))
        )
    )


def _record(run: _Run, file: SeedFile, result: FileResult) -> None:
    """Write the file's row, unless it would say the same again: a run without effect leaves no trace."""
    checksum = file.checksum()
    with run.connection.cursor(row_factory=scalar_row) as cursor:
        recorded = cursor.execute(_RECORDED, (file.name,)).fetchone()
        if result.unchanged and recorded == checksum:
            return
        cursor.execute(
            _RECORD,
            {
                "file": file.name,
                "environment": run.environment,
                "checksum": checksum,
                "rows": result.rows_changed,
                "ms": result.execution_time_ms,
            },
        )
