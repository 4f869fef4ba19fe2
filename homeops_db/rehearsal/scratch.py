"""The scratch database of a rehearsal: on the local server alone, and told from others by its comment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.catalog import databases
from homeops_db.errors import PolicyError
from homeops_db.localdb import server
from homeops_db.localdb.progress import Progress, silent
from homeops_db.settings import Settings

NAME: Final = "homeops_rehearsal"
MARK: Final = "homeops-db rehearse"
"""The comment on a database that a rehearsal may drop."""

_APPLICATION: Final = "homeops-db rehearse"


def settings_of(given: Settings) -> Settings:
    """Give the settings of a rehearsal: those that are given, as development.

    Raises:
        PolicyError: A database is named.
    """
    if given.database_url is not None:
        raise PolicyError(
            "HOMEOPS_DATABASE_URL is set, and a rehearsal fills a scratch database on the local server, "
            "never one that is named. Nothing was changed. Run it without: env -u HOMEOPS_DATABASE_URL "
            "homeops-db rehearse, and without such a line in .env."
        )
    return replace(given, environment="development")


@contextmanager
def made(settings: Settings, name: str, *, keep: bool, progress: Progress = silent) -> Iterator[URL]:
    """Make the scratch database for the block; it goes with it, however that ends.

    Takes an advisory lock in the database postgres, so that two rehearsals don't share one. A re-run
    replaces what a killed or kept one left.

    Args:
        settings: Name the local server, which is started if need be.
        name: The database's name.
        keep: Leave it there at the end.
        progress: Told about a start of the server.

    Raises:
        PolicyError: A database of that name is none of a rehearsal, or another one is at work there.
        LocalServerError: The local server can't be had.
    """
    development = server.ensure_running(settings, progress).url
    admin_url = development.set(database="postgres")
    with database.connect(admin_url, settings, application=_APPLICATION, load_timescaledb=False) as admin:
        _refuse_taken(admin, name)
        _create(admin, name)
        try:
            yield development.set(database=name)
        finally:
            if not keep:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _refuse_taken(admin: Connection, name: str) -> None:
    if not databases.claimed(admin, f"{MARK} {name}"):
        raise PolicyError(
            f"Another rehearsal is at work in {name}. Nothing was changed. "
            "Wait until it has ended, or name another database: --database NAME."
        )
    comment = databases.comment(admin, name)
    if comment not in {None, MARK}:
        raise PolicyError(
            f"There is a database {name} that no rehearsal made. Nothing was changed. "
            "Name another one: --database NAME."
        )


def _create(admin: Connection, name: str) -> None:
    database_name = sql.Identifier(name)
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(database_name))
    # template0: nobody is ever connected to it, and CREATE DATABASE would wait for that.
    admin.execute(sql.SQL("create database {} template template0").format(database_name))
    admin.execute(sql.SQL("comment on database {} is {}").format(database_name, sql.Literal(MARK)))
