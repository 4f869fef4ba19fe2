CREATE OR REPLACE FUNCTION ai.note_anomalies()
RETURNS integer
LANGUAGE sql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- How far outside the interval, measured by its width.
    WITH noted AS (
        INSERT INTO ai.anomalies (prediction_id, severity)
        SELECT o.prediction_id,
               CASE
                   WHEN outside.by <= (p.upper - p.lower) / 2 THEN 'info'
                   WHEN outside.by <= p.upper - p.lower THEN 'warning'
                   ELSE 'critical'
               END
        FROM ai.prediction_outcomes o
        JOIN ai.predictions p ON p.id = o.prediction_id
        CROSS JOIN LATERAL (SELECT greatest(p.lower - o.actual, o.actual - p.upper) AS by) AS outside
        WHERE outside.by > 0
        ON CONFLICT (prediction_id) DO NOTHING
        RETURNING 1
    )
    SELECT count(*)::integer FROM noted
$$;
