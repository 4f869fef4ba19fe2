-- The ledger: what was applied, by whom, and everything that happened. Every statement can run again.
CREATE SCHEMA IF NOT EXISTS migrations;

CREATE TABLE IF NOT EXISTS migrations.schema_versions (
    id SERIAL PRIMARY KEY,
    version VARCHAR(50) NOT NULL UNIQUE,
    description TEXT NOT NULL,
    migration_file VARCHAR(255) NOT NULL,
    rollback_file VARCHAR(255),
    applied_at TIMESTAMPTZ DEFAULT now(),
    applied_by VARCHAR(255) DEFAULT current_user,
    execution_time_ms INTEGER,
    checksum VARCHAR(64),
    status VARCHAR(20) DEFAULT 'applied' CHECK (status IN ('applied', 'rolled_back', 'failed'))
);

CREATE TABLE IF NOT EXISTS migrations.migration_locks (
    id INTEGER PRIMARY KEY DEFAULT 1,
    locked_by VARCHAR(255),
    locked_at TIMESTAMPTZ,
    lock_reason TEXT,
    run_id TEXT,
    heartbeat_at TIMESTAMPTZ,
    CONSTRAINT only_one_lock CHECK (id = 1)
);

CREATE TABLE IF NOT EXISTS migrations.schema_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    version VARCHAR(50) NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('upgrade', 'downgrade')),
    event TEXT NOT NULL,
    actor TEXT NOT NULL DEFAULT current_user,
    client TEXT,
    run_id TEXT,
    execution_time_ms INTEGER,
    checksum VARCHAR(64),
    detail TEXT
);
-- 'step' is one operation of a revision; its detail is JSON: what it was, and what its locks cost others.
ALTER TABLE migrations.schema_events
    DROP CONSTRAINT IF EXISTS schema_events_event_check,
    ADD CONSTRAINT schema_events_event_check
        CHECK (event IN ('started', 'step', 'finished', 'failed', 'interrupted', 'stamped'));
CREATE INDEX IF NOT EXISTS ix_schema_events_version ON migrations.schema_events (version, id DESC);

CREATE TABLE IF NOT EXISTS migrations.seed_runs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,
    environment TEXT NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    rows_changed BIGINT NOT NULL,
    execution_time_ms INTEGER NOT NULL,
    ran_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    ran_by TEXT NOT NULL DEFAULT current_user
);

CREATE OR REPLACE FUNCTION migrations.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'migrations.% is append-only: events are never changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END;
$body$;
REVOKE ALL ON FUNCTION migrations.refuse_change() FROM PUBLIC;

CREATE OR REPLACE TRIGGER schema_events_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON migrations.schema_events
    FOR EACH STATEMENT EXECUTE FUNCTION migrations.refuse_change();

-- The last statement: what psql leaves half done is no ledger of this format.
COMMENT ON SCHEMA migrations IS 'HomeOps ledger, format 4';
