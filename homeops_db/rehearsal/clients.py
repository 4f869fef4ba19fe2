"""Two ways in which applications talk to the database, psycopg and SQLAlchemy, with prepared statements."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from homeops_db import urls

APPLICATION: Final = "homeops-db rehearse client"
_PREPARE: Final = 1
"""A statement is prepared when it comes for the second time."""

_OPTIONS: Final = "-c role=homeops_app -c statement_timeout=60s -c timezone=UTC"


class Client(Protocol):
    """One session of the application."""

    def transaction(self) -> AbstractContextManager[None]:
        """Run a block as one transaction."""

    def run(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement with parameters like ``:name``, and give its rows."""

    def mend(self) -> None:
        """Open the connection again if it was lost."""

    def close(self) -> None:
        """Close the connection."""


class Psycopg:
    """A plain psycopg connection."""

    name = "psycopg"

    def __init__(self, url: URL) -> None:
        self._parameters = urls.libpq(url) | {"options": _OPTIONS, "application_name": APPLICATION}
        self._connection = self._open()

    def _open(self) -> psycopg.Connection:
        return psycopg.connect(**self._parameters, prepare_threshold=_PREPARE)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one transaction."""
        with self._connection.transaction():
            yield

    def run(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement with parameters like ``:name``, and give its rows."""
        cursor = self._connection.execute(_with_percent(statement), values)
        return cursor.fetchall() if cursor.description else []

    def mend(self) -> None:
        """Open the connection again if it was lost."""
        if self._connection.closed:
            self._connection = self._open()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Alchemy:
    """A connection of SQLAlchemy's."""

    name = "SQLAlchemy"

    def __init__(self, url: URL) -> None:
        given = {"options": _OPTIONS, "application_name": APPLICATION, "prepare_threshold": _PREPARE}
        self._engine = create_engine(url, connect_args=given, poolclass=NullPool)
        self._connection = self._engine.connect()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one transaction."""
        with self._connection.begin():
            yield

    def run(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement with parameters like ``:name``, and give its rows."""
        result = self._connection.execute(_compiled(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []

    def mend(self) -> None:
        """Open the connection again if it was lost."""
        if self._connection.invalidated:
            self._connection.close()
            self._connection = self._engine.connect()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._engine.dispose()


KINDS: Final[tuple[Callable[[URL], Client], ...]] = (Psycopg, Alchemy)


def server_error(error: Exception) -> psycopg.Error | None:
    """Give what the server, or the connection, said; None for a defect of the program."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause if isinstance(cause, psycopg.Error) else None


@cache
def _with_percent(statement: str) -> bytes:
    return re.sub(r":(\w+)", r"%(\1)s", statement).encode()


_compiled = cache(text)
