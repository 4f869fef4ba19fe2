"""The community's tests share its people; each file keeps a database, since a clone costs more than a test."""

from collections.abc import Iterator

import pytest
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.schema.community import Community, community, kept


@pytest.fixture(scope="module")
def town_url(migrated_server: NoopExecutor, request: pytest.FixtureRequest) -> Iterator[URL]:
    with kept(migrated_server, request.module.__name__.rpartition(".")[2]) as made:
        yield made


@pytest.fixture
def town(town_url: URL) -> Iterator[Community]:
    with community(town_url) as built:
        yield built
