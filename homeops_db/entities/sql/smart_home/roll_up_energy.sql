CREATE OR REPLACE FUNCTION smart_home.roll_up_energy(first_day date, last_day date)
RETURNS integer
LANGUAGE sql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
WITH span AS MATERIALIZED (
    SELECT z.zone,
           first_day::timestamp AT TIME ZONE z.zone AS starts_at,
           (last_day + 1)::timestamp AT TIME ZONE z.zone AS ends_at
    FROM (SELECT smart_home.house_timezone() AS zone) z
),
-- Each meter's values in the span, with the last one before it and the first one behind it. Sealed days
-- may have lost their readings: their closing value stands for them.
points AS MATERIALIZED (
    SELECT m.id AS meter_id, m.unit, m.tariff_id, p.at, p.value, p.power_w, p.is_reading
    FROM span s
    CROSS JOIN smart_home.energy_meters m
    CROSS JOIN LATERAL (
        (SELECT b.at, b.value, NULL::numeric AS power_w, false AS is_reading
         FROM (
             (SELECT r.recorded_at AS at,
                     CASE m.unit WHEN 'W' THEN greatest(r.power_w, 0) ELSE r.energy_wh END AS value
              FROM smart_home.energy_readings r
              WHERE r.meter_id = m.id AND r.recorded_at < s.starts_at
                AND CASE m.unit WHEN 'W' THEN r.power_w ELSE r.energy_wh END IS NOT NULL
              ORDER BY r.recorded_at DESC
              LIMIT 1)
             UNION ALL
             (SELECT d.closing_at, d.closing_value
              FROM smart_home.energy_daily d
              WHERE d.meter_id = m.id AND d.is_sealed AND d.closing_at < s.starts_at
              ORDER BY d.day DESC
              LIMIT 1)
         ) b
         ORDER BY b.at DESC
         LIMIT 1)
        UNION ALL
        SELECT r.recorded_at,
               CASE
                   WHEN m.unit <> 'W' THEN r.energy_wh
                   WHEN r.power_w IS NOT NULL THEN greatest(r.power_w, 0)
               END,
               r.power_w, true
        FROM smart_home.energy_readings r
        WHERE r.meter_id = m.id AND r.recorded_at >= s.starts_at AND r.recorded_at < s.ends_at
        UNION ALL
        SELECT d.closing_at, d.closing_value, NULL, false
        FROM smart_home.energy_daily d
        WHERE d.meter_id = m.id AND d.is_sealed AND d.closing_at >= s.starts_at AND d.closing_at < s.ends_at
          AND NOT EXISTS (
              SELECT FROM smart_home.energy_readings r
              WHERE r.meter_id = m.id AND r.recorded_at = d.closing_at
          )
        UNION ALL
        (SELECT r.recorded_at,
                CASE m.unit WHEN 'W' THEN greatest(r.power_w, 0) ELSE r.energy_wh END,
                NULL, false
         FROM smart_home.energy_readings r
         WHERE r.meter_id = m.id AND r.recorded_at >= s.ends_at
           AND CASE m.unit WHEN 'W' THEN r.power_w ELSE r.energy_wh END IS NOT NULL
         ORDER BY r.recorded_at
         LIMIT 1)
    ) p
),
-- What flowed between two values. A counter that fell was reset and began again at zero; power says nothing
-- about a gap of more than an hour.
flows AS (
    SELECT v.meter_id, v.tariff_id, v.since, v.until,
           extract(epoch FROM v.until - v.since) AS seconds,
           v.unit <> 'W' AND v.value < v.value_before AS is_reset,
           CASE
               WHEN v.unit = 'W' THEN
                   (v.value_before + v.value) / 2 * extract(epoch FROM v.until - v.since) / 3600
               WHEN v.value < v.value_before THEN v.value
               ELSE v.value - v.value_before
           END AS energy_wh
    FROM (
        SELECT p.meter_id, p.unit, p.tariff_id, p.at AS until, p.value,
               lag(p.at) OVER w AS since, lag(p.value) OVER w AS value_before
        FROM points p
        WHERE p.value IS NOT NULL
        WINDOW w AS (PARTITION BY p.meter_id ORDER BY p.at)
    ) v
    WHERE v.since < v.until AND (v.unit <> 'W' OR v.until - v.since <= interval '1 hour')
),
-- Spread evenly over the time between the values, so that midnight and a change of price divide it.
slices AS (
    SELECT f.meter_id, g.day::date AS day, f.energy_wh, f.seconds, f.tariff_id,
           greatest(f.since, d.starts_at) AS since,
           least(f.until, d.ends_at) AS until,
           f.is_reset AND f.until <= d.ends_at AS is_reset
    FROM flows f
    CROSS JOIN span s
    CROSS JOIN LATERAL generate_series(
        greatest((f.since AT TIME ZONE s.zone)::date, first_day)::timestamp,
        least((f.until AT TIME ZONE s.zone)::date, last_day)::timestamp,
        interval '1 day'
    ) AS g (day)
    CROSS JOIN LATERAL (
        SELECT g.day AT TIME ZONE s.zone AS starts_at,
               (g.day + interval '1 day') AT TIME ZONE s.zone AS ends_at
    ) d
    WHERE greatest(f.since, d.starts_at) < least(f.until, d.ends_at)
),
totals AS (
    SELECT l.meter_id, l.day,
           round(sum(l.energy_wh * extract(epoch FROM l.until - l.since) / l.seconds), 3) AS energy_wh,
           round(sum(c.cost), 6) AS cost,
           count(*) FILTER (WHERE l.is_reset) AS resets
    FROM slices l
    CROSS JOIN span s
    CROSS JOIN LATERAL (
        SELECT sum(
                   l.energy_wh * t.price_per_kwh / 1000 / l.seconds
                   * extract(epoch FROM least(l.until, w.ends_at) - greatest(l.since, w.starts_at))
               ) AS cost
        FROM smart_home.energy_tariff_periods t
        CROSS JOIN LATERAL (
            SELECT (l.day + make_interval(mins => lower(t.minutes))) AT TIME ZONE s.zone AS starts_at,
                   (l.day + make_interval(mins => upper(t.minutes))) AT TIME ZONE s.zone AS ends_at
        ) w
        WHERE t.tariff_id = l.tariff_id AND t.valid @> l.day
          AND greatest(l.since, w.starts_at) < least(l.until, w.ends_at)
    ) c
    GROUP BY l.meter_id, l.day
),
seen AS (
    SELECT p.meter_id, (p.at AT TIME ZONE s.zone)::date AS day,
           count(*) FILTER (WHERE p.is_reading) AS readings,
           max(p.power_w) AS peak_power_w,
           max(p.at) FILTER (WHERE p.value IS NOT NULL) AS closing_at
    FROM points p
    CROSS JOIN span s
    WHERE p.at >= s.starts_at AND p.at < s.ends_at
    GROUP BY p.meter_id, (p.at AT TIME ZONE s.zone)::date
),
written AS (
    INSERT INTO smart_home.energy_daily AS d
        (meter_id, day, room_id, energy_wh, peak_power_w, cost, currency,
         readings, resets, closing_at, closing_value)
    SELECT m.id, day, coalesce(m.room_id, v.room_id), coalesce(t.energy_wh, 0), e.peak_power_w, t.cost,
           CASE WHEN t.cost IS NOT NULL THEN f.currency END,
           coalesce(e.readings, 0), coalesce(t.resets, 0), e.closing_at, p.value
    FROM totals t
    FULL JOIN seen e USING (meter_id, day)
    JOIN smart_home.energy_meters m ON m.id = coalesce(t.meter_id, e.meter_id)
    LEFT JOIN smart_home.devices v ON v.id = m.device_id
    LEFT JOIN smart_home.energy_tariffs f ON f.id = m.tariff_id
    LEFT JOIN points p ON p.meter_id = m.id AND p.at = e.closing_at
    ORDER BY m.id, day
    -- The room of the first time stays: a device that moves doesn't take its past along.
    ON CONFLICT (meter_id, day) DO UPDATE
    SET energy_wh = excluded.energy_wh, peak_power_w = excluded.peak_power_w, cost = excluded.cost,
        currency = excluded.currency, readings = excluded.readings, resets = excluded.resets,
        closing_at = excluded.closing_at, closing_value = excluded.closing_value, rolled_up_at = now()
    WHERE NOT d.is_sealed
      AND (d.energy_wh, d.peak_power_w, d.cost, d.currency,
           d.readings, d.resets, d.closing_at, d.closing_value)
          IS DISTINCT FROM
          (excluded.energy_wh, excluded.peak_power_w, excluded.cost, excluded.currency,
           excluded.readings, excluded.resets, excluded.closing_at, excluded.closing_value)
    RETURNING 1
)
SELECT count(*)::integer FROM written
$$;
