"""A folder of seeds to fill, and a way to see whether anything in a database changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.settings import Settings

_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables
where schemaname !~ '^(pg_|_?timescaledb)' and schemaname <> 'information_schema' order by 1
"""


@dataclass
class Seeds:
    """Four empty folders of seeds."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path


@pytest.fixture
def seeds(tmp_path: Path) -> Seeds:
    for name in ("common", "development", "staging", "production"):
        (tmp_path / "seeds" / name).mkdir(parents=True)
    return Seeds(tmp_path / "seeds")


@pytest.fixture
def connection(database_url: URL, settings: Settings) -> Iterator[Connection]:
    with database.connect(database_url, settings, application="homeops-db test") as opened:
        yield opened


def one(connection: Connection, query: str) -> Any:
    """Read one value."""
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def content(connection: Connection) -> dict[str, object]:
    """Fingerprint every row of every table, and every sequence."""
    found: dict[str, object] = dict(
        connection.execute(
            "select schemaname || '.' || sequencename, last_value from pg_sequences"
        ).fetchall()
    )
    for (table,) in connection.execute(_TABLES).fetchall():
        rows = sql.SQL("select count(*), md5(string_agg(t::text, '|' order by t::text)) from {} t").format(
            sql.SQL(table)
        )
        found[table] = connection.execute(rows).fetchone()
    return found
