"""One deploy: lock, backup, apply revision by revision, validate, unlock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.backup import dump
from homeops_db.catalog import relations, server
from homeops_db.errors import NotAsExpectedError
from homeops_db.history import lock, scripts, status, target
from homeops_db.history.lock import MigrationLock
from homeops_db.history.scripts import Revision
from homeops_db.localdb import clients
from homeops_db.naming import SCHEMAS
from homeops_db.settings import PROJECT_ROOT, Settings

Announce = Callable[[str], None]
"""Told what begins, in a few words."""


@dataclass(frozen=True)
class Step:
    """One step that was done. ``seconds`` is its duration."""

    name: str
    result: str
    seconds: float


@dataclass
class Deploy:
    """What a deploy did, step by step."""

    settings: Settings
    url: URL
    announce: Announce
    steps: list[Step] = field(default_factory=list)
    backup: Path | None = None

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do a step and time it; the work says what came of it."""
        self.announce(name)
        began = time.monotonic()
        result = work()
        self.steps.append(Step(name, result, time.monotonic() - began))


def deploy(settings: Settings, url: URL, *, to: str = "head", announce: Announce) -> Deploy:
    """Bring a database to a version, with a backup taken first.

    Every revision takes the locks that it says; the backup takes ACCESS SHARE on all tables. A
    re-run takes a new backup and goes on with what is still pending.

    Args:
        settings: Environment and timeouts.
        url: The database.
        to: An exact version, or head.
        announce: Told of each step as it begins.

    Raises:
        LockError: Another run is at work; nothing was changed.
        BackupError: No backup, so nothing was changed.
        RevisionFailedError: The revision was rolled back, those before it stay, the backup stays.
        NotAsExpectedError: All was applied, and the check afterwards found something.
    """
    revisions = scripts.read()
    target.refuse_inexact(to, [revision.version for revision in revisions])
    run = Deploy(settings, url, announce)
    with lock.held(url, settings, reason=f"deploy {settings.environment} to {to}") as held:
        before = status.read(held.connection, revisions)
        pending = _up_to(before.pending, to)
        expected = pending[-1].version if pending else before.current
        run.step("backup", lambda: _take_backup(run, held.connection, before.current))
        for revision in pending:
            run.step(f"apply {revision.version}", partial(_apply, run, held, revision))
        run.step("validate", lambda: _validate(held.connection, revisions, expected))
    return run


def roll_back(settings: Settings, url: URL, *, to: str, accept_data_loss: bool) -> list[str]:
    """Downgrade to a version under the migration lock.

    Args:
        settings: In production, a downgrade must be told that it may lose data.
        url: The database.
        to: An exact version, or base.
        accept_data_loss: Whether it was told so.

    Returns:
        The versions that were taken back, newest first.

    Raises:
        PolicyError: Production, and not told.
        LockError: Another run is at work.
        RevisionFailedError: A downgrade failed and was rolled back; those before it stay.
    """
    with lock.held(url, settings, reason=f"rollback to {to}") as held:
        planned = to_take_back(held.connection, to)
        config = _alembic(held, url, settings)
        config.attributes["accept_data_loss"] = accept_data_loss
        command.downgrade(config, to)
    return planned


def to_take_back(connection: Connection, to: str) -> list[str]:
    """Name the versions that a rollback to ``to`` takes back, newest first.

    Raises:
        TargetError: ``to`` isn't an exact version on disk, or base.
    """
    revisions = scripts.read()
    target.refuse_inexact(to, [revision.version for revision in revisions])
    standing = [r.version for r in revisions if r not in status.read(connection, revisions).pending]
    kept = standing.index(to) + 1 if to in standing else 0
    return standing[kept:][::-1] if to in {*standing, "base"} else []


def _take_backup(run: Deploy, connection: Connection, current: str | None) -> str:
    here = server.server(connection)
    bin_folder = clients.find(run.settings, server_version_num=here.version_num)
    run.backup = dump.create(
        run.url,
        run.settings.backup_folder,
        bin_folder=bin_folder,
        server_version=here.version,
        version=current,
    )
    dump.verify(run.backup, bin_folder=bin_folder)
    return str(run.backup)


def _apply(run: Deploy, held: MigrationLock, revision: Revision) -> str:
    command.upgrade(_alembic(held, run.url, run.settings), revision.version)
    return revision.description


def _validate(connection: Connection, revisions: list[Revision], expected: str | None) -> str:
    found = status.read(connection, revisions)
    problems = [str(drift) for drift in found.drift]
    problems += [f"{row.version} is recorded as failed" for row in found.failed]
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
    if to == "head":
        return pending
    versions = [revision.version for revision in pending]
    return pending[: versions.index(to) + 1] if to in versions else []


def _alembic(held: MigrationLock, url: URL, settings: Settings) -> Config:
    config = Config(PROJECT_ROOT / "alembic.ini")
    config.attributes.update(migration_lock=held, url=url, settings=settings)
    return config
