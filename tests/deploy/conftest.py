"""The tooling is tested with the first version alone: see the fixture `checkout`."""

import pytest
from sqlalchemy.engine import URL


@pytest.fixture
def database_url(first_url: URL) -> URL:
    """A database at the first version."""
    return first_url
