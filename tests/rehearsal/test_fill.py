"""Generated rows: the same for the same seed, as many as asked for, and right by every constraint."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.catalog.shapes import shapes
from homeops_db.errors import SettingsError
from homeops_db.naming import SCHEMAS
from homeops_db.rehearsal import fill, generated, scratch, sizes
from homeops_db.rehearsal.generated import Sum
from homeops_db.rehearsal.sizes import rows_of
from homeops_db.settings import load
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config

ROWS = 3000
GOLDEN = "8a3c25f5826029b3c304237e581fcc45884e11e46c23f461f13259ee7a65fe97"
"""What all rows of seed 1 come to, on any machine."""


@pytest.fixture(scope="module")
def first_version() -> Iterator[URL]:
    """A database at v1.0.0."""
    # Without hypertables: to make a hundred chunks takes longer than all that is tested here.
    settings = replace(load(dotenv=Path("no.env")), timescaledb=False)
    with scratch.made(settings, f"{scratch.NAME}_{os.getpid()}_filled", keep=False) as url:
        config = alembic_config(settings)
        config.attributes["url"] = url
        command.upgrade(config, "v1.0.0")
        yield url


@pytest.fixture
def connection(first_version: URL) -> Iterator[Connection]:
    """A session whose settings would change how values are read and written."""
    with connect(first_version, options="-c timezone=Asia/Kolkata -c intervalstyle=iso_8601") as connection:
        yield connection


def filled(connection: Connection, *, seed: int = 1) -> dict[str, Sum]:
    tables = shapes(connection, SCHEMAS)
    connection.execute(f"truncate {', '.join(map(str, tables))}")
    fill.fill(connection, sizes.sizes(ROWS), seed=seed, show=lambda *_: None)
    return generated.sums(connection, tables, sizes.sizes(ROWS))


def digest(connection: Connection) -> str:
    connection.execute("set timezone = 'UTC'")
    found = hashlib.sha256()
    for shape in shapes(connection, SCHEMAS):
        rows = connection.execute(
            f"""select '{shape}', t::text from {shape} t order by t::text collate "C" """
        ).fetchall()
        found.update(repr(rows).encode())
    return found.hexdigest()


def test_the_same_seed_gives_the_same_rows_everywhere(connection: Connection) -> None:
    other = filled(connection, seed=2)
    once = filled(connection)
    assert digest(connection) == GOLDEN
    assert [table for table in once if once[table].hash == other[table].hash] == []
    assert {table: one.rows for table, one in once.items()} == sizes.sizes(ROWS)


def test_the_rows_keep_every_rule(connection: Connection) -> None:
    filled(connection)
    assert digest(connection) == GOLDEN  # again
    keys = connection.execute(
        "select conrelid::regclass::text, conname from pg_constraint where contype = 'f' and conparentid = 0"
        " and connamespace::regnamespace::text = any(%s)",
        (list(SCHEMAS),),
    ).fetchall()
    assert len(keys) == 39
    # Filling goes past the triggers that look after foreign keys, so they are looked at here.
    for table, constraint in keys:
        connection.execute("update pg_constraint set convalidated = false where conname = %s", (constraint,))
        connection.execute(f"alter table {table} validate constraint {constraint}")
    not_cents = connection.execute(
        "select from financial.transactions where amount::text ~ '[.][0-9]{3}'"
        " or amount is distinct from amount::numeric(15,2)::double precision"
    )
    assert not_cents.rowcount == 0
    ((first, last),) = connection.execute(
        "select min(transaction_date)::text, max(transaction_date)::text from financial.transactions"
    ).fetchall()
    assert first == "2024-01-01"
    assert "2025-12-29" <= last <= "2025-12-31"
    ours = ROWS // 10
    assert connection.execute("select max(id) from core.audit_log").fetchone() == (ours,)
    connection.execute("update core.users set full_name = 'other' where email like 'a%'")
    assert connection.execute("select max(id) > %s from core.audit_log", (ours,)).fetchone() == (True,)


@pytest.mark.parametrize("rows", [2000, 2001, 20_000, 123_456, 1_000_000, 50_000_000])
def test_rows_are_as_many_as_asked_for(rows: int) -> None:
    spread = sizes.sizes(rows)
    assert sum(spread.values()) == rows
    assert min(spread.values()) > 0
    assert max(spread, key=spread.__getitem__) in {"financial.transactions", "smart_home.device_states"}


@pytest.mark.parametrize(
    ("text", "rows"), [("20k", 20_000), ("1m", 1_000_000), (" 2M ", 2_000_000), ("2345", 2345)]
)
def test_rows_are_written_short(text: str, rows: int) -> None:
    assert rows_of(text) == rows


@pytest.mark.parametrize("text", ["", "1999", "1.5m", "-1k", "1g", "m", "2000m"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no number of rows"):
        rows_of(text)
