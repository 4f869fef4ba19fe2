"""One deploy: preflight, lock, backup, apply revision by revision, validate, unlock."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.backup import dump
from homeops_db.catalog import relations, server
from homeops_db.errors import BackupError, LocalServerError, NotAsExpectedError, PreflightError, TargetError
from homeops_db.history import lock, mark, scripts, status, target
from homeops_db.history.lock import MigrationLock
from homeops_db.history.scripts import Revision
from homeops_db.history.status import Status
from homeops_db.localdb import clients
from homeops_db.localdb.progress import Progress, silent
from homeops_db.naming import SCHEMAS
from homeops_db.settings import PROJECT_ROOT, Settings


@dataclass(frozen=True)
class Step:
    """One step that was done. ``seconds`` is its duration."""

    name: str
    result: str
    seconds: float


@dataclass(frozen=True)
class Deploy:
    """One run, and what was done of it; ``announce`` is told of each step's begin and end."""

    settings: Settings
    url: URL
    steps: list[Step]
    announce: Callable[[str], None]

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do a step and time it; the work says what came of it."""
        self.announce(f"{name} …")
        began = time.monotonic()
        result = work()
        self.steps.append(Step(name, result, time.monotonic() - began))
        self.announce(f"{name}: {result}")


def deploy(run: Deploy, *, to: str = "head", progress: Progress = silent) -> None:
    """Bring a database to a version, with a backup taken first.

    Every revision takes the locks that it says; the backup takes ACCESS SHARE on all tables. A
    re-run takes a new backup and goes on with what is still pending.

    Args:
        run: Environment, timeouts and database. Its ``steps`` are filled as they are done, so that
            they are known when one fails.
        to: An exact version, or head.
        progress: Told about a download of pg_dump, where the machine has none that serves.

    Raises:
        TargetError: There is no such version, or it lies behind; nothing was changed.
        PolicyError: The database runs as another environment; nothing was changed.
        PreflightError: Disk and ledger disagree; nothing was changed.
        LockError: Another run is at work; nothing was changed.
        BackupError: No backup, so nothing was changed.
        RevisionFailedError: The revision was rolled back, those before it stay, the backup stays.
        NotAsExpectedError: All was applied, and the check afterwards found something.
    """
    revisions = scripts.read()
    _refuse_inexact(to, "head", revisions)
    bin_folder = _client_programs(run, progress)
    with lock.held(run.url, run.settings, reason=f"deploy {run.settings.environment} to {to}") as held:
        before = status.read(held.connection, revisions)
        _preflight(run, held.connection, before, to, revisions)
        pending = _up_to(before.pending, to)
        expected = pending[-1].version if pending else before.current
        run.step("backup", lambda: _take_backup(run, held, before, bin_folder))
        for revision in pending:
            run.step(f"apply {revision.version}", partial(_apply, run, held, revision))
        run.step("validate", lambda: _validate(held.connection, revisions, expected))


def to_take_back(connection: Connection, to: str) -> list[str]:
    """Name the versions that a rollback to ``to`` takes back, newest first.

    Raises:
        TargetError: ``to`` isn't an exact version on disk, or base.
    """
    revisions = scripts.read()
    versions = [revision.version for revision in revisions]
    _refuse_inexact(to, "base", revisions)
    found = status.read(connection, revisions)
    target.refuse_unknown_head(found.current, versions)
    pending = {revision.version for revision in found.pending}
    standing = [revision.version for revision in revisions if revision.version not in pending]
    if to == "base":
        return standing[::-1]
    return standing[standing.index(to) + 1 :][::-1] if to in standing else []


def roll_back(settings: Settings, url: URL, *, to: str, planned: list[str], accept_data_loss: bool) -> None:
    """Downgrade to a version under the migration lock.

    Args:
        settings: In production, a downgrade must be told that it may lose data.
        url: The database.
        to: An exact version, or base.
        planned: What `to_take_back` said and the user agreed to.
        accept_data_loss: Whether it was told so.

    Raises:
        PreflightError: What would be taken back isn't what was agreed to any more.
        PolicyError: Production, and not told.
        LockError: Another run is at work.
        RevisionFailedError: A downgrade failed and was rolled back; those before it stay.
    """
    with lock.held(url, settings, reason=f"rollback to {to}") as held:
        now = to_take_back(held.connection, to)
        if now != planned:
            raise PreflightError(
                f"Another run came in between: this would now take back {', '.join(now) or 'nothing'}. "
                "Nothing was changed. Look with `homeops-db status`, then run the same command again."
            )
        config = _alembic(held, url, settings)
        config.attributes["accept_data_loss"] = accept_data_loss
        command.downgrade(config, to)


def _refuse_inexact(to: str, symbol: str, revisions: list[Revision]) -> None:
    """Alembic's relative and symbolic targets leave room for a mistake; here there is none."""
    versions = [revision.version for revision in revisions]
    if to not in {symbol, *versions}:
        raise TargetError(
            f"{to} is neither {symbol} nor a version on disk. Nothing was changed. "
            f"The newest are {', '.join(versions[-5:])}."
        )


def _client_programs(run: Deploy, progress: Progress) -> Path:
    """Find pg_dump before anybody has to wait for us."""
    with database.connect(run.url, run.settings, application="homeops-db deploy") as connection:
        version_num = server.server(connection).version_num
    try:
        return clients.find(run.settings, server_version_num=version_num, progress=progress)
    except LocalServerError as error:
        raise BackupError(f"There is no pg_dump for this server, so no backup: {error}") from None


def _preflight(
    run: Deploy, connection: Connection, before: Status, to: str, revisions: list[Revision]
) -> None:
    mark.refuse_other_environment(connection, run.settings.environment, what="this deploy")
    if before.drift:
        raise PreflightError(
            f"Disk and ledger disagree: {'; '.join(map(str, before.drift))}. Nothing was changed. "
            "Restore the files as they were applied, or use the checkout that they come from."
        )
    if to in {revision.version for revision in revisions} - {revision.version for revision in before.pending}:
        target.refuse_unreached(to, before.current, [revision.version for revision in revisions])


def _take_backup(run: Deploy, held: MigrationLock, before: Status, bin_folder: Path) -> str:
    backup = dump.create(
        run.url,
        run.settings.backup_folder,
        bin_folder=bin_folder,
        server_version=before.server.version,
        version=before.current,
        application=held.application,
    )
    dump.verify(backup, bin_folder=bin_folder)
    return str(backup)


def _apply(run: Deploy, held: MigrationLock, revision: Revision) -> str:
    command.upgrade(_alembic(held, run.url, run.settings), revision.version)
    return revision.description


def _validate(connection: Connection, revisions: list[Revision], expected: str | None) -> str:
    found = status.read(connection, revisions)
    problems = [str(drift) for drift in found.drift]
    problems += [f"index {index} is INVALID" for index in relations.invalid_indexes(connection, SCHEMAS)]
    if found.current != expected:
        problems.append(f"the version is {found.current}, not {expected}")
    if problems:
        raise NotAsExpectedError(
            f"The database isn't as it should be: {'; '.join(problems)}. The backup and every applied "
            "revision stay. Look with `homeops-db status`, mend it, and run the deploy again."
        )
    return f"at {expected}, ledger true, nothing INVALID"


def _up_to(pending: list[Revision], to: str) -> list[Revision]:
    versions = [revision.version for revision in pending]
    return pending[: versions.index(to) + 1] if to in versions else pending if to == "head" else []


def _alembic(held: MigrationLock, url: URL, settings: Settings) -> Config:
    config = Config(PROJECT_ROOT / "alembic.ini")
    config.attributes.update(migration_lock=held, url=url, settings=settings)
    return config
