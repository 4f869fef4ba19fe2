"""`homeops-db status`: what it says, and its exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from homeops_db.history import lock
from homeops_db.naming import EXTENSIONS
from homeops_db.settings import Settings
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout

KEYS = {
    "server_version",
    "environment",
    "current",
    "pending",
    "drift",
    "failed",
    "extensions",
    "lock",
    "runs",
}


def status(checkout: Checkout, url: URL) -> tuple[int, dict[str, Any]]:
    ended = checkout.run("homeops-db", "status", "--json", check=False, HOMEOPS_DATABASE_URL=libpq(url))
    return ended.returncode, json.loads(ended.stdout)


def test_clean(checkout: Checkout, database_url: URL) -> None:
    code, found = status(checkout, database_url)
    assert code == 0
    assert found.keys() >= KEYS
    assert (found["pending"], found["drift"], found["failed"], found["lock"]) == ([], [], [], None)
    assert set(found["extensions"]) == set(EXTENSIONS)
    assert all(found["extensions"].values())
    assert found["timescaledb"] == "apache"
    assert found["runs"][0]["event"] == "finished"


def test_pending(checkout: Checkout, add_revision: Callable[..., Path], database_url: URL) -> None:
    add_revision("v7.0.0", change="major")
    code, found = status(checkout, database_url)
    assert (code, found["pending"]) == (1, ["v7.0.0"])


def test_an_empty_database_has_everything_pending(checkout: Checkout, empty_url: URL) -> None:
    code, found = status(checkout, empty_url)
    assert (code, found["current"], found["pending"][0]) == (1, None, "v1.0.0")


def test_a_file_that_was_edited_after_it_was_applied(checkout: Checkout, database_url: URL) -> None:
    path = next((checkout.root / "alembic" / "versions").glob("001_*.py"))
    path.write_text("# a comment is no drift\n" + path.read_text())
    assert status(checkout, database_url)[0] == 0
    path.write_text(path.read_text().replace("financial", "finances"))
    assert status(checkout, database_url)[1]["drift"] == [{"version": "v1.0.0", "reason": "edited"}]
    assert status(checkout, database_url)[0] == 3


def test_a_version_without_a_file(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    path = add_revision("v7.0.0", change="major")
    checkout.run("alembic", "upgrade", "head", HOMEOPS_DATABASE_URL=libpq(database_url))
    path.unlink()
    code, found = status(checkout, database_url)
    assert (code, found["drift"]) == (3, [{"version": "v7.0.0", "reason": "no file"}])


def test_a_version_table_that_was_changed_by_hand(checkout: Checkout, database_url: URL) -> None:
    with connect(database_url) as connection:
        connection.execute("delete from migrations.alembic_version")
    code, found = status(checkout, database_url)
    assert code == 3
    assert {"version": "v1.0.0", "reason": "not applied"} in found["drift"]


def test_a_failed_revision(checkout: Checkout, add_revision: Callable[..., Path], database_url: URL) -> None:
    add_revision("v7.0.0", 'op.execute("select 1/0")', change="major")
    failed = checkout.run("alembic", "upgrade", "head", check=False, HOMEOPS_DATABASE_URL=libpq(database_url))
    assert failed.returncode == 4
    assert "division by zero (SQLSTATE 22012)" in failed.stderr.splitlines()[-1]
    code, found = status(checkout, database_url)
    assert (code, found["failed"], found["runs"][0]["event"]) == (3, ["v7.0.0"], "failed")


def test_the_holder_of_the_lock(checkout: Checkout, database_url: URL) -> None:
    with lock.held(database_url, Settings(), reason="a long deploy"):
        _, found = status(checkout, database_url)
    assert found["lock"]["reason"] == "a long deploy"
    assert found["lock"]["alive"] is True


def test_groups_without_their_privileges_are_told(checkout: Checkout, database_url: URL) -> None:
    assert status(checkout, database_url)[1]["missing_roles"] == []
    with connect(database_url) as connection:
        connection.execute("revoke usage on schema core from homeops_app")
    assert status(checkout, database_url)[1]["missing_roles"] == ["homeops_app"]


def test_a_failed_version_that_was_renumbered_is_history(
    checkout: Checkout, add_revision: Callable[..., Path], database_url: URL
) -> None:
    path = add_revision("v7.0.0", 'op.execute("select 1/0")', change="major")
    checkout.run("alembic", "upgrade", "head", check=False, HOMEOPS_DATABASE_URL=libpq(database_url))
    path.unlink()
    assert status(checkout, database_url)[0] == 0


def test_piped_tables_are_plain_text(checkout: Checkout, database_url: URL) -> None:
    text = checkout.run("homeops-db", "status", HOMEOPS_DATABASE_URL=libpq(database_url)).stdout
    assert "\x1b[" not in text
    for word in (*EXTENSIONS, "v1.0.0", "upgrade finished", "development"):
        assert word in text
