-- Backfills: what each one does, how far its ranges are, which rows it could not do. Can run again.
CREATE SCHEMA IF NOT EXISTS migrations;

CREATE TABLE IF NOT EXISTS migrations.backfills (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation TEXT NOT NULL,
    relation TEXT NOT NULL,
    version VARCHAR(50),
    fingerprint VARCHAR(64) NOT NULL,
    definition JSONB NOT NULL,
    state TEXT NOT NULL DEFAULT 'running'
        CHECK (state IN ('running', 'paused', 'failed', 'cancelled', 'replaced', 'done')),
    phase TEXT NOT NULL DEFAULT 'starting',
    waiting_for TEXT,
    pace JSONB NOT NULL DEFAULT '{}',
    retuned JSONB NOT NULL DEFAULT '{}',
    workers INTEGER NOT NULL DEFAULT 1,
    plan TEXT NOT NULL DEFAULT '',
    epoch BIGINT NOT NULL DEFAULT 0,
    estimated_rows BIGINT,
    rows_per_second DOUBLE PRECISION,
    seconds_left_low DOUBLE PRECISION,
    seconds_left_high DOUBLE PRECISION,
    run_by TEXT NOT NULL DEFAULT current_user,
    client TEXT,
    detail TEXT,
    started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    finished_at TIMESTAMPTZ
);
CREATE INDEX IF NOT EXISTS ix_backfills_fingerprint ON migrations.backfills (fingerprint);

-- A range's row is written in the same statement as the rows of its table, and only by the run whose
-- epoch it carries: so no batch is lost, done twice, or done by a run that was taken for dead.
CREATE TABLE IF NOT EXISTS migrations.backfill_ranges (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backfill_id BIGINT NOT NULL REFERENCES migrations.backfills ON DELETE CASCADE,
    relation TEXT NOT NULL,
    axis JSONB NOT NULL,
    low JSONB,
    high JSONB,
    position JSONB,
    is_closing BOOLEAN NOT NULL DEFAULT false,
    is_done BOOLEAN NOT NULL DEFAULT false,
    epoch BIGINT NOT NULL,
    rows_done BIGINT NOT NULL DEFAULT 0,
    rows_unchanged BIGINT NOT NULL DEFAULT 0,
    share_done DOUBLE PRECISION NOT NULL DEFAULT 0,
    batches BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS ix_backfill_ranges_backfill_id ON migrations.backfill_ranges (backfill_id);

CREATE TABLE IF NOT EXISTS migrations.backfill_errors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backfill_id BIGINT NOT NULL REFERENCES migrations.backfills ON DELETE CASCADE,
    relation TEXT NOT NULL,
    key JSONB NOT NULL,
    sqlstate VARCHAR(5) NOT NULL,
    message TEXT NOT NULL,
    was_skipped BOOLEAN NOT NULL,
    happened_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (backfill_id, relation, key)
);
