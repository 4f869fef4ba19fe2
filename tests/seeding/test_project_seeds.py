"""The project's own seeds."""

from dataclasses import replace

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.seeding import load
from homeops_db.settings import Environment, Settings
from tests.seeding.conftest import content, one

MARK = "select value #>> '{}' from core.system_config where key = 'system.environment'"
SIGNED_IN = """
select string_agg(role, ',' order by role)
from core.users
join (values ('admin@homeops.local', 'admin123'), ('user@homeops.local', 'user123'))
    as known (email, password) using (email)
where password_hash = crypt(known.password, password_hash)
"""
LEAST_ROWS = {
    "financial.accounts": 5,
    "financial.transactions": 3000,
    "financial.security_prices": 1000,
    "financial.crypto_prices": 1000,
    "financial.portfolio_performance": 100,
    "smart_home.devices": 20,
    "smart_home.device_states": 10_000,
    "smart_home.automation_runs": 100,
    "media.items": 900,
    "media.playback_sessions": 300,
    "media.playlist_items": 50,
}


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_a_second_run_changes_nothing_and_says_so(
    database_url: URL, settings: Settings, connection: Connection, environment: Environment
) -> None:
    own = replace(settings, environment=environment)
    first = load.seed(database_url, own)
    assert not any(result.unchanged for result in first)
    assert one(connection, MARK) == environment
    assert (
        one(connection, "select string_agg(distinct environment, ',') from migrations.seed_runs")
        == environment
    )
    before = content(connection)
    second = load.seed(database_url, own)
    assert [result.file for result in second] == [result.file for result in first]
    assert all(result.unchanged for result in second)
    assert content(connection) == before


def test_what_the_strategy_names_is_there(
    database_url: URL, settings: Settings, connection: Connection
) -> None:
    load.seed(database_url, replace(settings, environment="production"))
    config: dict[str, object] = dict(
        connection.execute("select key, value from core.system_config").fetchall()
    )
    assert config["system.version"] == "1.0.0"
    assert config["ai.default_model"] == "gpt-4"
    assert config["system.environment"] == "production"
    assert config["security.encryption_enabled"] is True
    rooms = connection.execute("select name, type, floor from smart_home.rooms order by name").fetchall()
    assert rooms == [("Kitchen", "kitchen", 1), ("Living Room", "living_room", 1)]
    institutions = connection.execute("select name, type, api_config from financial.institutions").fetchall()
    assert institutions == [("Plaid", "aggregator", {"environment": "production"})]
    assert one(connection, "select count(*) from core.users") == 0


def test_there_is_enough_to_play_with(database_url: URL, settings: Settings, connection: Connection) -> None:
    load.seed(database_url, settings)
    too_few = {
        table: rows
        for table, least in LEAST_ROWS.items()
        if (rows := one(connection, f"select count(*) from {table}")) < least
    }
    assert too_few == {}
    days = one(connection, "select current_date - min(transaction_date) from financial.transactions")
    assert 360 <= days <= 400
    span = (
        "select extract(epoch from max(recorded_at) - min(recorded_at)) / 3600 from smart_home.device_states"
    )
    assert 700 <= one(connection, span) <= 750
    assert one(connection, SIGNED_IN) == "admin,user"


def test_deleted_rows_come_back_and_changed_ones_stay(
    database_url: URL, settings: Settings, connection: Connection
) -> None:
    load.seed(database_url, settings)
    gone = connection.execute("delete from financial.transactions where amount < -200").rowcount
    connection.execute("update financial.budgets set amount = 1 where name = 'Fuel'")
    connection.execute("update core.users set password_hash = 'mine' where role = 'user'")
    changed = {result.file: result.rows_changed for result in load.seed(database_url, settings)}
    assert changed.pop("development/004_transactions.sql") == gone > 0
    assert not any(changed.values())
    assert one(connection, "select amount from financial.budgets where name = 'Fuel'") == 1
    assert one(connection, "select password_hash from core.users where role = 'user'") == "mine"
