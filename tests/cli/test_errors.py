"""Bad input: one clear line, the documented exit code, no traceback, no secret, nothing changed."""

import os
import signal

import pytest
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.errors import DatabaseError
from homeops_db.history import lock
from homeops_db.localdb import server
from homeops_db.settings import Settings, load
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.fixtures.waiting import until

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


COMMAND_WORDS = [
    [],
    ["status"],
    ["seed"],
    ["deploy"],
    ["rollback"],
    *(["local", name] for name in ("start", "stop", "status", "psql", "destroy")),
]


@pytest.mark.parametrize("words", COMMAND_WORDS, ids=" ".join)
def test_every_help_has_an_example(checkout: Checkout, words: list[str]) -> None:
    assert "Example: " in checkout.run("homeops-db", *words, "--help").stdout


EVERY_COMMAND = [
    ("alembic", "current"),
    ("alembic", "upgrade", "head"),
    ("homeops-db", "status"),
    ("homeops-db", "seed"),
    ("homeops-db", "deploy", "--env", "development"),
    ("homeops-db", "rollback", "--to", "base"),
]


def test_what_the_server_refuses_is_one_line_too(checkout: Checkout, database_url: URL) -> None:
    """A login of the application may see neither ledger nor version table."""
    name = f"tests_member_{os.getpid()}"
    url = libpq(database_url.set(username=name))
    with connect(database_url) as admin:
        admin.execute(f"create role {name} login in role homeops_app")
        try:
            ends = [checkout.run(*words, check=False, HOMEOPS_DATABASE_URL=url) for words in EVERY_COMMAND]
        finally:
            admin.execute(f"drop role {name}")
    for ended in ends:
        assert ended.returncode == 2, ended.stderr
        assert "permission denied" in ended.stderr.splitlines()[-1]
        assert "42501" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr


def test_a_parameter_that_libpq_does_not_know(checkout: Checkout, database_url: URL) -> None:
    url = libpq(database_url) + "&schema=public"
    for words in COMMANDS:
        refused(checkout, words, "schema", HOMEOPS_DATABASE_URL=url)


def test_libpqs_own_variables_change_nothing(checkout: Checkout, database_url: URL) -> None:
    hostile = {
        "PGCLIENTENCODING": "SQL_ASCII",
        "PGHOST": "nowhere.invalid",
        "PGUSER": "nobody",
        "PGOPTIONS": "-c search_path=",
    }
    for words in (("alembic", "current"), ("homeops-db", "status")):
        checkout.run(*words, HOMEOPS_DATABASE_URL=libpq(database_url), **hostile)


@pytest.mark.parametrize(
    ("words", "stop"),
    [(("alembic", "upgrade", "head"), signal.SIGINT), (("homeops-db", "seed"), signal.SIGTERM)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ctrl_c_and_sigterm_end_in_one_line(
    checkout: Checkout, database_url: URL, words: tuple[str, ...], stop: signal.Signals
) -> None:
    with lock.held(database_url, Settings(), reason="the holder"):
        waiting = checkout.start(*words, HOMEOPS_DATABASE_URL=libpq(database_url))
        with connect(database_url) as watcher:
            until(
                lambda: (
                    watcher.execute(
                        "select count(*) > 1 from pg_stat_activity where datname = current_database()"
                        " and application_name = 'homeops-db migration lock' and state = 'idle'"
                    ).fetchone()
                    == (True,)
                )
            )
        waiting.send_signal(stop)
        _, errors = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert errors.splitlines()[-1].startswith("Stopped.")
    assert "Traceback" not in errors
