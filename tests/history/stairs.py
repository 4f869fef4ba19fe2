"""All versions up, one by one, and down again to base, without timescaledb."""

from contextlib import closing
from dataclasses import dataclass, field

from alembic import command
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.settings import Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.fixtures.schema import dump
from tests.history import catalog_laws, sent
from tests.history.dumps import differences
from tests.history.sent import Client
from tests.history.walk import PATIENT


@dataclass
class Step:
    """What was seen of one version: on the way up, and when the way down came back to it."""

    version: str
    error: str = "nobody came here"
    dumped: str = ""
    back: str = ""
    failed: list[str] = field(default_factory=list)
    unindexed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)


@dataclass
class Stairs:
    """The steps, and what is left at their foot."""

    steps: list[Step]
    extensions: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)


def climb(url: URL) -> Stairs:
    """Go up and down; an error ends it, and the step says so."""
    config = alembic_config(Settings(database_url=url, timescaledb=False, **PATIENT))
    stairs = Stairs([Step(revision.version) for revision in scripts.read()])
    for step in stairs.steps:
        try:
            command.upgrade(config, step.version)
            _look(url, step)
        except Exception as error:
            step.error = f"{type(error).__name__} on the way up: {error}"
            return stairs
    for step, lower in zip(reversed(stairs.steps), [*reversed(stairs.steps[:-1]), None], strict=True):
        try:
            command.downgrade(config, lower.version if lower else "base")
        except Exception as error:
            step.error = f"{type(error).__name__} on the way down: {error}"
            return stairs
        if lower:
            lower.back = differences(lower.dumped, dump(url))
    with closing(connect(url)) as db:
        stairs.extensions = {name for (name,) in db.execute("select extname from pg_extension").fetchall()}
        stairs.left = sent.tables(db)
    return stairs


def _look(url: URL, step: Step) -> None:
    step.dumped = dump(url)
    with closing(connect(url)) as db:
        step.unindexed = catalog_laws.unindexed(db)
        step.unfinished = catalog_laws.unfinished(db)
        step.plain = set(sent.tables(db))
        failed = Client(db).send(statement for statement in sent.up_to(step.version))
        step.failed = [f"{s}\n  {why}" for s, why in failed.items() if s.file == f"{step.version}.sql"]
    step.error = ""
