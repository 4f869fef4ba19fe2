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
$$;
