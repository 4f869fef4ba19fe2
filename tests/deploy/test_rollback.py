"""`homeops-db rollback`: asked, agreed to, recorded."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from homeops_db.deploy import run
from homeops_db.errors import PreflightError
from homeops_db.history import ledger
from homeops_db.settings import Settings
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout


def current(url: URL) -> str | None:
    with connect(url) as connection:
        return ledger.current(connection)


def test_a_rollback_that_is_not_what_was_agreed_to_is_refused(database_url: URL) -> None:
    with pytest.raises(PreflightError, match="now take back v1"):
        run.roll_back(Settings(), database_url, to="base", planned=["v7.0.0"], accept_data_loss=False)
    assert current(database_url) == "v1.0.0"


def rollback(checkout: Checkout, url: URL, *words: str) -> subprocess.CompletedProcess[str]:
    return checkout.run("homeops-db", "rollback", *words, check=False, HOMEOPS_DATABASE_URL=libpq(url))


def test_rollback_asks_and_needs_somebody_to_answer(checkout: Checkout, database_url: URL) -> None:
    ended = rollback(checkout, database_url, "--to", "base")
    assert (ended.returncode, current(database_url)) == (2, "v1.0.0")
    assert "--yes" in ended.stderr


def test_rollback_takes_back_with_the_ledger(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    add_revision("v7.0.0", change="major")
    checkout.run("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=libpq(database_url))
    ended = rollback(checkout, database_url, "--to", "v1.0.0", "--yes")
    assert "Taken back: v7.0.0" in ended.stdout
    with connect(database_url) as connection:
        assert {row.version: row.status for row in ledger.versions(connection)}["v7.0.0"] == "rolled_back"
    assert "Nothing to take back" in rollback(checkout, database_url, "--to", "v1.0.0", "--yes").stdout
    assert rollback(checkout, database_url, "--to", "v1", "--yes").returncode == 2


def test_rollback_in_production_must_be_told_of_its_price(checkout: Checkout, database_url: URL) -> None:
    words = ("--to", "base", "--yes", "--env", "production")
    refused = rollback(checkout, database_url, *words)
    assert (refused.returncode, current(database_url)) == (2, "v1.0.0")
    assert "accept-data-loss" in refused.stderr
    assert rollback(checkout, database_url, *words, "--accept-data-loss").returncode == 0
    assert current(database_url) is None
