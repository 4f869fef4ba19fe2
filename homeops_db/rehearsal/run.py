"""A rehearsal, from the empty database to the last revision."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.catalog import server
from homeops_db.catalog.shapes import Shape, shapes
from homeops_db.errors import HomeOpsError, TargetError
from homeops_db.history import lock, scripts
from homeops_db.history.lock import MigrationLock
from homeops_db.history.scripts import Revision
from homeops_db.history.target import Show
from homeops_db.history.versions import FIRST
from homeops_db.localdb.progress import Progress, silent
from homeops_db.naming import SCHEMAS
from homeops_db.rehearsal import fill, generated, scratch, sizes, workload
from homeops_db.rehearsal.generated import Sum
from homeops_db.rehearsal.observer import Held, Observer, observing
from homeops_db.rehearsal.worker import Request
from homeops_db.rehearsal.workload import Workload
from homeops_db.settings import PROJECT_ROOT, Settings

APPLICATION: Final = "homeops-db rehearse"
_BEFORE: Final = 0.2
"""Seconds of traffic before a revision begins."""


@dataclass(frozen=True)
class Order:
    """What is asked for. ``folder`` has the revisions."""

    settings: Settings
    rows: int
    seed: int = 1
    to: str = "head"
    database: str = scratch.NAME
    keep: bool = False
    folder: Path = scripts.VERSIONS_FOLDER


@dataclass(frozen=True)
class Result:
    """What one revision cost, and whether anybody had harm of it.

    Attributes:
        version: The revision's.
        description: Its first line.
        seconds: How long it took.
        locks: The strongest lock that was seen on each table of before, and how long it was held.
        worst: The request that waited longest; None where there was none.
        requests: How many were sent, from shortly before the revision to shortly after.
        failed: What failed, and how often.
        retried: What was repeated once, as documented, and how often.
        rows: How many rows were compared.
        wrong: What isn't as it should be, a line for each table.
        error: Why the revision itself failed.
    """

    version: str
    description: str
    seconds: float
    locks: list[Held]
    worst: Request | None
    requests: int
    failed: Counter[str]
    retried: Counter[str]
    rows: int
    wrong: list[str]
    error: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether no request failed and every row is as it should be."""
        return not (self.failed or self.wrong or self.error)


@dataclass
class Rehearsal:
    """One rehearsal, and what came of it. What is done is known also when it breaks off."""

    order: Order
    show: Show
    server_version: str = ""
    filled_seconds: float = 0.0
    results: list[Result] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all revisions ran without harm."""
        return all(result.is_good for result in self.results)


def rehearse(rehearsal: Rehearsal, *, progress: Progress = silent) -> None:
    """Build v1.0.0 in a scratch database, fill it, and migrate it under traffic; stop where a revision fails.

    Args:
        rehearsal: Its ``results`` are filled as revisions are done.
        progress: Told about a start of the local server.

    Raises:
        PolicyError: A database is named, or the scratch database isn't ours; nothing was changed.
        TargetError: There is no such version; nothing was changed.
        LocalServerError: The local server can't be had.
    """
    order = rehearsal.order
    settings = scratch.settings_of(order.settings)
    pending = _pending(scripts.read(order.folder), order.to)
    with (
        scratch.made(settings, order.database, keep=order.keep, progress=progress) as url,
        lock.held(url, settings, reason=f"rehearsal to {order.to}") as held,
        # Not the lock's own connection: its heartbeat would wait behind what is asked on it.
        _connected(url, settings) as connection,
    ):
        rehearsal.server_version = server.server(connection).version
        upgrade = _Upgrade(url, settings, held, order.folder, rehearsal.show)
        upgrade.to(FIRST, share=0.0, part=0.0)
        spread = sizes.sizes(order.rows)
        began = time.monotonic()
        fill.fill(connection, spread, seed=order.seed, show=rehearsal.show)
        rehearsal.filled_seconds = time.monotonic() - began
        with (
            workload.at_work(url, connection, seed=order.seed) as clients,
            observing(url, settings, held.application) as observer,
        ):
            stage = _Stage(rehearsal, connection, clients, observer, upgrade, spread)
            stage.play(pending)


def _pending(revisions: list[Revision], to: str) -> list[Revision]:
    versions = [revision.version for revision in revisions]
    if to not in {"head", *versions}:
        raise TargetError(
            f"{to} is neither head nor a version on disk. Nothing was changed. "
            f"The newest are {', '.join(versions[-5:])}."
        )
    last = len(versions) if to == "head" else versions.index(to) + 1
    return revisions[1:last]


@contextmanager
def _connected(url: URL, settings: Settings) -> Iterator[Connection]:
    # It outlives CREATE EXTENSION timescaledb, whose library a session loads only at its first use.
    with database.connect(url, settings, application=APPLICATION) as connection:
        yield connection


@dataclass
class _Upgrade:
    """Alembic's upgrade, one revision at a time, under the lock that we hold."""

    url: URL
    settings: Settings
    held: MigrationLock
    folder: Path
    show: Show

    def to(self, version: str, *, share: float, part: float) -> None:
        """Migrate to a version; ``part`` of everything, from ``share`` on, is this one's."""

        @contextmanager
        def shown() -> Iterator[Show]:
            yield lambda stage, done, note="": self.show(f"{version}: {stage}", share + part * done, note)

        config = Config(PROJECT_ROOT / "alembic.ini")
        config.set_main_option("version_locations", str(self.folder))
        config.attributes.update(
            migration_lock=self.held, url=self.url, settings=self.settings, show_progress=shown
        )
        command.upgrade(config, version)


@dataclass
class _Stage:
    """What stands ready when the first revision of the rehearsal begins."""

    rehearsal: Rehearsal
    connection: Connection
    clients: Workload
    observer: Observer
    upgrade: _Upgrade
    sizes: dict[str, int]
    shapes: list[Shape] = field(init=False)
    before: dict[str, Sum] = field(init=False)

    def __post_init__(self) -> None:
        self.shapes = shapes(self.connection, SCHEMAS)
        self.before = generated.sums(self.connection, self.shapes, self.sizes)

    def play(self, revisions: list[Revision]) -> None:
        """Run one revision after the other, until one fails."""
        self._warm_up()
        for number, revision in enumerate(revisions):
            share = number / len(revisions)
            self.rehearsal.show(revision.version, share)
            result = self._one(revision, share, 1 / len(revisions))
            self.rehearsal.results.append(result)
            if result.error is not None:
                return

    def _warm_up(self) -> None:
        """Let the clients prepare their statements, which they do when one comes for the second time."""
        self.clients.go()
        for _ in range(2):
            self.clients.until_round()
        self.clients.rest()

    def _one(self, revision: Revision, share: float, part: float) -> Result:
        self.clients.go()
        time.sleep(_BEFORE)
        self.observer.begin([shape.oid for shape in shapes(self.connection, SCHEMAS)])
        began = time.monotonic()
        error = None
        try:
            self.upgrade.to(revision.version, share=share, part=part)
        except HomeOpsError as raised:
            error = str(raised)
        seconds = time.monotonic() - began
        held = self.observer.end()
        self.clients.until_round()
        felt = self.clients.rest()
        rows, wrong = self._compare()
        return Result(
            revision.version,
            revision.description,
            seconds,
            held,
            max(felt.requests, default=None),
            len(felt.requests),
            felt.failed,
            felt.retried,
            rows,
            wrong,
            error,
        )

    def _compare(self) -> tuple[int, list[str]]:
        """Compare all rows with what they must be: generated ones by their sums, the others one by one."""
        now = generated.sums(self.connection, self.shapes, self.sizes)
        rows, wrong = self.clients.compare(self.connection)
        wrong = generated.differences(self.before, now) + wrong
        self.before = now  # so that each revision is told its own
        return rows + sum(self.sizes.values()), wrong
