"""Enhanced financial features: trading alerts, portfolio performance, crypto positions.

Users get preferences, and closing prices a volume: online, and first, for both tables are in use. The new
tables follow in one transaction; crypto prices and performance are hypertables where TimescaleDB is. Their
foreign keys to tables in use come last, so that their locks are held for a moment only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from homeops_db import online

revision = "v1.1.0"
down_revision = "v1.0.0"
branch_labels = None
depends_on = None
change = "minor"

TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")
# Ether is counted in units of 10^-18, and so are most tokens.
CRYPTO = sa.Numeric(38, 18)

CURRENCY = "currency ~ '^[A-Z]{3}$'"
NETWORK = "network ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$'"

TABLES = (
    "crypto_assets",
    "crypto_prices",
    "crypto_wallets",
    "crypto_positions",
    "trading_alerts",
    "trading_alert_events",
    "portfolio_performance",
)

# Table, column, what it refers to, and what happens when that goes.
OUTWARD = (
    ("trading_alerts", "user_id", "core.users", "CASCADE"),
    ("trading_alert_events", "notification_id", "core.notifications", "SET NULL"),
    ("crypto_wallets", "account_id", "financial.accounts", "CASCADE"),
    ("portfolio_performance", "account_id", "financial.accounts", "CASCADE"),
    ("trading_alerts", "security_id", "financial.securities", "CASCADE"),
)

UPDATED = ("crypto_assets", "crypto_positions", "crypto_wallets", "trading_alerts")

AUDITED = ("crypto_positions", "crypto_wallets")

# Table, time column, and how much of it one chunk holds.
HYPERTABLES = (
    ("crypto_prices", "priced_at", "90 days"),
    ("portfolio_performance", "measured_at", "365 days"),
)

# homeops_readonly reads core.users column by column, because of its secret.
GRANT_PREFERENCES = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_readonly') THEN
        GRANT SELECT (preferences) ON core.users TO homeops_readonly;
    END IF;
END
$$
"""

# The extension may live in another schema than public.
MAKE_HYPERTABLE = """
DO $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'timescaledb');
BEGIN
    IF home IS NOT NULL THEN
        EXECUTE format(
            'SELECT %I.create_hypertable(%L, %L, create_default_indexes => false,'
            ' chunk_time_interval => interval %L)',
            home, '{table}', '{column}', '{interval}'
        );
    END IF;
END
$$
"""

PORTFOLIO_VALUE = """
CREATE OR REPLACE FUNCTION financial.portfolio_value(account uuid, on_day date)
RETURNS TABLE (currency text, market_value numeric, cost_basis numeric, positions bigint, unpriced bigint)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- One row a currency, for sums of different ones mean nothing. A price is the last one of that day or
    -- before, in UTC; quantities are those of now: what was held earlier is in portfolio_performance.
    SELECT held.currency,
           coalesce(sum(round(held.quantity * held.price, 2)), 0),
           CASE WHEN count(held.cost_basis) = count(*) THEN sum(held.cost_basis) END,
           count(*),
           count(*) FILTER (WHERE held.price IS NULL)
    FROM (
        SELECT s.currency, h.quantity, h.cost_basis, last.price
        FROM financial.holdings h
        JOIN financial.securities s ON s.id = h.security_id
        LEFT JOIN LATERAL (
            SELECT p.close AS price
            FROM financial.security_prices p
            WHERE p.security_id = h.security_id AND p.priced_on <= on_day
            ORDER BY p.priced_on DESC
            LIMIT 1
        ) last ON true
        WHERE h.account_id = account
        UNION ALL
        SELECT c.currency, c.quantity, c.cost_basis, last.price
        FROM financial.crypto_wallets w
        JOIN financial.crypto_positions c ON c.wallet_id = w.id
        LEFT JOIN LATERAL (
            SELECT p.price
            FROM financial.crypto_prices p
            WHERE p.asset_id = c.asset_id AND p.currency = c.currency
              AND p.priced_at < (on_day + 1)::timestamp AT TIME ZONE 'UTC'
            ORDER BY p.priced_at DESC
            LIMIT 1
        ) last ON true
        WHERE w.account_id = account
    ) held
    GROUP BY held.currency
    ORDER BY held.currency
$$
"""

PORTFOLIO_POSITIONS = """
CREATE OR REPLACE VIEW financial.portfolio_positions AS
SELECT held.account_id,
       held.kind,
       held.security_id,
       held.crypto_asset_id,
       held.wallet_id,
       held.symbol,
       held.name,
       held.quantity,
       held.currency,
       held.price,
       held.priced_on,
       round(held.quantity * held.price, 2) AS market_value,
       held.cost_basis,
       round(held.quantity * held.price, 2) - held.cost_basis AS unrealised_gain
FROM (
    SELECT h.account_id, 'security' AS kind, s.id AS security_id, NULL::uuid AS crypto_asset_id,
           NULL::uuid AS wallet_id, s.symbol, s.name, h.quantity, s.currency, last.price, last.priced_on,
           h.cost_basis
    FROM financial.holdings h
    JOIN financial.securities s ON s.id = h.security_id
    LEFT JOIN LATERAL (
        SELECT p.close AS price, p.priced_on
        FROM financial.security_prices p
        WHERE p.security_id = h.security_id
        ORDER BY p.priced_on DESC
        LIMIT 1
    ) last ON true
    UNION ALL
    SELECT w.account_id, 'crypto', NULL, c.asset_id, w.id, a.symbol, a.name, c.quantity, c.currency,
           last.price, (last.priced_at AT TIME ZONE 'UTC')::date, c.cost_basis
    FROM financial.crypto_positions c
    JOIN financial.crypto_wallets w ON w.id = c.wallet_id
    JOIN financial.crypto_assets a ON a.id = c.asset_id
    LEFT JOIN LATERAL (
        SELECT p.price, p.priced_at
        FROM financial.crypto_prices p
        WHERE p.asset_id = c.asset_id AND p.currency = c.currency
        ORDER BY p.priced_at DESC
        LIMIT 1
    ) last ON true
) held
"""

PORTFOLIO_RETURNS = """
CREATE OR REPLACE FUNCTION financial.portfolio_returns(
    account uuid, unit text, since timestamptz, until timestamptz
)
RETURNS TABLE (
    measured_at timestamptz, market_value numeric, cash_flow numeric,
    period_return numeric, total_return numeric
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before numeric;
    gain numeric;
    growth numeric = 1;
BEGIN
    -- Time-weighted: what is paid in or taken out doesn't count as a gain, whenever it happens.
    FOR measured_at, market_value, cash_flow IN
        SELECT p.measured_at, p.market_value, p.cash_flow
        FROM financial.portfolio_performance p
        WHERE p.account_id = account AND p.currency = unit AND p.measured_at BETWEEN since AND until
        ORDER BY p.measured_at
    LOOP
        -- Of nothing there is no return: the first measurement, and the first after an empty account.
        gain = CASE WHEN before > 0 THEN (market_value - cash_flow) / before - 1 END;
        growth = round(growth * (1 + coalesce(gain, 0)), 20);
        period_return = round(gain, 8);
        total_return = round(growth - 1, 8);
        before = market_value;
        RETURN NEXT;
    END LOOP;
END
$$
"""

DUE_TRADING_ALERTS = """
CREATE OR REPLACE FUNCTION financial.due_trading_alerts(moment timestamptz)
RETURNS TABLE (alert_id uuid, price numeric, observed numeric)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT seen.id, seen.price, seen.observed
    FROM (
        SELECT a.id, a.condition, a.threshold, last.price,
               CASE
                   WHEN a.condition IN ('price_above', 'price_below') THEN last.price
                   WHEN a.condition = 'volume_above' THEN last.volume
                   WHEN earlier.price > 0 THEN (last.price - earlier.price) * 100 / earlier.price
               END AS observed
        FROM financial.trading_alerts a
        CROSS JOIN LATERAL (
            (SELECT p.close AS price, p.volume::numeric AS volume
             FROM financial.security_prices p
             WHERE p.security_id = a.security_id AND p.priced_on <= (moment AT TIME ZONE 'UTC')::date
             ORDER BY p.priced_on DESC
             LIMIT 1)
            UNION ALL
            (SELECT p.price, p.volume
             FROM financial.crypto_prices p
             WHERE p.asset_id = a.crypto_asset_id AND p.currency = a.currency AND p.priced_at <= moment
             ORDER BY p.priced_at DESC
             LIMIT 1)
        ) last
        LEFT JOIN LATERAL (
            (SELECT p.close AS price
             FROM financial.security_prices p
             WHERE p.security_id = a.security_id
               AND p.priced_on <= (moment AT TIME ZONE 'UTC')::date - a.period_days
             ORDER BY p.priced_on DESC
             LIMIT 1)
            UNION ALL
            -- Days of 24 hours: those of a session's time zone are longer and shorter twice a year.
            (SELECT p.price
             FROM financial.crypto_prices p
             WHERE p.asset_id = a.crypto_asset_id AND p.currency = a.currency
               AND p.priced_at <= moment - make_interval(hours => 24 * a.period_days)
             ORDER BY p.priced_at DESC
             LIMIT 1)
        ) earlier ON true
        WHERE a.is_active
          AND (a.expires_at IS NULL OR a.expires_at > moment)
          AND (a.last_fired_at IS NULL
               OR (a.last_fired_at < moment
                   AND a.last_fired_at + make_interval(mins => a.cooldown_minutes) <= moment))
    ) seen
    WHERE CASE seen.condition
              WHEN 'price_above' THEN seen.observed > seen.threshold
              WHEN 'price_below' THEN seen.observed < seen.threshold
              WHEN 'percent_rise' THEN seen.observed >= seen.threshold
              WHEN 'percent_fall' THEN -seen.observed >= seen.threshold
              WHEN 'volume_above' THEN seen.observed > seen.threshold
          END
$$
"""

FIRE_TRADING_ALERTS = """
CREATE OR REPLACE FUNCTION financial.fire_trading_alerts(moment timestamptz)
RETURNS SETOF financial.trading_alert_events
LANGUAGE sql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT a.id, d.price, d.observed
        FROM financial.trading_alerts a
        JOIN financial.due_trading_alerts(moment) d ON d.alert_id = a.id
        -- Asked again of the row itself: another run may have fired it while this one waited for the row.
        WHERE a.is_active
          AND (a.last_fired_at IS NULL
               OR (a.last_fired_at < moment
                   AND a.last_fired_at + make_interval(mins => a.cooldown_minutes) <= moment))
        ORDER BY a.id
        FOR NO KEY UPDATE OF a
    ),
    fired AS (
        UPDATE financial.trading_alerts a
        SET last_fired_at = moment
        FROM due
        WHERE a.id = due.id
        RETURNING a.id, due.price, due.observed
    )
    INSERT INTO financial.trading_alert_events (alert_id, fired_at, price, observed)
    SELECT f.id, moment, f.price, f.observed
    FROM fired f
    ON CONFLICT (alert_id, fired_at) DO NOTHING
    RETURNING *
$$
"""

SIGNATURES = (
    "financial.portfolio_value(uuid, date)",
    "financial.portfolio_returns(uuid, text, timestamptz, timestamptz)",
    "financial.due_trading_alerts(timestamptz)",
    "financial.fire_trading_alerts(timestamptz)",
)


def upgrade() -> None:
    online.add_column(
        "users",
        sa.Column("preferences", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        schema="core",
    )
    online.add_column("security_prices", sa.Column("volume", sa.BigInteger()), schema="financial")
    online.create_check_constraint(
        "ck_security_prices_volume", "security_prices", "volume >= 0", schema="financial"
    )
    op.execute(GRANT_PREFERENCES)
    _create_crypto()
    _create_alerts()
    _create_performance()
    _create_functions()
    _refer_to_tables_in_use()


def downgrade() -> None:
    online.drop_column("users", "preferences", schema="core")
    online.drop_constraint("ck_security_prices_volume", "security_prices", schema="financial", type_="check")
    online.drop_column("security_prices", "volume", schema="financial")
    for signature in reversed(SIGNATURES):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP VIEW financial.portfolio_positions")
    for table in reversed(TABLES):
        op.drop_table(table, schema="financial")


def _create_crypto() -> None:
    _table(
        "crypto_assets",
        _key(),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("contract_address", sa.Text()),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        *_timestamps(),
        # For the foreign key of positions.
        unique=["id, network"],
        # A symbol is anybody's to choose, a contract is not; a network has one coin without.
        unique_with_null=["network, contract_address"],
        checks={
            "network": NETWORK,
            "contract_address": _address("contract_address"),
            "decimals": "decimals BETWEEN 0 AND 36",
        },
        indexes=["symbol"],
    )
    _table(
        "crypto_prices",
        _reference("asset_id", "financial.crypto_assets.id", "CASCADE", primary_key=True),
        sa.Column("currency", sa.Text(), primary_key=True),
        sa.Column("priced_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("price", CRYPTO, nullable=False),
        sa.Column("volume", sa.Numeric(38, 8)),
        sa.Column("source", sa.Text()),
        checks={
            "currency": CURRENCY,
            "price": "price >= 0 AND price <> 'NaN'",
            "volume": "volume >= 0 AND volume <> 'NaN'",
        },
    )
    _table(
        "crypto_wallets",
        _key(),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("custody", sa.Text(), server_default="self", nullable=False),
        *_timestamps(),
        unique=["id, network"],
        unique_with_null=["account_id, network, address"],
        choices={"custody": "self exchange custodian"},
        checks={
            "network": NETWORK,
            "address": _address("address"),
            "own_address": "address IS NOT NULL OR custody <> 'self'",
        },
    )
    _table(
        "crypto_positions",
        _key(),
        sa.Column("wallet_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("quantity", CRYPTO, nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("cost_basis", sa.Numeric(15, 2)),
        *_timestamps(),
        # A coin lies only in a wallet of its own network.
        sa.ForeignKeyConstraint(
            ["wallet_id", "network"],
            ["financial.crypto_wallets.id", "financial.crypto_wallets.network"],
            name=op.f("fk_crypto_positions_wallet_id_network"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id", "network"],
            ["financial.crypto_assets.id", "financial.crypto_assets.network"],
            name=op.f("fk_crypto_positions_asset_id_network"),
            ondelete="RESTRICT",
        ),
        unique=["wallet_id, network, asset_id"],
        checks={
            "currency": CURRENCY,
            "quantity": "quantity >= 0 AND quantity <> 'NaN'",
            "cost_basis": "cost_basis >= 0 AND cost_basis <> 'NaN'",
        },
        indexes=["asset_id, network"],
    )
    _make_hypertable("crypto_prices")


def _create_alerts() -> None:
    _table(
        "trading_alerts",
        _key(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("security_id", sa.Uuid()),
        _reference("crypto_asset_id", "financial.crypto_assets.id", "CASCADE", nullable=True),
        sa.Column("currency", sa.Text()),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("threshold", CRYPTO, nullable=False),
        sa.Column("period_days", sa.SmallInteger()),
        sa.Column("note", sa.Text()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("cooldown_minutes", sa.Integer(), server_default=sa.text("1440"), nullable=False),
        sa.Column("expires_at", TIMESTAMPTZ),
        sa.Column("last_fired_at", TIMESTAMPTZ),
        *_timestamps(),
        choices={"condition": "price_above price_below percent_rise percent_fall volume_above"},
        checks={
            "currency": CURRENCY,
            "subject": "num_nonnulls(security_id, crypto_asset_id) = 1",
            # A security is quoted in its own currency, a coin in any.
            "quoted_in": "(crypto_asset_id IS NULL) = (currency IS NULL)",
            "threshold": "threshold > 0 AND threshold <> 'NaN'",
            "fall": "condition <> 'percent_fall' OR threshold <= 100",
            "period": "(condition IN ('percent_rise', 'percent_fall')) = (period_days IS NOT NULL)",
            "period_days": "period_days BETWEEN 1 AND 366",
            "cooldown_minutes": "cooldown_minutes >= 0",
            "expires_at": "expires_at > created_at",
        },
        indexes=["user_id", "security_id", "crypto_asset_id"],
    )
    # The same question twice would ring twice.
    op.create_index(
        op.f("uq_trading_alerts_question"),
        "trading_alerts",
        ["user_id", "security_id", "crypto_asset_id", "currency", "condition", "threshold", "period_days"],
        unique=True,
        schema="financial",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("is_active"),
    )
    _table(
        "trading_alert_events",
        _reference("alert_id", "financial.trading_alerts.id", "CASCADE", primary_key=True),
        sa.Column("fired_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("price", CRYPTO, nullable=False),
        sa.Column("observed", CRYPTO, nullable=False),
        sa.Column("notification_id", sa.Uuid()),
        sa.Column("acknowledged_at", TIMESTAMPTZ),
        checks={
            "price": "price >= 0 AND price <> 'NaN'",
            "acknowledged_at": "acknowledged_at >= fired_at",
        },
        indexes=["notification_id"],
    )


def _create_performance() -> None:
    _table(
        "portfolio_performance",
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        sa.Column("currency", sa.Text(), primary_key=True),
        sa.Column("measured_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("market_value", sa.Numeric(15, 2), nullable=False),
        sa.Column("cost_basis", sa.Numeric(15, 2)),
        sa.Column("cash_flow", sa.Numeric(15, 2), server_default=sa.text("0"), nullable=False),
        sa.Column("unpriced", sa.Integer(), server_default=sa.text("0"), nullable=False),
        checks={"currency": CURRENCY, "unpriced": "unpriced >= 0"},
    )
    _make_hypertable("portfolio_performance")


def _create_functions() -> None:
    for body in (
        PORTFOLIO_VALUE,
        PORTFOLIO_POSITIONS,
        PORTFOLIO_RETURNS,
        DUE_TRADING_ALERTS,
        FIRE_TRADING_ALERTS,
    ):
        op.execute(body)
    # A view reads with its owner's rights unless it is told to use the reader's.
    op.execute("ALTER VIEW financial.portfolio_positions SET (security_invoker = true)")
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(SIGNATURES)} FROM PUBLIC")
    for table in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON financial.{table}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
        )
    for table in AUDITED:
        op.execute(
            f"CREATE TRIGGER record_audit AFTER INSERT OR DELETE OR UPDATE ON financial.{table}"
            " FOR EACH ROW EXECUTE FUNCTION core.record_audit()"
        )


def _refer_to_tables_in_use() -> None:
    for table, column, target, ondelete in OUTWARD:
        schema, _, name = target.partition(".")
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            name,
            [column],
            ["id"],
            source_schema="financial",
            referent_schema=schema,
            ondelete=ondelete,
        )


def _make_hypertable(table: str) -> None:
    column, interval = next((column, interval) for name, column, interval in HYPERTABLES if name == table)
    op.execute(MAKE_HYPERTABLE.format(table=f"financial.{table}", column=column, interval=interval))


def _address(column: str) -> str:
    """Neither a seed phrase (it has white space) nor an extended private key; 0x… in small letters only."""
    return (
        f"{column} ~ '^[!-~]+$' AND {column} !~ '^[a-z]prv'"
        f" AND ({column} !~* '^0x' OR {column} = lower({column}))"
    )


def _table(
    table: str,
    *parts: sa.Column[Any] | sa.ForeignKeyConstraint,
    unique: Sequence[str] = (),
    unique_with_null: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table whose constraints and indexes carry the project's names.

    op.f() keeps a naming convention of the environment from changing them.
    """
    columns = [part for part in parts if isinstance(part, sa.Column)]
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *parts,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(_unique(table, terms.split(", ")) for terms in unique),
        *(_unique(table, terms.split(", "), nulls_not_distinct=True) for terms in unique_with_null),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        schema="financial",
    )
    for terms in indexes:
        names = terms.split(", ")
        op.create_index(op.f(f"ix_{table}_{'_'.join(names)}"), table, names, schema="financial")


def _unique(
    table: str, columns: Sequence[str], *, nulls_not_distinct: bool | None = None
) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(
        *columns,
        name=op.f(f"uq_{table}_{'_'.join(columns)}"),
        postgresql_nulls_not_distinct=nulls_not_distinct,
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()"))


def _reference(
    name: str, target: str, ondelete: str, *, nullable: bool = False, primary_key: bool = False
) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.Uuid(), key, nullable=nullable, primary_key=primary_key)


def _timestamps() -> tuple[sa.Column[Any], ...]:
    return tuple(
        sa.Column(name, TIMESTAMPTZ, server_default=NOW, nullable=False)
        for name in ("created_at", "updated_at")
    )
