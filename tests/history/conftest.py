"""Databases that several laws share."""

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from homeops_db.localdb import server
from homeops_db.settings import load
from tests.fixtures.databases import connect

T = TypeVar("T")


@contextmanager
def made_database(name: str) -> Iterator[URL]:
    """Make an empty database on the local server, and drop it in the end."""
    url = server.ensure_running(load()).url
    named = f"tests_{os.getpid()}_{name}"
    with connect(url) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(named)))
        try:
            yield url.set(database=named)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(named)))


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[], T]) -> T:
    """Make something for all workers of a run: the first one to come makes it, the others wait and read it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make()
    folder = factory.getbasetemp().parent
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder / f"{name}.pickle"
        if not kept.exists():
            made = make()
            kept.write_bytes(pickle.dumps(made))
        found: T = pickle.loads(kept.read_bytes())  # noqa: S301 (written above, by this very run)
    return found
