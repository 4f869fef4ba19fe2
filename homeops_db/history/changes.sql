-- Type changes and restructures: how far each one is, and which rows the other shape can't hold. Can run again.
CREATE SCHEMA IF NOT EXISTS migrations;

CREATE TABLE IF NOT EXISTS migrations.changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation TEXT NOT NULL,
    relation TEXT NOT NULL,
    subject TEXT NOT NULL,
    version VARCHAR(50),
    definition JSONB NOT NULL,
    kept JSONB NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT 'expanding'
        CHECK (state IN ('expanding', 'expanded', 'switched', 'contracted', 'undone')),
    started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    expanded_at TIMESTAMPTZ,
    switched_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ
);
-- One at a time of each column or table.
CREATE UNIQUE INDEX IF NOT EXISTS uq_changes_open ON migrations.changes (operation, relation, subject)
    WHERE state IN ('expanding', 'expanded', 'switched');

-- Written by the triggers that keep both shapes alike, in the transaction of the row itself.
CREATE TABLE IF NOT EXISTS migrations.change_errors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id BIGINT NOT NULL REFERENCES migrations.changes ON DELETE CASCADE,
    relation TEXT NOT NULL,
    key JSONB,
    sqlstate VARCHAR(5),
    message TEXT NOT NULL,
    happened_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS ix_change_errors_change_id ON migrations.change_errors (change_id);
