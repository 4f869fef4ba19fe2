"""online.Restructure on schemas of other people's kind: everything that hangs on the table comes along, always.

What hangs on it is compared item by item with a schema that has always had the state's shape, and so are the rows
of all tables, after the same was done in both: by the owner and by others, through views, rules and triggers.
"""

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import columns
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import nobody_else_counts, rows, scalar  # noqa: F401
from tests.online.foreign_schemas import FOREIGN, ROLES, Foreign
from tests.online.reshaping import APP, ENDS, OURS, STEPS, unhurried  # noqa: F401
from tests.online.test_type_change_foreign import Town, quiet  # noqa: F401

pytestmark = pytest.mark.usefixtures("quiet")


def reshaping(db: Connection, foreign: Foreign) -> online.Restructure:
    """The same change as a table's, which keeps the order of its columns."""
    oid = scalar(db, f"select '{APP}.{foreign.table}'::regclass::oid")
    change = foreign.change(APP)
    return online.Restructure(
        foreign.table,
        schema=APP,
        columns=[
            sa.Column(name, foreign.type_) if name == foreign.column else name
            for name in columns.names(db, oid)
        ],
        transform={foreign.column: change.up},
        back={foreign.column: change.down},
    )


def cycle(town: Town, foreign: Foreign, url: URL) -> None:
    town.build()
    town.act()
    for step in STEPS:
        with revision(url):
            assert getattr(reshaping(town.db, foreign), step)().changed
        town.compare(step)
        town.act()
        town.compare(step)
        if step in ENDS:
            assert rows(town.db, OURS) == [], step
    assert scalar(town.db, "select count(*) from migrations.change_errors") == 0


@pytest.mark.slow
@MOSTLY_HERE
@pytest.mark.parametrize("name", FOREIGN)
def test_it_is_always_as_if_it_had_been_made_so(
    db: Connection,
    any_url: URL,
    name: str,
) -> None:
    cycle(Town(FOREIGN[name], db, None), FOREIGN[name], any_url)


@pytest.mark.slow
@MOSTLY_HERE
@pytest.mark.parametrize("name", FOREIGN)
def test_an_owner_without_superuser_can_do_it(db: Connection, any_url: URL, name: str) -> None:
    db.execute(ROLES)
    db.execute(f"grant create on database {any_url.database} to foreign_owner".encode())
    cycle(Town(FOREIGN[name], db, "foreign_owner"), FOREIGN[name], any_url.set(username="foreign_owner"))
