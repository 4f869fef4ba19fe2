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
$$;
