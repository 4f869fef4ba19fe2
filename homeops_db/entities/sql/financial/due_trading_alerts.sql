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
$$;
