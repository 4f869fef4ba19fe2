"""v1.1.0: trading alerts, portfolio performance and crypto positions, against a model in Python."""

import datetime as dt
import random
import threading
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection, sql
from psycopg.errors import (
    CheckViolation,
    Error,
    ForeignKeyViolation,
    InsufficientPrivilege,
    NumericValueOutOfRange,
    RestrictViolation,
    UniqueViolation,
)
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect

USER, ACCOUNT, OTHER_ACCOUNT = UUID(int=1), UUID(int=2), UUID(int=3)
STOCK, EURO_STOCK = UUID(int=4), UUID(int=5)
BITCOIN, ETHER, TOKEN = UUID(int=6), UUID(int=7), UUID(int=8)
WALLET, ETHER_WALLET, ALERT = UUID(int=9), UUID(int=10), UUID(int=11)
NOTIFICATION = UUID(int=12)
NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
TABLES = [
    *("crypto_assets", "crypto_prices", "crypto_wallets", "crypto_positions"),
    *("trading_alerts", "trading_alert_events", "portfolio_performance"),
]


def insert(database: Connection, table: str, **row: object) -> None:
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    database.execute(statement, list(row.values()))


@pytest.fixture
def database(database_url: URL) -> Iterator[Connection]:
    """People and things that rows can refer to."""
    with connect(database_url) as connection:
        insert(connection, "core.users", id=USER, email="a@b.c", password_hash="h", full_name="A")
        insert(connection, "core.notifications", id=NOTIFICATION, user_id=USER, title="N")
        for key in (ACCOUNT, OTHER_ACCOUNT):
            insert(connection, "financial.accounts", id=key, user_id=USER, name="A", account_type="brokerage")
        for key, currency in ((STOCK, "USD"), (EURO_STOCK, "EUR")):
            insert(
                connection, "financial.securities", id=key, symbol=currency, name="S", type="stock", currency=currency
            )  # fmt: skip
        for key, network, contract in (
            (BITCOIN, "bitcoin", None),
            (ETHER, "ethereum", None),
            (TOKEN, "ethereum", "0xaa"),
        ):
            insert(
                connection, "financial.crypto_assets", id=key, symbol="C", name="C", network=network,
                contract_address=contract, decimals=8,
            )  # fmt: skip
        for key, network in ((WALLET, "bitcoin"), (ETHER_WALLET, "ethereum")):
            insert(
                connection, "financial.crypto_wallets", id=key, account_id=ACCOUNT, name="W", network=network,
                address=f"{network}1",
            )  # fmt: skip
        yield connection


# A row of each table that is taken, and the changes that make it one that is refused.
VALID: Mapping[str, Mapping[str, object]] = {
    "crypto_assets": {
        "symbol": "C", "name": "C", "network": "solana", "contract_address": "So1Ana", "decimals": 9,
    },
    "crypto_prices": {"asset_id": BITCOIN, "currency": "USD", "priced_at": NOON, "price": 1, "volume": 1},
    "crypto_wallets": {
        "account_id": ACCOUNT, "name": "W", "network": "bitcoin", "address": "bc1qX", "custody": "self",
    },
    "crypto_positions": {
        "wallet_id": WALLET, "asset_id": BITCOIN, "network": "bitcoin", "quantity": 1, "currency": "USD",
        "cost_basis": 1,
    },
    "trading_alerts": {
        "id": ALERT, "user_id": USER, "security_id": None, "crypto_asset_id": BITCOIN, "currency": "USD",
        "condition": "percent_fall", "threshold": 5, "period_days": 7, "cooldown_minutes": 60,
        "created_at": NOON, "expires_at": NOON + dt.timedelta(1),
    },
    "trading_alert_events": {
        "alert_id": ALERT, "fired_at": NOON, "price": 1, "observed": 1, "notification_id": NOTIFICATION,
        "acknowledged_at": NOON,
    },
    "portfolio_performance": {
        "account_id": ACCOUNT, "currency": "USD", "measured_at": NOON, "market_value": 1, "unpriced": 0,
    },
    "security_prices": {"security_id": STOCK, "priced_on": NOON.date(), "close": 1, "volume": 1},
}  # fmt: skip

REFUSED: list[tuple[str, dict[str, object]]] = [
    ("ck_crypto_assets_network", {"network": "Solana"}),
    ("ck_crypto_assets_network", {"network": "solana "}),
    ("ck_crypto_assets_network", {"network": ""}),
    ("ck_crypto_assets_contract_address", {"contract_address": "0xAbC"}),
    ("ck_crypto_assets_contract_address", {"contract_address": ""}),
    ("ck_crypto_assets_decimals", {"decimals": -1}),
    ("ck_crypto_assets_decimals", {"decimals": 37}),
    ("uq_crypto_assets_network_contract_address", {"network": "ethereum", "contract_address": None}),
    ("uq_crypto_assets_network_contract_address", {"network": "ethereum", "contract_address": "0xaa"}),
    ("ck_crypto_prices_currency", {"currency": "usd"}),
    ("ck_crypto_prices_price", {"price": -1}),
    ("ck_crypto_prices_price", {"price": Decimal("NaN")}),
    ("ck_crypto_prices_volume", {"volume": -1}),
    ("ck_crypto_prices_volume", {"volume": Decimal("NaN")}),
    ("fk_crypto_prices_asset_id", {"asset_id": USER}),
    ("pk_crypto_prices", {}),
    ("ck_crypto_wallets_network", {"network": "Bitcoin"}),
    ("ck_crypto_wallets_address", {"address": "0xABC"}),
    ("ck_crypto_wallets_address", {"address": "abandon ability able about"}),
    ("ck_crypto_wallets_address", {"address": "xprv9s21ZrQH143K3"}),
    ("ck_crypto_wallets_custody", {"custody": "nobody"}),
    ("ck_crypto_wallets_own_address", {"address": None}),
    ("uq_crypto_wallets_account_id_network_address", {"address": "bitcoin1"}),
    ("fk_crypto_wallets_account_id", {"account_id": USER}),
    ("ck_crypto_positions_quantity", {"quantity": Decimal("-0.000000000000000001")}),
    ("ck_crypto_positions_quantity", {"quantity": Decimal("NaN")}),
    ("ck_crypto_positions_currency", {"currency": "Dollar"}),
    ("ck_crypto_positions_cost_basis", {"cost_basis": -1}),
    ("uq_crypto_positions_wallet_id_network_asset_id", {}),
    ("fk_crypto_positions_wallet_id_network", {"wallet_id": ETHER_WALLET}),
    ("fk_crypto_positions_asset_id_network", {"asset_id": ETHER}),
    ("fk_crypto_positions_asset_id_network", {"network": "ethereum", "wallet_id": ETHER_WALLET}),
    ("ck_trading_alerts_subject", {"crypto_asset_id": None, "currency": None}),
    ("ck_trading_alerts_subject", {"security_id": STOCK}),
    ("ck_trading_alerts_quoted_in", {"currency": None}),
    ("ck_trading_alerts_quoted_in", {"security_id": STOCK, "crypto_asset_id": None}),
    ("ck_trading_alerts_currency", {"currency": "usd"}),
    ("ck_trading_alerts_condition", {"condition": "moon", "period_days": None}),
    ("ck_trading_alerts_threshold", {"threshold": 0}),
    ("ck_trading_alerts_threshold", {"threshold": Decimal("NaN"), "condition": "percent_rise"}),
    ("ck_trading_alerts_fall", {"threshold": 101}),
    ("ck_trading_alerts_period", {"period_days": None}),
    ("ck_trading_alerts_period", {"condition": "price_above"}),
    ("ck_trading_alerts_period_days", {"period_days": 0}),
    ("ck_trading_alerts_period_days", {"period_days": 367}),
    ("ck_trading_alerts_cooldown_minutes", {"cooldown_minutes": -1}),
    ("ck_trading_alerts_expires_at", {"expires_at": NOON}),
    ("uq_trading_alerts_question", {"id": USER}),
    ("fk_trading_alerts_user_id", {"user_id": ALERT}),
    ("fk_trading_alerts_crypto_asset_id", {"crypto_asset_id": ALERT}),
    ("fk_trading_alerts_security_id", {"security_id": ALERT, "crypto_asset_id": None, "currency": None}),
    ("pk_trading_alert_events", {}),
    ("ck_trading_alert_events_price", {"price": -1}),
    ("ck_trading_alert_events_price", {"price": Decimal("NaN")}),
    ("ck_trading_alert_events_acknowledged_at", {"acknowledged_at": NOON - dt.timedelta(seconds=1)}),
    ("fk_trading_alert_events_alert_id", {"alert_id": USER}),
    ("fk_trading_alert_events_notification_id", {"notification_id": USER}),
    ("pk_portfolio_performance", {}),
    ("ck_portfolio_performance_currency", {"currency": ""}),
    ("ck_portfolio_performance_unpriced", {"unpriced": -1}),
    ("fk_portfolio_performance_account_id", {"account_id": USER}),
    ("ck_security_prices_volume", {"volume": -1}),
]
ERRORS: Mapping[str, type[Error]] = {
    "ck": CheckViolation, "fk": ForeignKeyViolation, "pk": UniqueViolation, "uq": UniqueViolation,
}  # fmt: skip


def test_every_constraint_refuses_what_it_is_there_for(database: Connection) -> None:
    for table in VALID:
        with database.transaction(force_rollback=table != "trading_alerts"):
            insert(database, f"financial.{table}", **VALID[table])
    for constraint, changes in REFUSED:
        table = next(name for name in sorted(VALID, key=len, reverse=True) if constraint[3:].startswith(name))
        row = {**VALID[table], **changes}
        if constraint != "uq_trading_alerts_question" and table == "trading_alerts":
            row["id"] = uuid4()
        with database.transaction(force_rollback=True):
            if constraint[:2] in {"pk", "uq"} and not changes:
                insert(database, f"financial.{table}", **row)
            with pytest.raises(ERRORS[constraint[:2]]) as refused, database.transaction():
                insert(database, f"financial.{table}", **row)
        # A chunk's own name for a key begins with the chunk's number.
        assert (refused.value.diag.constraint_name or "").endswith(constraint), (constraint, changes)


def test_no_constraint_is_left_out_above(database: Connection) -> None:
    found = database.execute(
        """
        select conname from pg_constraint
        where contype in ('c', 'f', 'u') and conrelid = any(%s::regclass[])
        """,
        [[f"financial.{table}" for table in TABLES]],
    ).fetchall()
    # (id, network) is unique because the id is: it is there for the foreign keys of positions.
    assert {name for (name,) in found} - {name for name, _ in REFUSED} == {
        "uq_crypto_assets_id_network",
        "uq_crypto_wallets_id_network",
    }


def test_what_is_allowed_at_the_edges(database: Connection) -> None:
    for changes in (
        {"decimals": 0},
        {"network": "polygon-pos", "contract_address": "0xaa", "decimals": 36},
        {"contract_address": None},
        {"contract_address": "so1ana"},  # not 0x: another address
    ):
        insert(database, "financial.crypto_assets", **{**VALID["crypto_assets"], **changes})
    wallet = dict(VALID["crypto_wallets"])
    insert(database, "financial.crypto_wallets", **{**wallet, "account_id": OTHER_ACCOUNT})
    insert(database, "financial.crypto_wallets", **{**wallet, "address": None, "custody": "exchange"})
    tiny = Decimal("12345678901234567890.000000000000000001")
    insert(database, "financial.crypto_positions", **{**VALID["crypto_positions"], "quantity": tiny})
    assert database.execute("select quantity from financial.crypto_positions").fetchone() == (tiny,)
    with pytest.raises(NumericValueOutOfRange):
        database.execute("update financial.crypto_positions set quantity = 1e20")
    alert = dict(VALID["trading_alerts"])
    insert(database, "financial.trading_alerts", **alert)
    database.execute("update financial.trading_alerts set is_active = false")
    insert(database, "financial.trading_alerts", **{**alert, "id": uuid4()})


def test_what_goes_takes_along_what_means_nothing_without_it(database: Connection) -> None:
    for table in TABLES[1:]:
        if table != "crypto_wallets":
            insert(database, f"financial.{table}", **VALID[table])
    with pytest.raises((ForeignKeyViolation, RestrictViolation)):
        database.execute("delete from financial.crypto_assets where id = %s", [BITCOIN])
    database.execute("delete from core.notifications")
    assert database.execute(
        "select notification_id from financial.trading_alert_events"
    ).fetchall() == [(None,)]  # fmt: skip
    database.execute("delete from financial.accounts where id = %s", [ACCOUNT])
    left = {
        table
        for table in TABLES
        if database.execute(f"select from financial.{table}".encode()).rowcount
    }  # fmt: skip
    assert left == {"crypto_assets", "crypto_prices", "trading_alerts", "trading_alert_events"}
    database.execute("delete from financial.crypto_assets where id = %s", [BITCOIN])
    for table in ("crypto_prices", "trading_alerts", "trading_alert_events"):
        assert database.execute(f"select from financial.{table}".encode()).rowcount == 0


def test_time_series_are_hypertables(database: Connection) -> None:
    found = database.execute("select hypertable_name from timescaledb_information.hypertables").fetchall()
    assert {"crypto_prices", "portfolio_performance"} <= {name for (name,) in found}


def test_positions_are_audited_and_stamped(database: Connection) -> None:
    insert(database, "financial.crypto_positions", **VALID["crypto_positions"])
    database.execute("update financial.crypto_positions set quantity = 2")
    assert database.execute(
        """
        select table_name, operation, changed_columns, new_row ->> 'quantity' from core.audit_log
        where table_name like 'crypto_p%' order by id
        """
    ).fetchall() == [
        ("crypto_positions", "INSERT", None, "1.000000000000000000"),
        ("crypto_positions", "UPDATE", ["quantity", "updated_at"], "2.000000000000000000"),
    ]


# Portfolios


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


class Portfolios:
    """Two accounts with random holdings and prices, in the database and in Python."""

    def __init__(self, database: Connection, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311
        self.first = dt.date(2026, 1, 1)
        self.positions: list[tuple[UUID, str, UUID, str, Decimal, Decimal | None]] = []
        self.prices: dict[tuple[UUID, str], list[tuple[dt.datetime, Decimal]]] = {}

        def amount(digits: int, most: int) -> Decimal:
            return Decimal(dice.randrange(most * 10**digits)).scaleb(-digits)

        def cost() -> Decimal | None:
            return dice.choice([None, amount(2, 5000)])

        for n in range(6):
            key, currency = uuid4(), dice.choice(["USD", "EUR"])
            insert(
                database, "financial.securities", id=key, symbol=f"S{n}", name="S", type="etf", currency=currency
            )  # fmt: skip
            self.prices[key, currency] = []
            for day in dice.sample(range(20), dice.choice([0, 1, 5])):
                price, on_day = amount(6, 400), self.first + dt.timedelta(day)
                insert(
                    database, "financial.security_prices", security_id=key, priced_on=on_day, close=price
                )  # fmt: skip
                self.prices[key, currency].append(
                    (dt.datetime.combine(on_day, dt.time(), dt.UTC), price)
                )  # fmt: skip
            for account in dice.sample([ACCOUNT, OTHER_ACCOUNT], dice.choice([1, 2])):
                held = (account, "security", key, currency, amount(8, 100), cost())
                insert(
                    database, "financial.holdings", account_id=account, security_id=key, quantity=held[4],
                    cost_basis=held[5],
                )  # fmt: skip
                self.positions.append(held)
        for asset, wallet in ((BITCOIN, WALLET), (ETHER, ETHER_WALLET), (TOKEN, ETHER_WALLET)):
            for currency in ("USD", "EUR", "CHF"):
                self.prices[asset, currency] = []
                for hour in dice.sample(range(20 * 24), dice.choice([0, 8])):
                    price = amount(18, 3000)
                    at = dt.datetime.combine(self.first, dt.time(hour % 24), dt.UTC)
                    at += dt.timedelta(hour // 24)
                    insert(
                        database, "financial.crypto_prices", asset_id=asset, currency=currency, priced_at=at,
                        price=price,
                    )  # fmt: skip
                    self.prices[asset, currency].append((at, price))
            held = (ACCOUNT, "crypto", asset, dice.choice(["USD", "CHF"]), amount(18, 10), cost())
            insert(
                database, "financial.crypto_positions", wallet_id=wallet, asset_id=asset, quantity=held[4],
                network="bitcoin" if asset == BITCOIN else "ethereum", currency=held[3], cost_basis=held[5],
            )  # fmt: skip
            self.positions.append(held)

    def price(self, thing: UUID, currency: str, on_day: dt.date) -> Decimal | None:
        until = dt.datetime.combine(on_day + dt.timedelta(1), dt.time(), dt.UTC)
        known = [one for one in self.prices[thing, currency] if one[0] < until]
        return max(known)[1] if known else None

    def value(self, account: UUID, on_day: dt.date) -> list[tuple[Any, ...]]:
        """What financial.portfolio_value gives."""
        found = []
        for wanted in sorted({held[3] for held in self.positions if held[0] == account}):
            mine = [held for held in self.positions if (held[0], held[3]) == (account, wanted)]
            priced = [(self.price(thing, unit, on_day), n) for _, _, thing, unit, n, _ in mine]
            worth = sum((cents(price * n) for price, n in priced if price is not None), Decimal())
            costs = [cost for *_, cost in mine if cost is not None]
            cost = sum(costs) if len(costs) == len(mine) else None
            found.append((wanted, worth, cost, len(mine), sum(price is None for price, _ in priced)))
        return found


def test_a_portfolio_is_worth_what_the_model_says(database: Connection) -> None:
    for seed in (1, 2):
        with database.transaction(force_rollback=True):
            model = Portfolios(database, seed)
            database.execute("set timezone = 'Pacific/Auckland'")
            for day in range(-1, 21):
                on_day = model.first + dt.timedelta(day)
                for account in (ACCOUNT, OTHER_ACCOUNT):
                    found = database.execute(
                        "select * from financial.portfolio_value(%s, %s)", [account, on_day]
                    ).fetchall()
                    assert found == model.value(account, on_day)


def test_positions_stand_beside_one_another_and_add_up_to_the_value(database: Connection) -> None:
    model = Portfolios(database, seed=3)
    last = model.first + dt.timedelta(40)
    expected = set()
    for account, kind, thing, currency, quantity, cost in model.positions:
        price = model.price(thing, currency, last)
        worth = None if price is None else cents(price * quantity)
        gain = None if worth is None or cost is None else worth - cost
        expected.add((account, kind, thing, currency, quantity, price, worth, cost, gain))
    found = database.execute(
        """
        select account_id, kind, coalesce(security_id, crypto_asset_id), currency, quantity, price, market_value,
               cost_basis, unrealised_gain
        from financial.portfolio_positions where num_nonnulls(security_id, crypto_asset_id) = 1
          and (wallet_id is null) = (kind = 'security')
        """
    ).fetchall()
    assert set(found) == expected
    assert len(found) == len(expected)
    assert database.execute(
        """
        select count(*) from financial.accounts a
        cross join lateral financial.portfolio_value(a.id, %s) v
        full join (
            select account_id, currency, coalesce(sum(market_value), 0) as worth, count(*) as positions
            from financial.portfolio_positions group by account_id, currency
        ) p on p.account_id = a.id and p.currency = v.currency
        where (p.worth, p.positions) is distinct from (v.market_value, v.positions)
        """,
        [last],
    ).fetchone() == (0,)


def test_a_day_ends_at_midnight_utc_wherever_the_client_is(database: Connection) -> None:
    insert(database, "financial.crypto_positions", **VALID["crypto_positions"])
    midnight = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    for at, price in ((midnight - dt.timedelta(microseconds=1), 3), (midnight, 5)):
        insert(
            database, "financial.crypto_prices", asset_id=BITCOIN, currency="USD", priced_at=at, price=price
        )  # fmt: skip
    for zone in ("America/Los_Angeles", "Pacific/Auckland"):
        database.execute(sql.SQL("set timezone = {}").format(zone))
        values = database.execute(
            """
            select v.market_value from unnest('{2026-03-08,2026-03-09,2026-03-10}'::date[]) as on_day
            left join lateral financial.portfolio_value(%s, on_day) v on true order by on_day
            """,
            [ACCOUNT],
        ).fetchall()
        assert values == [(0,), (3,), (5,)]
        (day,) = database.execute("select priced_on from financial.portfolio_positions").fetchone()
        assert day == dt.date(2026, 3, 10)


def measure(database: Connection, day: int, value: int, flow: int = 0, currency: str = "USD") -> None:
    insert(
        database, "financial.portfolio_performance", account_id=ACCOUNT, currency=currency,
        measured_at=NOON + dt.timedelta(day), market_value=value, cash_flow=flow,
    )  # fmt: skip


def returns(database: Connection, first: int, last: int) -> list[tuple[Any, ...]]:
    return database.execute(
        "select market_value, cash_flow, period_return, total_return"
        " from financial.portfolio_returns(%s, 'USD', %s, %s)",
        [ACCOUNT, NOON + dt.timedelta(first), NOON + dt.timedelta(last)],
    ).fetchall()


def test_returns_leave_out_what_was_paid_in(database: Connection) -> None:
    """By hand: a tenth up; again, although 100 came in; all taken out; 0; 50 into nothing; a fifth down."""
    for day, value, flow in (
        (0, 100, 0), (1, 110, 0), (2, 221, 100), (3, 0, -221), (4, 0, 0), (5, 50, 50), (6, 40, 0),
    ):  # fmt: skip
        measure(database, day, value, flow)
    measure(database, 1, 1_000_000, currency="EUR")
    numbers = [tuple(None if n is None else float(n) for n in row) for row in returns(database, 0, 6)]
    assert numbers == [
        (100, 0, None, 0),
        (110, 0, 0.1, 0.1),
        (221, 100, 0.1, 0.21),
        (0, -221, 0, 0.21),
        (0, 0, None, 0.21),
        (50, 50, None, 0.21),
        (40, 0, -0.2, -0.032),
    ]
    # What is asked for begins anew with its first measurement.
    assert [row[2:] for row in returns(database, 5, 5)] == [(None, 0)]
    assert returns(database, 7, 9) == []


def test_returns_of_many_measurements_are_those_of_the_model(database: Connection) -> None:
    dice = random.Random(5)  # noqa: S311
    before, growth, expected = None, Decimal(1), []
    for day in range(60):
        value, flow = (
            Decimal(dice.randrange(1, 9999)),
            Decimal(dice.choice([0, 0, dice.randrange(-500, 500)])),
        )
        measure(database, day, int(value), int(flow))
        gain = None if before is None else (value - flow) / before - 1
        growth *= 1 + (gain or 0)
        expected.append((gain, growth - 1))
        before = value
    for (_, _, gain, total), (wanted_gain, wanted_total) in zip(
        returns(database, 0, 60), expected, strict=True
    ):
        assert gain == (None if wanted_gain is None else pytest.approx(wanted_gain, abs=Decimal("1e-8")))
        assert total == pytest.approx(wanted_total, abs=Decimal("1e-8"), rel=Decimal("1e-12"))


# Alerts


def price(database: Connection, value: float, ago: dt.timedelta = dt.timedelta(), **more: object) -> None:
    row = {"asset_id": BITCOIN, "currency": "USD", "priced_at": NOON - ago, "price": value, **more}
    insert(database, "financial.crypto_prices", **row)


def close(database: Connection, value: float, days_ago: int = 0, volume: int | None = None) -> None:
    insert(
        database, "financial.security_prices", security_id=STOCK, close=value, volume=volume,
        priced_on=NOON.date() - dt.timedelta(days_ago),
    )  # fmt: skip


def alert(
    database: Connection, condition: str, threshold: float, *, stock: bool = False, **more: object
) -> UUID:
    key = uuid4()
    of = {"security_id": STOCK} if stock else {"crypto_asset_id": BITCOIN, "currency": "USD"}
    if condition.startswith("percent"):
        of["period_days"] = 7
    row = {"id": key, "user_id": USER, "condition": condition, "threshold": threshold, **of, **more}
    insert(database, "financial.trading_alerts", **row)
    return key


def due(database: Connection, moment: dt.datetime = NOON) -> list[tuple[Any, ...]]:
    return database.execute("select * from financial.due_trading_alerts(%s)", [moment]).fetchall()


def fired(database: Connection, moment: dt.datetime = NOON) -> list[tuple[Any, ...]]:
    query = "select alert_id, fired_at, price, observed from financial.fire_trading_alerts(%s)"
    return database.execute(query, [moment]).fetchall()


# Price and volume seven days ago were 100 and 900; the last ones are 110 or 90, and 1000.
CONDITIONS = [
    ("price_above", 109.99, 110, 110),
    ("price_above", 110, 110, None),
    ("price_below", 90.01, 90, 90),
    ("price_below", 90, 90, None),
    ("percent_rise", 10, 110, 10),
    ("percent_rise", 10.01, 110, None),
    ("percent_rise", 1, 90, None),
    ("percent_fall", 10, 90, -10),
    ("percent_fall", 10.01, 90, None),
    ("percent_fall", 1, 110, None),
    ("volume_above", 999, 90, 1000),
    ("volume_above", 1000, 90, None),
]


def test_conditions_are_met_as_they_say(database: Connection) -> None:
    for stock in (False, True):
        for condition, threshold, last, observed in CONDITIONS:
            with database.transaction(force_rollback=True):
                if stock:
                    close(database, 100, 7, 900)
                    close(database, last, 1, 1000)
                else:
                    price(database, 100, dt.timedelta(7), volume=900)
                    price(database, last, dt.timedelta(hours=1), volume=1000)
                    price(database, 1000, currency="EUR")
                    price(database, 1000, -dt.timedelta(microseconds=1))  # of the future
                key = alert(database, condition, threshold, stock=stock)
                expected = [] if observed is None else [(key, last, observed)]
                assert due(database) == expected, (stock, condition, threshold)


def test_what_has_no_price_doesnt_ring(database: Connection) -> None:
    for stock in (False, True):
        for condition in ("price_above", "price_below", "percent_rise", "percent_fall", "volume_above"):
            alert(database, condition, 1, stock=stock)
    assert due(database) == []
    price(database, 0, dt.timedelta(8))  # a change from nothing is no percentage
    price(database, 50)
    assert {row[2] for row in due(database)} == {50}


def test_days_have_24_hours_also_when_clocks_change(database: Connection) -> None:
    database.execute("set timezone = 'Europe/Berlin'")
    moment = dt.datetime(2026, 3, 29, 12, tzinfo=dt.UTC)
    for hours, value in ((24, 100), (23.5, 50), (0, 105)):
        price(database, value, priced_at=moment - dt.timedelta(hours=hours))
    key = alert(database, "percent_rise", 5, period_days=1)
    assert due(database, moment) == [(key, 105, 5)]


def test_an_alert_rests_for_its_cooldown_and_fires_once_a_moment(database: Connection) -> None:
    price(database, 100, dt.timedelta(1))
    slow = alert(database, "price_above", 1, cooldown_minutes=60)
    eager = alert(database, "price_above", 2, cooldown_minutes=0)
    expected: list[tuple[int, set[UUID]]] = [
        (0, {slow, eager}),
        (0, set()),
        (-1, set()),
        (59, {eager}),
        (60, {slow, eager}),
        (119, {eager}),
    ]
    for minutes, keys in expected:
        moment = NOON + dt.timedelta(minutes=minutes)
        assert sorted(fired(database, moment)) == sorted((key, moment, 100, 100) for key in keys), minutes
        assert due(database, moment) == [], minutes
    count = database.execute("select count(*) from financial.trading_alert_events").fetchone()
    assert count == (sum(len(keys) for _, keys in expected),)


def test_who_is_switched_off_or_expired_is_silent(database: Connection) -> None:
    price(database, 100, dt.timedelta(1))
    created = NOON - dt.timedelta(9)
    alert(database, "price_above", 1, is_active=False)
    alert(database, "price_above", 2, created_at=created, expires_at=NOON)
    awake = alert(
        database, "price_above", 3, created_at=created, expires_at=NOON + dt.timedelta(microseconds=1)
    )
    assert due(database) == [(awake, 100, 100)]
    assert [row[0] for row in fired(database)] == [awake]


def test_two_that_look_at_once_ring_once(database: Connection, database_url: URL) -> None:
    price(database, 100, dt.timedelta(1))
    keys = {alert(database, "price_above", n, cooldown_minutes=60) for n in range(1, 6)}
    second: list[tuple[Any, ...]] = [()]

    def look(connection: Connection) -> None:
        second[:] = fired(connection, NOON + dt.timedelta(seconds=1))

    with connect(database_url) as other:
        thread = threading.Thread(target=look, args=(other,))
        with database.transaction():
            assert {row[0] for row in fired(database)} == keys
            thread.start()
            waiting = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
            with connect(database_url) as watcher:
                end = monotonic() + 10
                while watcher.execute(waiting, [other.info.backend_pid]).fetchone() != (True,):
                    assert monotonic() < end, "the second didn't wait for the first"
                    sleep(0.01)
        thread.join()
    assert second == []


# Rights


def test_the_view_reads_with_its_readers_rights(database: Connection) -> None:
    with database.transaction(force_rollback=True):
        database.execute("create role tests_looker")
        database.execute("grant usage on schema financial to tests_looker")
        database.execute("grant select on financial.portfolio_positions to tests_looker")
        database.execute("set local role tests_looker")
        with pytest.raises(InsufficientPrivilege, match=r"permission denied for table"):
            database.execute("select from financial.portfolio_positions")


def test_readonly_may_look_and_the_application_may_fire(database: Connection) -> None:
    price(database, 100, dt.timedelta(1))
    alert(database, "price_above", 1)
    with database.transaction(force_rollback=True):
        database.execute("set local role homeops_readonly")
        database.execute("select * from financial.portfolio_positions")
        database.execute("select * from financial.portfolio_value(%s, current_date)", [ACCOUNT])
        assert len(due(database)) == 1
        with pytest.raises(InsufficientPrivilege):
            fired(database)
    with database.transaction(force_rollback=True):
        database.execute("set local role homeops_app")
        assert len(fired(database)) == 1
