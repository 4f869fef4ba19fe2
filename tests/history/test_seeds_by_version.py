"""Seeds at every version that they claim to suit: they run, and a second run changes nothing.

On empty tables they run in tests/seeding/test_project_seeds.py, at the head.
"""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.history.versions import parse
from homeops_db.seeding import files, load
from homeops_db.settings import Environment, Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.history.conftest import made_database, once
from tests.history.walk import PATIENT
from tests.seeding.conftest import content

VERSIONS = [revision.version for revision in scripts.read()]
ENVIRONMENTS: Final[tuple[Environment, ...]] = ("development", "staging", "production")
MARKED: Final = "update core.system_config set value = to_jsonb(%s::text) where key = 'system.environment'"


@dataclass
class Seeded:
    """What the seeds of one environment did at one version, on what they had made at the versions before.

    Attributes:
        ran: The files of the first run.
        renewed: Those among them that had run at the version before, and changed something.
        changed: Files that changed something in a second run; there is one where files are new.
        differing: Tables that the second run changed.
    """

    error: str = "nobody came here"
    ran: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def _seeded() -> dict[tuple[str, Environment], Seeded]:
    notes = {(version, name): Seeded() for version in VERSIONS for name in ENVIRONMENTS}
    with made_database("seeds") as url, closing(connect(url)) as db:
        for version in VERSIONS:
            command.upgrade(alembic_config(Settings(database_url=url, **PATIENT)), version)
            for name in ENVIRONMENTS:
                # All in one database, whose rows are those of a year; it takes each environment's for its own.
                db.execute(MARKED, (name,))
                try:
                    _seed(url, db, version, name, notes[version, name])
                except Exception as error:
                    notes[version, name].error = f"{type(error).__name__}: {error}"
            db.execute(MARKED, ("development",))
    return notes


def _seed(url: URL, db: Connection, version: str, name: Environment, note: Seeded) -> None:
    settings = Settings(database_url=url, environment=name)
    new = {file.name for file in files.read(name) if file.since == version}
    results = [result for result in load.seed(url, settings) if result.needs is None]
    note.ran = [result.file for result in results]
    note.renewed = [result.file for result in results if result.file not in new and result.rows_changed]
    if new:
        before = content(db)
        note.changed = [result.file for result in load.seed(url, settings) if result.rows_changed]
        after = content(db)
        note.differing = [table for table in after if before.get(table) != after[table]]
    note.error = ""


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Environment], Seeded]:
    return once(tmp_path_factory, "seeded", _seeded)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_seeds_run_and_change_nothing_that_they_have_done(
    seeded: dict[tuple[str, Environment], Seeded], version: str, environment: Environment
) -> None:
    note = seeded[version, environment]
    assert not note.error, note.error
    suiting = [file for file in files.read(environment) if parse(file.since) <= parse(version)]
    assert note.ran == [file.name for file in suiting]
    assert note.renewed == note.changed == note.differing == []


def test_every_seed_file_suits_a_version_that_exists() -> None:
    found = [file for environment in ENVIRONMENTS for file in files.read(environment)]
    assert {file.since for file in found} <= set(VERSIONS)
