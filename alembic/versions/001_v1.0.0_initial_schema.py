"""Initial schema: people, money, media and the smart home.

Everything runs in one transaction, and every question to the database is asked inside SQL, so that
``--sql`` renders a script that decides by itself. Texts and names here are frozen: nothing of
homeops_db is imported, and a later change of a model or function must not change this revision.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "v1.0.0"
down_revision = None
branch_labels = None
depends_on = None
change = "major"

JSONB = postgresql.JSONB()
TEXT_ARRAY = postgresql.ARRAY(sa.Text())
TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")

TABLES = (
    "core.users",
    "core.households",
    "core.household_members",
    "core.sessions",
    "core.api_keys",
    "core.system_config",
    "core.notifications",
    "core.audit_log",
    "financial.institutions",
    "financial.accounts",
    "financial.categories",
    "financial.recurring_transactions",
    "financial.transactions",
    "financial.budgets",
    "financial.securities",
    "financial.security_prices",
    "financial.holdings",
    "smart_home.rooms",
    "smart_home.devices",
    "smart_home.device_states",
    "smart_home.automations",
    "smart_home.automation_runs",
    "smart_home.scenes",
    "smart_home.scene_actions",
    "media.libraries",
    "media.items",
    "media.people",
    "media.credits",
    "media.genres",
    "media.item_genres",
    "media.playlists",
    "media.playlist_items",
    "media.playback_sessions",
)

SET_UPDATED_AT = """
CREATE OR REPLACE FUNCTION core.set_updated_at()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END
$$
"""

UPDATED = (
    *("core.api_keys", "core.households", "core.system_config", "core.users"),
    *("financial.accounts", "financial.budgets", "financial.categories", "financial.holdings"),
    *("financial.institutions", "financial.recurring_transactions", "financial.securities"),
    *("financial.transactions", "media.items", "media.libraries", "media.people", "media.playlists"),
    *("smart_home.automations", "smart_home.devices", "smart_home.rooms", "smart_home.scenes"),
)

RECORD_AUDIT = """
CREATE OR REPLACE FUNCTION core.record_audit()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The arguments of the trigger name the columns whose values must never reach the log.
    secrets text[] = coalesce(TG_ARGV, '{}');
    before jsonb;
    after jsonb;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        before = to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        after = to_jsonb(NEW);
    END IF;
    -- session_user, because a cascading DELETE runs as the owner of the table.
    INSERT INTO core.audit_log
        (table_schema, table_name, row_key, operation, changed_columns, old_row, new_row, actor, app_user)
    VALUES (
        TG_TABLE_SCHEMA,
        TG_TABLE_NAME,
        (SELECT string_agg(coalesce(before, after) ->> a.attname, ',' ORDER BY k.position)
         FROM pg_index i
         CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = TG_RELID AND i.indisprimary),
        TG_OP,
        -- Taken before the secrets go, so that a change of a secret alone still shows its name.
        (SELECT array_agg(n.key ORDER BY n.key)
         FROM jsonb_each(after) n
         WHERE TG_OP = 'UPDATE' AND n.value IS DISTINCT FROM before -> n.key),
        before - secrets,
        after - secrets,
        session_user,
        nullif(current_setting('homeops.user_id', true), '')
    );
    RETURN NULL;
END
$$
"""

# Table, and the call that names its secret columns.
AUDITED = {
    "core.api_keys": "core.record_audit('key_hash')",
    "core.household_members": "core.record_audit()",
    "core.system_config": "core.record_audit()",
    "core.users": "core.record_audit('password_hash')",
    "financial.accounts": "core.record_audit()",
    "financial.budgets": "core.record_audit()",
    "financial.institutions": "core.record_audit('api_config')",
    "financial.transactions": "core.record_audit()",
    "smart_home.automations": "core.record_audit()",
    "smart_home.devices": "core.record_audit('credentials')",
}

CHECK_MIGRATION_HEALTH = """
CREATE OR REPLACE FUNCTION migrations.check_migration_health()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    previous record;
    reset_at timestamptz;
    committed bigint;
    rolled_back bigint;
BEGIN
    -- Without this, a second sample in one transaction would read the numbers of the first.
    PERFORM pg_stat_clear_snapshot();
    SELECT d.xact_commit, d.xact_rollback, d.stats_reset
    INTO STRICT NEW.xact_commit, NEW.xact_rollback, reset_at
    FROM pg_stat_database d
    WHERE d.datname = current_database();

    SELECT s.sampled_at, s.xact_commit, s.xact_rollback INTO previous
    FROM migrations.health_samples s
    ORDER BY s.id DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;

    committed = NEW.xact_commit - previous.xact_commit;
    rolled_back = NEW.xact_rollback - previous.xact_rollback;
    -- Counters that were reset began again at zero, so they count the time since then by themselves.
    IF committed < 0 OR rolled_back < 0 OR reset_at > previous.sampled_at THEN
        committed = NEW.xact_commit;
        rolled_back = NEW.xact_rollback;
    END IF;

    IF committed + rolled_back >= 100 AND rolled_back > (committed + rolled_back) * 0.1 THEN
        RAISE EXCEPTION '% of % transactions rolled back since the last health sample',
            rolled_back, committed + rolled_back
            USING HINT = 'A migration may have broken a client. The server log has the errors.';
    END IF;
    RETURN NEW;
END
$$
"""

# What was there before stays on downgrade, so each extension that is made here is written down.
CREATE_EXTENSIONS = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY
        ARRAY['uuid-ossp', 'pgcrypto', 'timescaledb', 'vector', 'pg_stat_statements', 'pg_trgm']
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = wanted);
        CONTINUE WHEN wanted = 'timescaledb' AND current_setting('homeops.timescaledb', true) = 'off';
        IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = wanted) THEN
            RAISE EXCEPTION 'extension "%" is not available on this server', wanted
                USING ERRCODE = 'feature_not_supported',
                      HINT = 'Install its package on the server, then run the upgrade again.';
        END IF;
        -- Its own CREATE EXTENSION would end the session (FATAL) where the library is not preloaded.
        IF wanted = 'timescaledb' AND current_setting('timescaledb.disable_load', true) IS NULL THEN
            RAISE EXCEPTION 'extension "timescaledb" is not loaded by this server'
                USING ERRCODE = 'feature_not_supported',
                      HINT = 'Add timescaledb to shared_preload_libraries and restart the server.';
        END IF;
        EXECUTE format('CREATE EXTENSION %I', wanted);
        INSERT INTO migrations.created_extensions (name) VALUES (wanted);
    END LOOP;
END
$$
"""

DROP_EXTENSIONS = """
DO $$
DECLARE
    made text;
BEGIN
    FOR made IN SELECT name FROM migrations.created_extensions ORDER BY name LOOP
        EXECUTE format('DROP EXTENSION IF EXISTS %I', made);
    END LOOP;
END
$$
"""

# Extensions may live in another schema than public, so the two below ask where.
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
            'SELECT %I.create_hypertable(%L, %L, create_default_indexes => false)',
            home, 'smart_home.device_states', 'recorded_at'
        );
    END IF;
END
$$
"""

MAKE_TRIGRAM_INDEX = """
DO $$
BEGIN
    EXECUTE format(
        'CREATE INDEX ix_items_title_trgm ON media.items USING gin (title %I.gin_trgm_ops)',
        (SELECT n.nspname
         FROM pg_extension e
         JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'pg_trgm')
    );
END
$$
"""

# Roles belong to the cluster: another database may have made them, or be making them at this moment.
CREATE_ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['homeops_app', 'homeops_readonly'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % does not exist and % may not create it: its grants are left out',
                    wanted, current_user;
        END;
    END LOOP;
END
$$
"""

GRANT_APP = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_app') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA core, financial, media, smart_home TO homeops_app;
    GRANT SELECT, INSERT, UPDATE, DELETE
        ON ALL TABLES IN SCHEMA core, financial, media, smart_home TO homeops_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA core, financial, media, smart_home TO homeops_app;
    -- The audit triggers write as the role that made the change; what is written stays.
    REVOKE UPDATE, DELETE ON core.audit_log FROM homeops_app;

    ALTER DEFAULT PRIVILEGES IN SCHEMA core, financial, media, smart_home
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA core, financial, media, smart_home
        GRANT USAGE ON SEQUENCES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA core, financial, media, smart_home
        GRANT EXECUTE ON FUNCTIONS TO homeops_app;
END
$$
"""

GRANT_READONLY = """
DO $$
DECLARE
    guarded record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_readonly') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA core, financial, media, smart_home TO homeops_readonly;
    GRANT SELECT ON ALL TABLES IN SCHEMA core, financial, media, smart_home TO homeops_readonly;
    -- A grant on a table covers all its columns: tables with a secret are granted column by column.
    FOR guarded IN
        SELECT s.relation::regclass AS relation,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                FROM pg_attribute a
                WHERE a.attrelid = s.relation::regclass
                  AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> s.secret) AS columns
        FROM (VALUES
            ('core.users', 'password_hash'),
            ('core.sessions', 'token_hash'),
            ('core.api_keys', 'key_hash'),
            ('financial.institutions', 'api_config'),
            ('smart_home.devices', 'credentials')
        ) AS s (relation, secret)
    LOOP
        EXECUTE format('REVOKE SELECT ON %s FROM homeops_readonly', guarded.relation);
        EXECUTE format('GRANT SELECT (%s) ON %s TO homeops_readonly', guarded.columns, guarded.relation);
    END LOOP;

    ALTER DEFAULT PRIVILEGES IN SCHEMA core, financial, media, smart_home
        GRANT SELECT ON TABLES TO homeops_readonly;
    ALTER DEFAULT PRIVILEGES IN SCHEMA core, financial, media, smart_home
        GRANT EXECUTE ON FUNCTIONS TO homeops_readonly;
END
$$
"""


def upgrade() -> None:
    _create_migrations()
    for schema in ("core", "financial", "smart_home", "media"):
        op.execute(f"CREATE SCHEMA {schema}")
    _create_core()
    _create_financial()
    _create_smart_home()
    _create_media()
    _create_functions()
    _grant()


def downgrade() -> None:
    for path in reversed(TABLES):
        schema, _, name = path.partition(".")
        op.drop_table(name, schema=schema)
    op.drop_table("health_samples", schema="migrations")
    op.execute(
        "DROP FUNCTION core.set_updated_at(), core.record_audit(), migrations.check_migration_health()"
    )
    # Without CASCADE: what others put there is not ours to drop. All grants and the default
    # privileges of a schema go with it.
    op.execute("DROP SCHEMA core, financial, media, smart_home")
    op.execute(DROP_EXTENSIONS)
    op.drop_table("created_extensions", schema="migrations")
    # homeops_app and homeops_readonly stay: roles belong to the cluster, and another database may use them.


def _create_migrations() -> None:
    op.create_table(
        "created_extensions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_created_extensions")),
        schema="migrations",
    )
    op.create_table(
        "health_samples",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sampled_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("xact_commit", sa.BigInteger(), nullable=False),
        sa.Column("xact_rollback", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_samples")),
        schema="migrations",
    )
    op.execute(CREATE_EXTENSIONS)


def _create_core() -> None:
    _table(
        "core.users",
        _key(),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *_timestamps(),
        choices={"role": "admin user guest"},
        checks={"email": "position('@' in email) > 1"},
    )
    _table(
        "core.households",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False),
        *_timestamps(),
        checks={"currency": "currency ~ '^[A-Z]{3}$'"},
    )
    _table(
        "core.household_members",
        _reference("household_id", "core.households.id", "CASCADE", primary_key=True),
        _reference("user_id", "core.users.id", "CASCADE", primary_key=True),
        sa.Column("role", sa.Text(), server_default="member", nullable=False),
        sa.Column("joined_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        choices={"role": "owner member child"},
        indexes=["user_id"],
    )
    _table(
        "core.sessions",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("ip_address", postgresql.INET()),
        sa.Column("user_agent", sa.Text()),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIMESTAMPTZ, nullable=False),
        sa.Column("revoked_at", TIMESTAMPTZ),
        unique=["token_hash"],
        checks={"expires_at": "expires_at > created_at"},
        indexes=["user_id"],
    )
    _table(
        "core.api_keys",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("scopes", TEXT_ARRAY, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("expires_at", TIMESTAMPTZ),
        sa.Column("revoked_at", TIMESTAMPTZ),
        *_timestamps(),
        unique=["key_hash"],
        checks={"expires_at": "expires_at > created_at"},
        indexes=["user_id"],
    )
    _table(
        "core.system_config",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", JSONB, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        *_timestamps(),
        checks={"key": "key ~ '^[a-z0-9_]+([.][a-z0-9_]+)*$'"},
        indexes=["category"],
    )
    _table(
        "core.notifications",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        sa.Column("severity", sa.Text(), server_default="info", nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text()),
        sa.Column("details", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("read_at", TIMESTAMPTZ),
        choices={"severity": "info warning critical"},
        indexes=["user_id, created_at DESC"],
    )
    _table(
        "core.audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("table_schema", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("changed_columns", TEXT_ARRAY),
        sa.Column("old_row", JSONB),
        sa.Column("new_row", JSONB),
        sa.Column("changed_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("app_user", sa.Text()),
        choices={"operation": "INSERT UPDATE DELETE"},
        indexes=["changed_at", "table_schema, table_name, row_key"],
    )
    op.create_index(
        op.f("uq_users_email_lower"), "users", [sa.text("lower(email)")], unique=True, schema="core"
    )


def _create_financial() -> None:
    _table(
        "financial.institutions",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("website", sa.Text()),
        sa.Column("api_config", JSONB, server_default=sa.text("'{}'"), nullable=False),
        *_timestamps(),
        unique=["name, type"],
        choices={"type": "bank broker aggregator credit_union card_issuer lender insurer other"},
    )
    _table(
        "financial.accounts",
        _key(),
        _reference("user_id", "core.users.id", "RESTRICT"),
        _reference("household_id", "core.households.id", "SET NULL", nullable=True),
        _reference("institution_id", "financial.institutions.id", "RESTRICT", nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account_type", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("opening_balance", sa.Numeric(15, 2), server_default=sa.text("0"), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("opened_on", sa.Date()),
        sa.Column("closed_on", sa.Date()),
        *_timestamps(),
        unique=["institution_id, external_id"],
        choices={
            "account_type": "checking savings credit_card cash brokerage retirement loan mortgage other"
        },
        checks={"closed_on": "closed_on >= opened_on", "currency": "currency ~ '^[A-Z]{3}$'"},
        indexes=["household_id", "user_id"],
    )
    _table(
        "financial.categories",
        _key(),
        _reference("parent_id", "financial.categories.id", "RESTRICT", nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="expense", nullable=False),
        *_timestamps(),
        choices={"kind": "income expense transfer"},
        checks={"parent_id": "parent_id <> id"},
    )
    _table(
        "financial.recurring_transactions",
        _key(),
        _reference("account_id", "financial.accounts.id", "CASCADE"),
        _reference("category_id", "financial.categories.id", "SET NULL", nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(15, 2), nullable=False),
        sa.Column("frequency", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *_timestamps(),
        choices={"frequency": "daily weekly monthly quarterly yearly"},
        checks={"ends_on": "ends_on >= starts_on"},
        indexes=["account_id", "category_id"],
    )
    _table(
        "financial.transactions",
        _key(),
        _reference("account_id", "financial.accounts.id", "RESTRICT"),
        _reference("category_id", "financial.categories.id", "SET NULL", nullable=True),
        _reference(
            "recurring_transaction_id", "financial.recurring_transactions.id", "SET NULL", nullable=True
        ),
        sa.Column("transaction_date", sa.Date(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("merchant_name", sa.Text()),
        sa.Column("status", sa.Text(), server_default="posted", nullable=False),
        sa.Column("external_id", sa.Text()),
        *_timestamps(),
        unique=["account_id, external_id"],
        choices={"status": "pending posted void"},
        indexes=["account_id, transaction_date DESC", "category_id", "recurring_transaction_id"],
    )
    _table(
        "financial.budgets",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        _reference("household_id", "core.households.id", "SET NULL", nullable=True),
        _reference("category_id", "financial.categories.id", "RESTRICT"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), server_default="monthly", nullable=False),
        sa.Column("amount", sa.Numeric(15, 2), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("alert_percent", sa.SmallInteger(), server_default=sa.text("80"), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date()),
        *_timestamps(),
        choices={"period": "weekly monthly quarterly yearly"},
        checks={
            "amount": "amount >= 0",
            "ends_on": "ends_on >= starts_on",
            "alert_percent": "alert_percent BETWEEN 1 AND 100",
            "currency": "currency ~ '^[A-Z]{3}$'",
        },
        indexes=["category_id", "household_id", "user_id"],
    )
    _table(
        "financial.securities",
        _key(),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("isin", sa.Text()),
        *_timestamps(),
        unique=["isin", "symbol, exchange"],
        choices={"type": "stock etf mutual_fund bond cash other"},
        checks={"currency": "currency ~ '^[A-Z]{3}$'", "isin": "isin ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9]$'"},
    )
    _table(
        "financial.security_prices",
        _reference("security_id", "financial.securities.id", "CASCADE", primary_key=True),
        sa.Column("priced_on", sa.Date(), primary_key=True),
        sa.Column("close", sa.Numeric(18, 6), nullable=False),
        sa.Column("source", sa.Text()),
        checks={"close": "close >= 0"},
    )
    _table(
        "financial.holdings",
        _key(),
        _reference("account_id", "financial.accounts.id", "CASCADE"),
        _reference("security_id", "financial.securities.id", "RESTRICT"),
        sa.Column("quantity", sa.Numeric(20, 8), nullable=False),
        sa.Column("cost_basis", sa.Numeric(15, 2)),
        *_timestamps(),
        unique=["account_id, security_id"],
        indexes=["security_id"],
    )
    op.create_unique_constraint(
        op.f("uq_categories_parent_id_name"),
        "categories",
        ["parent_id", "name"],
        schema="financial",
        postgresql_nulls_not_distinct=True,
    )


def _create_smart_home() -> None:
    _table(
        "smart_home.rooms",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("floor", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("area_m2", sa.Numeric(7, 2)),
        *_timestamps(),
        unique=["name"],
        choices={
            "type": "living_room dining_room kitchen bedroom bathroom office hallway"
            " laundry garage basement attic storage utility outdoor other"
        },
        checks={"floor": "floor BETWEEN -10 AND 200", "area_m2": "area_m2 > 0"},
    )
    _table(
        "smart_home.devices",
        _key(),
        _reference("room_id", "smart_home.rooms.id", "SET NULL", nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), server_default="wifi", nullable=False),
        sa.Column("manufacturer", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("serial_number", sa.Text()),
        sa.Column("settings", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("credentials", JSONB),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *_timestamps(),
        unique=["serial_number"],
        choices={
            "protocol": "zigbee zwave thread matter bluetooth wifi ethernet virtual",
            "type": "light switch outlet sensor thermostat lock camera cover media_player appliance hub"
            " other",
        },
        indexes=["room_id"],
    )
    _table(
        "smart_home.device_states",
        _reference("device_id", "smart_home.devices.id", "CASCADE", primary_key=True),
        sa.Column("recorded_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("state", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reading", sa.Double()),
        sa.Column("battery_percent", sa.SmallInteger()),
        checks={"battery_percent": "battery_percent BETWEEN 0 AND 100"},
    )
    _table(
        "smart_home.automations",
        _key(),
        _reference("created_by", "core.users.id", "SET NULL", nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("mode", sa.Text(), server_default="single", nullable=False),
        sa.Column("triggers", JSONB, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("conditions", JSONB, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("actions", JSONB, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *_timestamps(),
        unique=["name"],
        choices={"mode": "single restart queued parallel"},
        indexes=["created_by"],
    )
    _table(
        "smart_home.automation_runs",
        _key(),
        _reference("automation_id", "smart_home.automations.id", "CASCADE"),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("started_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIMESTAMPTZ),
        sa.Column("error", sa.Text()),
        choices={"status": "running succeeded failed cancelled"},
        checks={"ended_at": "ended_at >= started_at"},
        indexes=["automation_id, started_at DESC"],
    )
    _table(
        "smart_home.scenes",
        _key(),
        _reference("room_id", "smart_home.rooms.id", "SET NULL", nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        *_timestamps(),
        unique=["name"],
        indexes=["room_id"],
    )
    _table(
        "smart_home.scene_actions",
        _reference("scene_id", "smart_home.scenes.id", "CASCADE", primary_key=True),
        _reference("device_id", "smart_home.devices.id", "CASCADE", primary_key=True),
        sa.Column("state", JSONB, nullable=False),
        sa.Column("transition_ms", sa.Integer(), server_default=sa.text("0"), nullable=False),
        checks={"transition_ms": "transition_ms >= 0"},
        indexes=["device_id"],
    )
    op.execute(MAKE_HYPERTABLE)


def _create_media() -> None:
    _table(
        "media.libraries",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("path", sa.Text()),
        *_timestamps(),
        unique=["name"],
        choices={"type": "movies shows music books photos mixed"},
    )
    _table(
        "media.items",
        _key(),
        _reference("library_id", "media.libraries.id", "CASCADE"),
        _reference("parent_id", "media.items.id", "CASCADE", nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("part_number", sa.Integer()),
        sa.Column("released_on", sa.Date()),
        sa.Column("duration_seconds", sa.Integer()),
        sa.Column("rating", sa.Numeric(3, 1)),
        sa.Column("file_path", sa.Text()),
        sa.Column("details", JSONB, server_default=sa.text("'{}'"), nullable=False),
        *_timestamps(),
        choices={"type": "movie show season episode album track book audiobook podcast photo video"},
        checks={
            "rating": "rating BETWEEN 0 AND 10",
            "duration_seconds": "duration_seconds >= 0",
            "parent_id": "parent_id <> id",
        },
        indexes=["library_id", "parent_id"],
    )
    _table(
        "media.people",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("born_on", sa.Date()),
        sa.Column("died_on", sa.Date()),
        sa.Column("biography", sa.Text()),
        *_timestamps(),
        checks={"died_on": "died_on >= born_on"},
        indexes=["name"],
    )
    _table(
        "media.credits",
        _key(),
        _reference("item_id", "media.items.id", "CASCADE"),
        _reference("person_id", "media.people.id", "CASCADE"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("character_name", sa.Text(), server_default="", nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        unique=["item_id, person_id, role, character_name"],
        choices={"role": "actor director writer producer composer performer author narrator other"},
        checks={"position": "position >= 0"},
        indexes=["person_id"],
    )
    _table(
        "media.genres",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        unique=["name"],
    )
    _table(
        "media.item_genres",
        _reference("item_id", "media.items.id", "CASCADE", primary_key=True),
        _reference("genre_id", "media.genres.id", "CASCADE", primary_key=True),
        indexes=["genre_id"],
    )
    _table(
        "media.playlists",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_shared", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *_timestamps(),
        unique=["user_id, name"],
    )
    _table(
        "media.playlist_items",
        _reference("playlist_id", "media.playlists.id", "CASCADE", primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        _reference("item_id", "media.items.id", "CASCADE"),
        sa.Column("added_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"position": "position >= 0"},
        indexes=["item_id"],
    )
    _table(
        "media.playback_sessions",
        _key(),
        _reference("user_id", "core.users.id", "CASCADE"),
        _reference("item_id", "media.items.id", "CASCADE"),
        _reference("device_id", "smart_home.devices.id", "SET NULL", nullable=True),
        sa.Column("started_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIMESTAMPTZ),
        sa.Column("progress_percent", sa.Numeric(5, 2), server_default=sa.text("0"), nullable=False),
        checks={
            "ended_at": "ended_at >= started_at",
            "progress_percent": "progress_percent BETWEEN 0 AND 100",
        },
        indexes=["device_id", "item_id", "user_id, started_at DESC"],
    )
    op.execute(MAKE_TRIGRAM_INDEX)


def _create_functions() -> None:
    op.execute(SET_UPDATED_AT)
    op.execute(RECORD_AUDIT)
    op.execute(CHECK_MIGRATION_HEALTH)
    for path in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {path}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
        )
    for path, call in AUDITED.items():
        op.execute(
            f"CREATE TRIGGER record_audit AFTER INSERT OR DELETE OR UPDATE ON {path}"
            f" FOR EACH ROW EXECUTE FUNCTION {call}"
        )
    op.execute(
        "CREATE TRIGGER check_migration_health BEFORE INSERT ON migrations.health_samples"
        " FOR EACH ROW EXECUTE FUNCTION migrations.check_migration_health()"
    )


def _grant() -> None:
    op.execute(
        "REVOKE EXECUTE ON FUNCTION core.set_updated_at(), core.record_audit(),"
        " migrations.check_migration_health() FROM PUBLIC"
    )
    op.execute(CREATE_ROLES)
    op.execute(GRANT_APP)
    op.execute(GRANT_READONLY)


def _table(
    path: str,
    *columns: sa.Column[Any],
    unique: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table whose constraints and indexes carry the project's names.

    op.f() keeps a naming convention of the environment from changing them.
    """
    schema, _, table = path.partition(".")
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *columns,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(_unique(table, terms.split(", ")) for terms in unique),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        schema=schema,
    )
    for terms in indexes:
        names = "_".join(terms.replace(" DESC", "").split(", "))
        op.create_index(op.f(f"ix_{table}_{names}"), table, [sa.text(terms)], schema=schema)


def _unique(table: str, columns: Sequence[str]) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


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
