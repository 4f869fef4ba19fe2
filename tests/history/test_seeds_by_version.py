"""Seeds at every version that they claim to suit: they run, and a second run changes nothing."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import pytest
from alembic import command
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.history.versions import parse
from homeops_db.seeding import files, load
from homeops_db.settings import Environment, Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.history import sent
from tests.history.conftest import made_database, once
from tests.history.walk import PATIENT
from tests.seeding.conftest import content

VERSIONS = [revision.version for revision in scripts.read()]
# Development's stay for the next version: data that are there already are seeded once more.
ENVIRONMENTS: Final[tuple[Environment, ...]] = ("staging", "production", "development")


@dataclass
class Seeded:
    """What the seeds of one environment did at one version.

    Attributes:
        ran: The files of the first run, on empty tables.
        changed: Files that changed something the second time.
        differing: Tables that the second run changed.
        renewed: Files that changed something on data of the version before which they had made.
    """

    error: str = "nobody came here"
    ran: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)


def _seeded() -> dict[tuple[str, Environment], Seeded]:
    notes = {(version, name): Seeded() for version in VERSIONS for name in ENVIRONMENTS}
    with made_database("seeds") as url:
        kept: set[str] = set()
        for version in VERSIONS:
            with closing(connect(url)) as db:
                known = set(sent.tables(db))
            command.upgrade(alembic_config(Settings(database_url=url, **PATIENT)), version)
            with closing(connect(url)) as db:
                new = set(sent.tables(db)) - known
                kept |= {
                    table for table in new if db.execute(f"select from {table} limit 1".encode()).rowcount
                }
            renewed = _renewed(url, version)
            for name in ENVIRONMENTS:
                _seed(url, name, kept, notes[version, name])
            notes[version, "development"].renewed = renewed
    return notes


def _renewed(url: URL, version: str) -> list[str]:
    """Seed the data of the version before, which have been upgraded, once more; name who changed what it had made."""
    if version == VERSIONS[0]:
        return []
    known = {file.name for file in files.read("development") if parse(file.since) < parse(version)}
    results = load.seed(url, Settings(database_url=url, environment="development"))
    return [result.file for result in results if result.file in known and not result.unchanged]


def _seed(url: URL, name: Environment, kept: set[str], note: Seeded) -> None:
    settings = Settings(database_url=url, environment=name)
    with closing(connect(url)) as db:
        sent.clear(db, kept)
        db.execute("truncate migrations.seed_runs")
        try:
            note.ran = [result.file for result in load.seed(url, settings)]
            before = content(db)
            note.changed = [result.file for result in load.seed(url, settings) if not result.unchanged]
        except Exception as error:
            note.error = f"{type(error).__name__}: {error}"
            return
        after = content(db)
    note.differing = [table for table in after if before.get(table) != after[table]]
    note.error = ""


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Environment], Seeded]:
    return once(tmp_path_factory, "seeded", _seeded)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_seeds_run_and_a_second_run_changes_nothing(
    seeded: dict[tuple[str, Environment], Seeded], version: str, environment: Environment
) -> None:
    note = seeded[version, environment]
    assert not note.error, note.error
    suiting = [file for file in files.read(environment) if parse(file.since) <= parse(version)]
    assert note.ran == [file.name for file in suiting]
    assert note.changed == note.differing == []


@pytest.mark.parametrize("version", VERSIONS)
def test_seeds_find_what_they_made_before_the_upgrade(
    seeded: dict[tuple[str, Environment], Seeded], version: str
) -> None:
    assert not seeded[version, "development"].error
    assert seeded[version, "development"].renewed == []


def test_every_seed_file_suits_a_version_that_exists() -> None:
    found = [file for environment in ENVIRONMENTS for file in files.read(environment)]
    assert {file.since for file in found} <= set(VERSIONS)
