-- A month of predicted room temperatures beside those that were measured, at noon of each day; one in twelve of the
-- predictions is far off. Then the days to come, without an outcome yet.
INSERT INTO ai.predictions (id, model_id, kind, device_id, made_at, target_at, unit, value, lower, upper)
SELECT md5('ai.predictions/' || d.serial_number || '/' || noon.day)::uuid, m.id, m.kind, d.id,
       noon.at - interval '1 day', noon.at, '°C', guessed.value, guessed.value - 1.5, guessed.value + 1.5
FROM smart_home.devices d
JOIN ai.prediction_models m ON m.kind = 'climate' AND m.version = 'baseline'
CROSS JOIN (
    SELECT day, (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - interval '12 hours'
                + day * interval '1 day' AS at
    FROM core.system_config c
    CROSS JOIN generate_series(-28, 7) AS day
    WHERE c.key = 'development.seeded_on'
) AS noon
CROSS JOIN LATERAL (
    SELECT coalesce(
        (SELECT s.reading FROM smart_home.device_states s WHERE s.device_id = d.id AND s.recorded_at = noon.at),
        20
    ) AS reading,
    ('x' || substr(md5(d.serial_number || '/' || noon.day), 1, 7))::bit(28)::integer AS chance
) AS measured
CROSS JOIN LATERAL (
    SELECT round((measured.reading
                  + (measured.chance % 200 - 100) / 100.0
                  + CASE WHEN measured.chance % 12 = 0 THEN 4 ELSE 0 END)::numeric, 1) AS value
) AS guessed
WHERE d.serial_number IN ('TEST-CLI-1', 'TEST-CLI-2', 'TEST-CLI-3')
ON CONFLICT DO NOTHING;

INSERT INTO ai.prediction_outcomes (prediction_id, actual, observed_at)
SELECT p.id, s.reading::numeric, s.recorded_at
FROM ai.predictions p
JOIN smart_home.devices d ON d.id = p.device_id AND d.serial_number LIKE 'TEST-CLI-%'
JOIN smart_home.device_states s ON s.device_id = p.device_id AND s.recorded_at = p.target_at
WHERE p.kind = 'climate'
ON CONFLICT (prediction_id) DO NOTHING;

-- Next month's groceries of each person, as six months of averages would have them.
INSERT INTO ai.predictions (id, model_id, kind, user_id, category_id, made_at, target_at, unit, value, lower, upper)
SELECT md5('ai.predictions/' || u.email || '/' || month.number)::uuid, m.id, m.kind, u.id, g.id,
       today.at, today.at + month.number * interval '30 days', 'USD', 420 + month.number * 5, 350, 520
FROM core.users u
JOIN ai.prediction_models m ON m.kind = 'spending' AND m.version = 'baseline'
JOIN financial.categories g ON g.name = 'Groceries'
CROSS JOIN generate_series(1, 3) AS month (number)
CROSS JOIN (
    SELECT (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' AS at
    FROM core.system_config c
    WHERE c.key = 'development.seeded_on'
) AS today
WHERE lower(u.email) IN ('admin@homeops.local', 'user@homeops.local')
ON CONFLICT DO NOTHING;

SELECT ai.note_anomalies();
