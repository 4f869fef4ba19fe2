"""Up and down again without timescaledb, from landing to landing: the majors and the head."""

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
    failed: dict[str, str] = field(default_factory=dict)
    unindexed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


@dataclass
class Stairs:
    """The steps, and what is left at their foot."""

    steps: list[Step]
    extensions: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)


def landings() -> list[str]:
    """List the majors and the head."""
    revisions = scripts.read()
    return [one.version for one in revisions if one.change == "major" or one is revisions[-1]]


def climb(url: URL) -> Stairs:
    """Go up and down; an error ends it, and the step says so."""
    config = alembic_config(Settings(database_url=url, timescaledb=False, **PATIENT))
    stairs = Stairs([Step(version) for version in landings()])
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
            # A column whose type was changed and changed back stands at the end of its table.
            lower.back = differences(lower.dumped, dump(url), ordered=False)
    with closing(connect(url)) as db:
        stairs.extensions = {name for (name,) in db.execute("select extname from pg_extension").fetchall()}
        stairs.left = sent.tables(db)
    return stairs


def _look(url: URL, step: Step) -> None:
    step.dumped = dump(url)
    with closing(connect(url)) as db:
        step.unindexed = catalog_laws.unindexed(db)
        step.unfinished = catalog_laws.unfinished(db)
        step.failed = {str(s): why for s, why in Client(db).send(sent.up_to(step.version)).items()}
    step.error = ""
