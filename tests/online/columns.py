"""What tests of column operations look at: a column as it is, the files of a table, a script run by psql."""

import io
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from psycopg import Connection
from psycopg.rows import dict_row
from sqlalchemy.engine import URL

from homeops_db.localdb import server
from homeops_db.settings import Settings

MOSTLY_HERE = pytest.mark.parametrize(
    "any_url",
    [
        "local server",
        pytest.param("stock 15", marks=pytest.mark.slow),
        pytest.param("stock 18", marks=pytest.mark.slow),
    ],
    indirect=True,
)
"""On all servers, but only on the local one in the quick run: what hardly depends on the version."""

EVERYWHERE = pytest.mark.parametrize("any_url", ["local server", "stock 15", "stock 18"], indirect=True)
"""On all servers in the quick run too: what the version decides."""


def described(db: Connection, table: str, column: str) -> dict[str, Any] | None:
    """One column, with everything that this test suite knows of it."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as is_not_null,
                   pg_get_expr(d.adbin, d.adrelid) as default, a.attcollation::regcollation::text as collation,
                   a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
                   col_description(a.attrelid, a.attnum) as comment
            from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = to_regclass(%s) and a.attname = %s and not a.attisdropped
            """,
            (table, column),
        ).fetchone()


def files(db: Connection, table: str) -> list[tuple]:
    """The files of a table and its indexes."""
    return db.execute(
        """
        select relname, pg_relation_filenode(oid) from pg_class
        where oid = %(t)s::regclass or oid in (select indexrelid from pg_index where indrelid = %(t)s::regclass)
        order by 1
        """,
        {"t": table},
    ).fetchall()


def constraints(db: Connection, table: str) -> dict[str, str]:
    """The constraints of a table, by name."""
    return dict(
        db.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = to_regclass(%s)",
            (table,),
        ).fetchall()
    )


def script_of(operation: Callable, *arguments: Any, **keywords: Any) -> str:
    """What an operation writes in --sql mode."""
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={
            "as_sql": True,
            "literal_binds": True,
            "output_buffer": buffer,
            "transaction_per_migration": True,
        },
    )
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        operation(*arguments, **keywords)
    return buffer.getvalue()


def psql(url: URL, script: str, *, fails: bool = False) -> str:
    """Run a script as a user does; give what psql complained of."""
    folder = server.ensure_running(Settings()).bin
    where = {
        "-h": url.query["host"],
        "-p": url.query.get("port", "5432"),
        "-U": url.username,
        "-d": url.database,
    }
    words = [word for pair in where.items() for word in map(str, pair)]
    ended = subprocess.run(
        [folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *words],
        input=script, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode != 0) == fails, ended.stderr + script
    return ended.stderr
