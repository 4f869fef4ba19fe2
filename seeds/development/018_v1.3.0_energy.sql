INSERT INTO smart_home.energy_tariffs (name, currency) VALUES
    ('Test Power Day and Night', 'USD'),
    ('Test Power Feed-in', 'USD')
ON CONFLICT (name) DO NOTHING;

INSERT INTO smart_home.energy_tariff_periods (tariff_id, valid, minutes, price_per_kwh)
SELECT t.id, period.valid::daterange, period.minutes::int4range, period.price
FROM (VALUES
    ('Test Power Day and Night', '[2020-01-01,)', '[0,360)', 0.112),
    ('Test Power Day and Night', '[2020-01-01,)', '[360,1320)', 0.178),
    ('Test Power Day and Night', '[2020-01-01,)', '[1320,1440)', 0.112),
    ('Test Power Feed-in', '[2020-01-01,)', '[0,1440)', 0.05)
) AS period (tariff, valid, minutes, price)
JOIN smart_home.energy_tariffs t ON t.name = period.tariff
ON CONFLICT DO NOTHING;

INSERT INTO smart_home.energy_meters (name, scope, device_id, tariff_id, direction, unit)
SELECT meter.name, meter.scope, d.id, t.id, meter.direction, meter.unit
FROM (VALUES
    ('Dishwasher', 'device', 'TEST-PWR-1', 'Test Power Day and Night', 'consumption', 'kWh'),
    ('Desk', 'device', 'TEST-PWR-2', 'Test Power Day and Night', 'consumption', 'W'),
    ('Car', 'device', 'TEST-PWR-3', 'Test Power Day and Night', 'consumption', 'kWh'),
    ('Grid', 'house', NULL, 'Test Power Day and Night', 'import', 'kWh'),
    ('Roof', 'house', NULL, 'Test Power Feed-in', 'export', 'Wh')
) AS meter (name, scope, serial_number, tariff, direction, unit)
JOIN smart_home.energy_tariffs t ON t.name = meter.tariff
LEFT JOIN smart_home.devices d ON d.serial_number = meter.serial_number
WHERE meter.scope = 'house' OR d.id IS NOT NULL
ON CONFLICT DO NOTHING;

-- A month of readings, one every half hour. Power follows the day with noise from a hash, so that each run
-- makes the same rows; the counter of the car began again at zero when it was new, ten days ago.
INSERT INTO smart_home.energy_readings (meter_id, recorded_at, power_w, energy_wh)
SELECT meter_id, at, power_w,
       CASE
           WHEN unit = 'W' THEN NULL
           ELSE sum(power_w / 2) OVER (
               PARTITION BY meter_id, meter = 'Car' AND half_hour > 20 * 48 ORDER BY half_hour
           )
       END
FROM (
    SELECT m.id AS meter_id, m.name AS meter, m.unit, half_hour,
           ((c.value #>> '{}')::date - 30)::timestamp AT TIME ZONE 'UTC' + half_hour * interval '30 minutes' AS at,
           round(greatest(0, shape.level + shape.swing * (
               cos(2 * pi() * (half_hour / 2.0 - shape.peak_hour) / 24)::numeric
               + (('x' || substr(md5(m.name || '/' || half_hour), 1, 7))::bit(28)::integer % 400 - 200) / 1000.0
           )), 1) AS power_w
    FROM (VALUES
        ('Dishwasher', 60, 90, 20),
        ('Desk', 70, 60, 14),
        ('Car', 700, 2000, 2),
        ('Grid', 900, 1100, 19),
        ('Roof', 300, 2500, 12)
    ) AS shape (meter, level, swing, peak_hour)
    JOIN smart_home.energy_meters m ON m.name = shape.meter
    CROSS JOIN generate_series(0, 30 * 48 - 1) AS half_hour
    CROSS JOIN core.system_config c
    WHERE c.key = 'development.seeded_on'
) AS measured
ON CONFLICT (meter_id, recorded_at) DO NOTHING;

SELECT smart_home.roll_up_energy((c.value #>> '{}')::date - 31, (c.value #>> '{}')::date)
FROM core.system_config c
WHERE c.key = 'development.seeded_on';
