-- A month of readings, one an hour from each sensor that measures. Temperatures follow the day,
-- power follows what people do; the noise comes from a hash, so that each run makes the same rows.
INSERT INTO smart_home.device_states (device_id, recorded_at, state, reading, battery_percent)
SELECT d.id, moment.at,
       jsonb_build_object(sensor.quantity, measured.reading, 'unit', sensor.unit),
       measured.reading,
       CASE WHEN sensor.on_battery THEN 100 - moment.hour / 24 END
FROM (VALUES
    ('TEST-CLI-1', 'temperature', '°C', 21.0, 1.5, true),
    ('TEST-CLI-2', 'temperature', '°C', 21.5, 2.0, true),
    ('TEST-CLI-3', 'temperature', '°C', 18.5, 1.0, true),
    ('TEST-CLI-4', 'temperature', '°C', 17.5, 1.0, true),
    ('TEST-CLI-5', 'temperature', '°C', 22.0, 2.5, true),
    ('TEST-CLI-6', 'temperature', '°C', 20.0, 2.0, true),
    ('TEST-CLI-7', 'temperature', '°C', 12.0, 3.0, true),
    ('TEST-CLI-8', 'temperature', '°C', 15.0, 0.5, true),
    ('TEST-CLI-9', 'temperature', '°C', 10.0, 6.0, true),
    ('TEST-THM-1', 'temperature', '°C', 20.5, 1.0, false),
    ('TEST-PWR-1', 'power', 'W', 60.0, 55.0, false),
    ('TEST-PWR-2', 'power', 'W', 90.0, 80.0, false),
    ('TEST-PWR-3', 'power', 'W', 900.0, 900.0, false),
    ('TEST-PWR-4', 'power', 'W', 1400.0, 1100.0, false)
) AS sensor (serial_number, quantity, unit, level, swing, on_battery)
JOIN smart_home.devices d ON d.serial_number = sensor.serial_number
CROSS JOIN (
    SELECT hour, (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - hour * interval '1 hour' AS at
    FROM core.system_config c
    CROSS JOIN generate_series(0, 30 * 24 - 1) AS hour
    WHERE c.key = 'development.seeded_on'
) AS moment
CROSS JOIN LATERAL (
    -- Warmest and busiest at three in the afternoon.
    SELECT round((sensor.level + sensor.swing * (
               0.8 * cos(2 * pi() * (extract(hour FROM moment.at AT TIME ZONE 'UTC') - 15) / 24)::numeric
               + (('x' || substr(md5(sensor.serial_number || '/' || moment.hour), 1, 7))::bit(28)::integer
                  % 400 - 200) / 1000.0
           ))::numeric, 1)::double precision AS reading
) AS measured
ON CONFLICT (device_id, recorded_at) DO NOTHING;

-- Lights and the lock report when they change: in the morning and in the evening.
INSERT INTO smart_home.device_states (device_id, recorded_at, state)
SELECT d.id, day.at + change.at, change.state
FROM (VALUES
    ('TEST-LGT-1', interval '18 hours', '{"on": true, "brightness": 80}'::jsonb),
    ('TEST-LGT-1', interval '23 hours 30 minutes', '{"on": false}'),
    ('TEST-LGT-2', interval '6 hours 40 minutes', '{"on": true}'),
    ('TEST-LGT-2', interval '8 hours 10 minutes', '{"on": false}'),
    ('TEST-LGT-3', interval '22 hours 45 minutes', '{"on": true, "brightness": 20}'),
    ('TEST-LGT-3', interval '23 hours 31 minutes', '{"on": false}'),
    ('TEST-LCK-1', interval '7 hours 55 minutes', '{"locked": false}'),
    ('TEST-LCK-1', interval '23 hours 30 minutes', '{"locked": true}')
) AS change (serial_number, at, state)
JOIN smart_home.devices d ON d.serial_number = change.serial_number
CROSS JOIN (
    SELECT (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - days_ago * interval '1 day' AS at
    FROM core.system_config c
    CROSS JOIN generate_series(1, 30) AS days_ago
    WHERE c.key = 'development.seeded_on'
) AS day
ON CONFLICT (device_id, recorded_at) DO NOTHING;
