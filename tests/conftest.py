"""Real servers and real databases for every test; what they share is in tests/fixtures/."""

import os

import pytest

from homeops_db.localdb import server
from homeops_db.settings import PREFIX, load

pytest_plugins = [
    "tests.fixtures.projects",
    "tests.fixtures.databases",
    "tests.fixtures.stock",
    "tests.fixtures.replica",
]

_KEPT = {"HOMEOPS_LOCAL_FOLDER", "HOMEOPS_CACHE_FOLDER"}


def pytest_configure(config: pytest.Config) -> None:
    """Point pytest-postgresql's noproc fixture to the local server, and shut out the developer's settings."""
    for name in list(os.environ):
        if name.startswith(PREFIX) and name not in _KEPT:
            del os.environ[name]
    local = server.ensure_running(load(dotenv=config.rootpath / "no.env"))
    config.option.postgresql_host = str(local.socket_folder)
    config.option.postgresql_port = str(local.port)
    config.option.postgresql_user = local.url.username
