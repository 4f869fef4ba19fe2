"""Which seeds may go where."""

from dataclasses import replace

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.errors import PolicyError
from homeops_db.seeding import load, policy
from homeops_db.settings import Environment, Settings
from tests.seeding.conftest import Seeds, content


def mark(environment: str) -> str:
    return (
        "INSERT INTO core.system_config (key, value, category) "
        f"VALUES ('system.environment', '\"{environment}\"', 'core') ON CONFLICT (key) DO NOTHING;"
    )


@pytest.mark.parametrize(
    ("environment", "asked"),
    [("staging", "development"), ("production", "development"), ("production", "staging")],
)
def test_more_dangerous_seeds_are_refused(environment: Environment, asked: Environment) -> None:
    told = f"{asked.capitalize()} seeds are refused: HOMEOPS_ENVIRONMENT is {environment}"
    with pytest.raises(PolicyError, match=told):
        policy.chosen(Settings(environment=environment), asked)


@pytest.mark.parametrize(
    ("environment", "asked", "wanted"),
    [
        ("development", None, "development"),
        ("staging", None, "staging"),
        ("production", None, "production"),
        ("production", "production", "production"),
        ("development", "production", "production"),
        ("staging", "production", "production"),
    ],
)
def test_the_settings_decide_and_less_dangerous_seeds_may_be_rehearsed(
    environment: Environment, asked: Environment | None, wanted: Environment
) -> None:
    assert policy.chosen(Settings(environment=environment), asked) == wanted


def test_development_seeds_leave_production_as_it_was(
    database_url: URL, settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("development/001_environment.sql", mark("development"))
    before = content(connection)
    for environment in ("staging", "production"):
        own = replace(settings, environment=environment)
        with pytest.raises(PolicyError, match="Development seeds are refused"):
            load.seed(database_url, own, environment="development", folder=seeds.folder)
    assert content(connection) == before


def test_a_database_of_another_environment_is_refused(
    database_url: URL, settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_a.sql", "DELETE FROM core.system_config;")
    for environment in ("staging", "production", "elsewhere"):
        connection.execute("delete from core.system_config")
        connection.execute(mark(environment).encode())
        before = content(connection)
        told = f"This database runs as {environment} .*seeding it as development is refused"
        with pytest.raises(PolicyError, match=told):
            load.seed(database_url, settings, folder=seeds.folder)
        assert content(connection) == before


def test_a_rehearsed_database_counts_as_what_it_was_seeded_as(database_url: URL, settings: Settings) -> None:
    load.seed(database_url, settings, environment="production")
    with pytest.raises(PolicyError, match="This database runs as production"):
        load.seed(database_url, settings)
