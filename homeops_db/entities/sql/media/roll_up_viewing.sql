CREATE OR REPLACE FUNCTION media.roll_up_viewing(from_day date, to_day date)
RETURNS bigint
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF (isfinite(from_day) AND isfinite(to_day) AND from_day <= to_day) IS NOT TRUE THEN
        RAISE EXCEPTION 'there are no days from % to %', from_day, to_day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever wants one of these days waits here, and reads the events only then. A transaction whose
    -- snapshot is older than the other's work fails here (40001) instead of writing old numbers.
    INSERT INTO media.viewing_rollups AS r (viewed_on, rolled_up_at)
    SELECT from_day + n, clock_timestamp()
    FROM generate_series(0, to_day - from_day) AS n
    ORDER BY n
    ON CONFLICT (viewed_on) DO UPDATE SET rolled_up_at = clock_timestamp();

    WITH fresh AS MATERIALIZED (
        SELECT s.user_id,
               s.item_id,
               (e.occurred_at AT TIME ZONE 'UTC')::date AS viewed_on,
               sum(e.watched_seconds) AS seconds_watched,
               count(DISTINCT e.session_id) AS sessions,
               count(DISTINCT e.session_id) FILTER (WHERE e.type = 'finish') AS completions
        FROM media.viewing_events e
        JOIN media.playback_sessions s ON s.id = e.session_id
        WHERE e.occurred_at >= from_day::timestamp AT TIME ZONE 'UTC'
          AND e.occurred_at < (to_day + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY s.user_id, s.item_id, viewed_on
    ),
    gone AS (
        DELETE FROM media.viewing_daily d
        WHERE d.viewed_on BETWEEN from_day AND to_day
          AND NOT EXISTS (
              SELECT FROM fresh f
              WHERE f.user_id = d.user_id AND f.item_id = d.item_id AND f.viewed_on = d.viewed_on
          )
        RETURNING 1
    ),
    put AS (
        INSERT INTO media.viewing_daily AS d
            (user_id, item_id, viewed_on, seconds_watched, sessions, completions)
        SELECT f.user_id, f.item_id, f.viewed_on, f.seconds_watched, f.sessions, f.completions
        FROM fresh f
        ON CONFLICT (user_id, item_id, viewed_on) DO UPDATE
        SET seconds_watched = excluded.seconds_watched,
            sessions = excluded.sessions,
            completions = excluded.completions
        WHERE (d.seconds_watched, d.sessions, d.completions)
            IS DISTINCT FROM (excluded.seconds_watched, excluded.sessions, excluded.completions)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM put) INTO written;
    RETURN written;
END
$$;
