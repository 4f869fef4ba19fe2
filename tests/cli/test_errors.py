"""Bad input: one clear line, the documented exit code, no traceback, no secret, nothing changed."""

import pytest
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.errors import DatabaseError
from homeops_db.localdb import server
from homeops_db.settings import Settings, load
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout

COMMANDS = [("alembic", "upgrade", "head"), ("homeops-db", "status"), ("homeops-db", "seed")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOMEOPS_DATABASE_URL": "mysql://u:hunter2@h/d"}, "HOMEOPS_DATABASE_URL"),
        ({"HOMEOPS_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}, "Connection refused"),
        ({"HOMEOPS_ENVIRONMENT": "prod"}, "development, staging or production"),
        ({"HOMEOPS_ENVIRONMENT": "production"}, "HOMEOPS_DATABASE_URL is not set"),
    ],
    ids=["other database", "unreachable", "malformed", "no URL"],
)
def test_settings(
    checkout: Checkout, words: tuple[str, ...], environment: dict[str, str], expected: str
) -> None:
    refused(checkout, words, expected, **environment)


def refused(checkout: Checkout, words: tuple[str, ...], expected: str, **environment: str) -> None:
    ended = checkout.run(*words, check=False, **environment)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert expected in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout


@pytest.fixture
def stranger(empty_url: URL) -> URL:
    """A login that may connect, and nothing else."""
    with connect(empty_url) as connection:
        connection.execute("drop role if exists tests_stranger")
        connection.execute("create role tests_stranger login password 'hunter2'")
    return empty_url.set(username="tests_stranger", password="hunter2")


def test_a_role_without_the_privilege(checkout: Checkout, stranger: URL) -> None:
    ended = checkout.run("alembic", "upgrade", "head", check=False, HOMEOPS_DATABASE_URL=libpq(stranger))
    assert ended.returncode == 2
    assert "GRANT CREATE ON DATABASE" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_wrong_password(checkout: Checkout, stranger: URL) -> None:
    port = server.ensure_running(load()).port
    tcp = f"postgresql://tests_stranger:wrong-hunter2@127.0.0.1:{port}/{stranger.database}"
    refused(
        checkout, ("alembic", "upgrade", "head"), "password authentication failed", HOMEOPS_DATABASE_URL=tcp
    )


def test_a_server_that_is_too_old(empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    # No server older than 15 can be had here, so a newer one is called too old.
    monkeypatch.setattr(database, "OLDEST_VERSION", 990000)
    for connecting in (database.connect, database.alembic_connection):
        with pytest.raises(DatabaseError, match=r"is PostgreSQL \d+: HomeOps needs 15 or newer"):
            connecting(empty_url, Settings(), application="tests")


def test_status_says_it_in_json_too(checkout: Checkout) -> None:
    ended = checkout.run(
        "homeops-db", "status", "--json", check=False, HOMEOPS_DATABASE_URL="postgresql://u@127.0.0.1:1/d"
    )
    assert ended.returncode == 2
    assert '"error": "Cannot connect to' in ended.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["status", "--help"],
        ["deploy", "--help"],
        ["rollback", "--help"],
        ["seed", "--help"],
        ["local", "start", "--help"],
    ],
)
def test_every_help_has_an_example(checkout: Checkout, words: list[str]) -> None:
    assert "Example" in checkout.run("homeops-db", *words).stdout
