"""Real servers, in folders that the server's user may enter when the tests run as root."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from homeops_db.localdb import server
from homeops_db.localdb.record import LocalServer
from homeops_db.settings import Settings


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="homeops-test-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path outside of pytest's own folders, which only root may enter."""
    made = _new_folder()
    yield made
    shutil.rmtree(made)


def _settings() -> Iterator[Settings]:
    folder = _new_folder()
    settings = Settings(local_folder=folder / "state")
    yield settings
    server.destroy(settings)
    assert not (folder / "state").exists()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared() -> Iterator[Settings]:
    """Settings of one server for all tests; each test starts it by itself and may kill it."""
    yield from _settings()


@pytest.fixture(scope="module")
def second() -> Iterator[Settings]:
    """Settings of another server."""
    yield from _settings()


def query(running: LocalServer, sql: str, *, database: str = "homeops_development") -> object:
    """One value by the server's socket."""
    url = running.libpq.replace("/homeops_development?", f"/{database}?")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)  # type: ignore[call-overload]
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None
