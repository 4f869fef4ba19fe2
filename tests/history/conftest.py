"""Databases that several laws share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from sqlalchemy.engine import URL

from homeops_db.localdb import server
from homeops_db.settings import load
from tests.fixtures.databases import connect


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
