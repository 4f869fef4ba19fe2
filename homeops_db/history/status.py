"""The state of one database against the revisions on disk: what is pending, what drifted, what failed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from homeops_db.catalog import server
from homeops_db.catalog.server import Server
from homeops_db.history import backfill_standing, changes, ledger, lock
from homeops_db.history.backfill_standing import Standing
from homeops_db.history.changes import Change
from homeops_db.history.ledger import Event, VersionRow
from homeops_db.history.lock import Holder
from homeops_db.history.scripts import Revision
from homeops_db.naming import EXTENSIONS, GROUPS, SCHEMAS

LAST_RUNS: Final = 5

Reason = Literal["edited", "no file", "not in the ledger", "not applied"]


@dataclass(frozen=True)
class Drift:
    """A version on which disk, ledger and Alembic's own table don't agree."""

    version: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.version}: {_EXPLAINED[self.reason]}"


@dataclass(frozen=True)
class Status:
    """Everything that `homeops-db status` shows.

    ``backfills`` and ``changes`` are None where our role may not see them.
    """

    server: Server
    current: str | None
    head: str | None
    pending: list[Revision]
    drift: list[Drift]
    failed: list[str]
    extensions: dict[str, str | None]
    timescaledb: str | None
    missing_roles: tuple[str, ...]
    lock: Holder | None
    runs: list[Event]
    backfills: list[Standing] | None
    changes: list[Change] | None

    @property
    def exit_code(self) -> int:
        """0 clean, 1 pending, 3 drift or a failed revision."""
        if self.drift or self.failed:
            return 3
        return 1 if self.pending else 0


_EXPLAINED: Final[dict[Reason, str]] = {
    "edited": "its file was edited after it was applied",
    "no file": "applied, but there is no such file",
    "not in the ledger": "alembic_version says it stands, the ledger doesn't",
    "not applied": "the ledger says applied, alembic_version doesn't",
}


def read(connection: Connection, revisions: Sequence[Revision]) -> Status:
    """Read the state of a database. Takes no lock, needs no privilege beyond reading ``migrations``.

    Args:
        connection: Autocommit.
        revisions: All revisions on disk, first to head.
    """
    ready = ledger.is_ready(connection)
    current = ledger.current(connection)
    rows = ledger.versions(connection) if ready else []
    standing = ledger.lineage(revisions, current)
    holder = lock.holder(connection)
    installed = server.extensions(connection, EXTENSIONS)
    roles = server.roles_with_usage(connection, GROUPS, SCHEMAS[0])
    return Status(
        server=server.server(connection),
        current=current,
        head=revisions[-1].version if revisions else None,
        pending=[revision for revision in revisions if revision.version not in standing],
        drift=list(_drift(revisions, rows, standing, current)) if ready or current else [],
        failed=list(_failed(connection, rows, revisions, holder)) if ready else [],
        extensions={name: installed[name].installed if name in installed else None for name in EXTENSIONS},
        timescaledb=server.timescaledb_license(connection),
        missing_roles=tuple(name for name in GROUPS if name not in roles),
        lock=holder,
        runs=ledger.events(connection, limit=LAST_RUNS, ended=True) if ready else [],
        backfills=_backfills(connection),
        changes=_changes(connection),
    )


def _backfills(connection: Connection) -> list[Standing] | None:
    """Read those that are open. A role may have been granted the older tables of the ledger alone."""
    try:
        return backfill_standing.still_open(connection)
    except InsufficientPrivilege:
        return None


def _changes(connection: Connection) -> list[Change] | None:
    """Read the type changes that are open, as above."""
    try:
        return changes.still_open(connection)
    except InsufficientPrivilege:
        return None


def _failed(
    connection: Connection, rows: Sequence[VersionRow], revisions: Sequence[Revision], holder: Holder | None
) -> Iterator[str]:
    """Name what failed, and what died without a word: started, not ended, and nobody holds the lock."""
    failed = {row.version for row in rows if row.status == "failed"}
    failed.update(ledger.half_taken_back(connection))
    if holder is None or not holder.alive:
        failed.update(ledger.unfinished(connection))
    # A failed revision that was given another version, or was given up, is history.
    yield from (revision.version for revision in revisions if revision.version in failed)


def _drift(
    revisions: Sequence[Revision], rows: Sequence[VersionRow], standing: Sequence[str], current: str | None
) -> Iterator[Drift]:
    on_disk = {revision.version: revision for revision in revisions}
    applied = {row.version: row for row in rows if row.status == "applied"}
    if current is not None and current not in on_disk:
        # Without its file nobody can tell what stands: one line says it all.
        yield Drift(current, "no file")
        return
    for version, row in applied.items():
        if version not in on_disk:
            yield Drift(version, "no file")
        elif version not in standing:
            yield Drift(version, "not applied")
        elif row.checksum != on_disk[version].checksum:
            yield Drift(version, "edited")
    for version in standing:
        if version not in applied:
            yield Drift(version, "not in the ledger")
