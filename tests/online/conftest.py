"""Where the tests of online operations work: a database of their own, and a revision's context in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from psycopg import Connection
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from homeops_db import online
from tests.fixtures.databases import connect


@contextmanager
def revision(url: URL, **options: Any) -> Iterator[None]:
    """What a revision runs in: Alembic's operations, in a transaction of their own."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True, **options})
        with context.begin_transaction(_per_migration=True), Operations.context(context):
            yield


@pytest.fixture
def run(any_url: URL) -> Callable[..., Any]:
    """Run an operation as a revision does: ``run(online.create_index, "ix", "t", ["a"])``."""

    def call(operation: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        with revision(any_url):
            return operation(*arguments, **keywords)

    return call


@pytest.fixture
def unhurried() -> Iterator[None]:
    """A switch may take as long as a busy machine does; that it's limited has tests of its own."""
    with online.policy(lock_timeout="2s"):
        yield


@pytest.fixture
def db(any_url: URL) -> Iterator[Connection]:
    """A second session in the same database."""
    with connect(any_url) as connection:
        yield connection
