"""What the database does by itself: updated_at, the audit trail, the health of a migration."""

from collections.abc import Iterator

import pytest
from psycopg import Connection
from psycopg.errors import RaiseException
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect


@pytest.fixture
def database(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as connection:
        yield connection


def audit(database: Connection) -> list[tuple[object, ...]]:
    return database.execute(
        "select operation, table_name, changed_columns, old_row, new_row, actor, app_user from core.audit_log order by id"
    ).fetchall()


def test_updated_at_moves_with_every_update(database: Connection) -> None:
    database.execute("insert into smart_home.rooms (name, type, floor) values ('Attic', 'attic', 3)")
    (before,) = database.execute("select updated_at from smart_home.rooms").fetchone()
    database.execute("update smart_home.rooms set floor = 4, updated_at = '2000-01-01'")
    (after,) = database.execute("select updated_at from smart_home.rooms").fetchone()
    assert after > before


def test_the_audit_trail_tells_who_changed_what_without_secrets(database: Connection) -> None:
    database.execute("set homeops.user_id = 'u-1'")
    database.execute(
        "insert into core.users (email, password_hash, full_name, role) values ('a@b.c', 'S3CRET', 'A', 'user')"
    )
    database.execute("update core.users set password_hash = 'S3CRET-2'")
    database.execute("delete from core.users")
    inserted, updated, deleted = audit(database)
    assert (inserted[0], inserted[1], inserted[4]["email"]) == ("INSERT", "users", "a@b.c")
    assert "password_hash" in updated[2]
    assert (deleted[0], deleted[4]) == ("DELETE", None)
    assert {row[6] for row in (inserted, updated, deleted)} == {"u-1"}
    assert inserted[5] == database.info.user
    assert "S3CRET" not in str(audit(database))


def sample(database: Connection) -> None:
    database.execute("select pg_stat_force_next_flush()")
    database.execute("insert into migrations.health_samples default values")


def transactions(database: Connection, *, committed: int, rolled_back: int) -> None:
    for _ in range(committed):
        database.execute("select 1")
    for _ in range(rolled_back):
        with database.transaction(force_rollback=True):
            database.execute("select 1")


def test_many_rollbacks_since_the_last_sample_raise(database: Connection) -> None:
    sample(database)
    transactions(database, committed=60, rolled_back=60)
    with pytest.raises(RaiseException, match=r"\d+ of \d+ transactions rolled back"):
        sample(database)


def test_a_year_of_quiet_does_not_hide_them(database: Connection) -> None:
    """The strategy's rate over the whole uptime never fires again; a rate since the last sample does."""
    transactions(database, committed=2000, rolled_back=0)
    sample(database)
    transactions(database, committed=60, rolled_back=60)
    with pytest.raises(RaiseException):
        sample(database)


@pytest.mark.parametrize(("committed", "rolled_back"), [(200, 5), (10, 20)])
def test_few_rollbacks_or_few_transactions_do_not(
    database: Connection, committed: int, rolled_back: int
) -> None:
    sample(database)
    transactions(database, committed=committed, rolled_back=rolled_back)
    sample(database)


STRATEGY = [
    "insert into core.system_config (key, value, category, description)"
    " values ('system.version', '\"1.0.0\"', 'core', 'HomeOps system version') on conflict (key) do nothing",
    "insert into smart_home.rooms (name, type, floor) values ('Kitchen', 'kitchen', 1) on conflict (name) do nothing",
    "insert into core.users (email, password_hash, full_name, role)"
    " values ('admin@homeops.local', crypt('admin123', gen_salt('bf')), 'Admin User', 'admin')",
    "insert into financial.institutions (name, type) values ('Test Bank', 'bank'), ('Test Broker', 'broker')",
    "insert into financial.institutions (name, type, api_config)"
    " select 'Plaid', 'aggregator', '{\"environment\": \"production\"}'::jsonb",
    "with l as (insert into media.libraries (name, type) values ('Films', 'movies') returning id)"
    " insert into media.items (title, type, library_id) select 'A', 'movie', id from l",
]


def test_the_strategys_own_statements_run(database: Connection) -> None:
    for statement in STRATEGY:
        database.execute(statement)


def test_device_states_is_a_hypertable(database: Connection) -> None:
    named = database.execute("select hypertable_name from timescaledb_information.hypertables").fetchall()
    assert ("device_states",) in named
