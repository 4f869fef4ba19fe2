"""The laws of history of the whole line; those of each revision are in test_versions.py.

Two are pytest-alembic's. Its other two, the way up and the way down, are walked there with more to see.
"""

import subprocess
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from pytest_alembic.tests import test_model_definitions_match_ddl, test_single_head_revision
from sqlalchemy.engine import URL, Engine

from homeops_db import database
from homeops_db.errors import RevisionFailedError
from homeops_db.history import scripts
from homeops_db.localdb import server
from homeops_db.settings import PROJECT_ROOT, Settings, load
from tests.fixtures import projects
from tests.fixtures.databases import connect, libpq
from tests.fixtures.schema import dump
from tests.history.walk import PATIENT

__all__ = ["test_model_definitions_match_ddl", "test_single_head_revision"]


@pytest.fixture
def alembic_config(settings: Settings) -> Config:
    return projects.alembic_config(settings)


@pytest.fixture
def alembic_engine(database_url: URL) -> Iterator[Engine]:
    engine = database.engine(database_url, Settings(), application="tests")
    yield engine
    engine.dispose()


def test_the_revisions_on_disk_break_no_law() -> None:
    revisions = scripts.read()
    assert revisions[0].version == "v1.0.0"
    assert scripts.broken_laws(revisions) == []


def test_check_is_clean_at_the_head(settings: Settings) -> None:
    command.check(projects.alembic_config(settings))


def test_base_is_an_empty_database_but_for_the_ledger_and_up_again_is_the_same_schema(
    database_url: URL,
) -> None:
    config = projects.alembic_config(Settings(database_url=database_url, **PATIENT))
    first = dump(database_url)
    command.downgrade(config, "base")
    left = dump(database_url, "--exclude-schema=migrations")
    made = [
        line for line in left.splitlines() if line.startswith(("CREATE", "ALTER DEFAULT", "GRANT", "COMMENT"))
    ]
    assert made == []
    with connect(database_url) as connection:
        extensions = connection.execute(
            "select extname from pg_extension where extname <> 'plpgsql'"
        ).fetchall()
        objects = connection.execute(
            "select relname from pg_class where relnamespace = 'migrations'::regnamespace and relkind = 'r' order by 1"
        ).fetchall()
    assert extensions == []
    assert [name for (name,) in objects] == [
        "alembic_version", "backfill_errors", "backfill_ranges", "backfills", "change_errors", "changes", "migration_locks",
        "schema_events", "schema_versions", "seed_runs",
    ]  # fmt: skip
    command.upgrade(config, "head")
    assert dump(database_url) == first


def test_an_extension_that_was_there_before_stays(empty_url: URL) -> None:
    with connect(empty_url) as connection:
        connection.execute("create schema extensions; create extension pg_trgm schema extensions")
    config = projects.alembic_config(Settings(database_url=empty_url))
    command.upgrade(config, "v1.0.0")
    command.downgrade(config, "base")
    with connect(empty_url) as connection:
        assert connection.execute(
            "select extname from pg_extension where extname <> 'plpgsql'"
        ).fetchall() == [("pg_trgm",)]


def test_sql_mode_ends_in_the_same_schema(
    database_url: URL, empty_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    command.upgrade(projects.alembic_config(Settings()), "head", sql=True)
    psql = server.ensure_running(load()).bin / "psql"
    subprocess.run(
        [psql, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", libpq(empty_url)], input=capsys.readouterr().out,
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert dump(empty_url) == dump(database_url)


def test_without_timescaledb_its_tables_are_plain(empty_url: URL) -> None:
    config = projects.alembic_config(Settings(database_url=empty_url, timescaledb=False, **PATIENT))
    command.upgrade(config, "v1.0.0")
    with connect(empty_url) as connection:
        extensions = connection.execute("select extname from pg_extension").fetchall()
        kind = connection.execute(
            "select relkind from pg_class where oid = 'smart_home.device_states'::regclass"
        ).fetchone()
    assert ("timescaledb",) not in extensions
    assert kind == ("r",)


def test_a_server_without_the_extensions_is_told_which_is_missing(stock15: URL) -> None:
    with connect(stock15) as connection:
        connection.execute("create database bare")
    with pytest.raises(RevisionFailedError, match=r"timescaledb.*SQLSTATE 0A000"):
        command.upgrade(projects.alembic_config(Settings(database_url=stock15.set(database="bare"))), "head")


def test_no_package_shadows_the_alembic_library() -> None:
    assert not (PROJECT_ROOT / "alembic" / "__init__.py").exists()
