"""What tests of backfills fill, and what they look at."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from homeops_db.locking.pace import pace

LIMITS_OFF: dict[str, Any] = {
    "max_replication_lag": 0,
    "max_replication_bytes": 0,
    "max_slot_bytes": 0,
    "max_queue": 0,
    "max_active_p95": 0,
    "max_dead_share": 0,
    "max_snapshot_age": 0,
}
"""What other tests do on the same server is no reason to wait; the governor has tests of its own."""

SMALL_BATCHES: dict[str, Any] = {
    "batch_rows": 50,
    "min_batch_rows": 1,
    "max_batch_rows": 50,
    "target": "1min",
}

COUNTED = """
create table writes (who text);
create function count_write() returns trigger language plpgsql as $$
begin insert into writes values (new.{key}::text); return null; end $$;
create trigger counted after update on {table} for each row execute function count_write();
"""


def slowly(*values: object) -> Any:
    """One set of parameters that the quick run leaves out."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def nobody_else_counts() -> Iterator[None]:
    """Import it into a module of tests: their backfills wait for what the test itself does, and for nothing else."""
    with pace(**LIMITS_OFF):
        yield


def scalar(db: Connection, query: str) -> Any:
    """The only value of an answer."""
    row = db.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def rows(db: Connection, query: str) -> list[Any]:
    """An answer."""
    return db.execute(query.encode()).fetchall()


def fill(db: Connection, columns: str, values: str, *, count: int = 1000, table: str = "t") -> None:
    """Make a table in which n is what g is; fifteen rows a page."""
    db.execute(
        f"create table {table} ({columns}, g int, n int, filler text default repeat('x', 500));"
        f"insert into {table} select {values}, g, g from generate_series(1, {count}) g".encode()
    )


def waited_for(db: Connection) -> str:
    """What the newest backfill says that it waits for."""
    if scalar(db, "select to_regclass('migrations.backfills') is null"):
        return ""
    return scalar(db, "select waiting_for from migrations.backfills order by id desc limit 1") or ""


def is_clean(db: Connection) -> bool:
    """Whether no session, no lock and no table of ours is left."""
    return bool(
        scalar(
            db,
            "select not exists (select from pg_stat_activity where datname = current_database()"
            "                   and backend_type = 'client backend' and pid <> pg_backend_pid())"
            " and not exists (select from pg_locks where locktype = 'advisory' and database ="
            "                 (select oid from pg_database where datname = current_database()))"
            " and not exists (select from pg_class where relname like 'homeops%')",
        )
    )
