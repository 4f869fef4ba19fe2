-- What the application of v1.3.0 sends besides: energy and its price, what the house learns, maintenance.

-- Energy

INSERT INTO smart_home.energy_tariffs (id, name, currency) VALUES
    ('00000000-0000-4000-8000-000001300001', 'Day and night', 'EUR'),
    ('00000000-0000-4000-8000-000001300002', 'Last year''s offer', 'EUR');

INSERT INTO smart_home.energy_tariffs (name)
VALUES ('Feed-in')
RETURNING id, currency, created_at;

SELECT id, name, currency, created_at, updated_at FROM smart_home.energy_tariffs ORDER BY name;

UPDATE smart_home.energy_tariffs SET name = 'Day and night tariff' WHERE id = '00000000-0000-4000-8000-000001300001';

DELETE FROM smart_home.energy_tariffs WHERE id = '00000000-0000-4000-8000-000001300002';

INSERT INTO smart_home.energy_tariff_periods (id, tariff_id, valid, minutes, price_per_kwh) VALUES
    ('00000000-0000-4000-8000-000001300003', '00000000-0000-4000-8000-000001300001', '[2026-01-01,2027-01-01)', '[360,1320)', 0.389),
    ('00000000-0000-4000-8000-000001300004', '00000000-0000-4000-8000-000001300001', '[2026-01-01,2027-01-01)', '[0,360)', 0.274),
    ('00000000-0000-4000-8000-000001300005', '00000000-0000-4000-8000-000001300001', '[2026-01-01,2027-01-01)', '[1320,1440)', 0.28);

INSERT INTO smart_home.energy_tariff_periods (id, tariff_id, valid, price_per_kwh)
VALUES ('00000000-0000-4000-8000-000001300006', '00000000-0000-4000-8000-000001300001', '[2027-01-01,)', 0.41);

SELECT id, tariff_id, valid, minutes, price_per_kwh, created_at, updated_at
FROM smart_home.energy_tariff_periods
WHERE tariff_id = '00000000-0000-4000-8000-000001300001' AND valid @> date '2026-06-01'
ORDER BY minutes;

UPDATE smart_home.energy_tariff_periods SET price_per_kwh = 0.274
WHERE id = '00000000-0000-4000-8000-000001300005';

DELETE FROM smart_home.energy_tariff_periods WHERE id = '00000000-0000-4000-8000-000001300006';

INSERT INTO smart_home.energy_meters (id, name, scope, device_id, room_id, tariff_id, direction, channel, unit) VALUES
    ('00000000-0000-4000-8000-000001300007', 'Application device meter', 'device', '00000000-0000-4000-8000-00000000000a',
     NULL, '00000000-0000-4000-8000-000001300001', 'consumption', '1', 'kWh'),
    ('00000000-0000-4000-8000-000001300008', 'Application room meter', 'room', NULL,
     '00000000-0000-4000-8000-000000000009', '00000000-0000-4000-8000-000001300001', 'consumption', '', 'W');

INSERT INTO smart_home.energy_meters (id, name, scope, direction)
VALUES ('00000000-0000-4000-8000-000001300009', 'Application grid meter', 'house', 'import')
RETURNING unit, channel;

SELECT m.id, m.name, m.scope, m.device_id, m.room_id, m.tariff_id, m.direction, m.channel, m.unit, m.created_at,
       m.updated_at, d.name AS device
FROM smart_home.energy_meters m
LEFT JOIN smart_home.devices d ON d.id = m.device_id
ORDER BY m.name;

UPDATE smart_home.energy_meters SET name = 'Application main meter' WHERE id = '00000000-0000-4000-8000-000001300009';

DELETE FROM smart_home.energy_meters WHERE id = '00000000-0000-4000-8000-000001300009';

INSERT INTO smart_home.energy_readings (meter_id, recorded_at, power_w, energy_wh) VALUES
    ('00000000-0000-4000-8000-000001300007', '2026-02-10 10:00+00', 850, 120000),
    ('00000000-0000-4000-8000-000001300007', '2026-02-10 11:00+00', 900, 120875.5),
    ('00000000-0000-4000-8000-000001300007', '2026-02-10 12:00+00', NULL, 40),
    ('00000000-0000-4000-8000-000001300008', '2026-02-10 10:00+00', 1200, NULL),
    ('00000000-0000-4000-8000-000001300008', '2026-02-10 10:30+00', 1400, NULL),
    ('00000000-0000-4000-8000-000001300008', '2026-02-10 10:31+00', 90000, NULL);

INSERT INTO smart_home.energy_readings (meter_id, power_w)
VALUES ('00000000-0000-4000-8000-000001300008', 1300)
ON CONFLICT (meter_id, recorded_at) DO NOTHING;

SELECT meter_id, recorded_at, power_w, energy_wh
FROM smart_home.energy_readings
WHERE meter_id = '00000000-0000-4000-8000-000001300007' AND recorded_at >= '2026-02-10'
ORDER BY recorded_at DESC
LIMIT 100;

UPDATE smart_home.energy_readings SET power_w = 910
WHERE meter_id = '00000000-0000-4000-8000-000001300007' AND recorded_at = '2026-02-10 11:00+00';

DELETE FROM smart_home.energy_readings
WHERE meter_id = '00000000-0000-4000-8000-000001300008' AND recorded_at = '2026-02-10 10:31+00';

SELECT smart_home.house_timezone();

SELECT smart_home.roll_up_energy('2026-02-01', '2026-02-28');

SELECT meter_id, day, room_id, energy_wh, peak_power_w, cost, currency, readings, resets, closing_at, closing_value,
       is_sealed, rolled_up_at
FROM smart_home.energy_daily
WHERE day BETWEEN '2026-02-01' AND '2026-02-28'
ORDER BY meter_id, day;

INSERT INTO smart_home.energy_daily
    (meter_id, day, room_id, energy_wh, peak_power_w, cost, currency, readings, resets, closing_at, closing_value)
VALUES
    ('00000000-0000-4000-8000-000001300007', '2025-12-30', '00000000-0000-4000-8000-000000000009', 4200, 1500, 1.63, 'EUR',
     24, 0, '2025-12-30 22:00+00', 119000),
    ('00000000-0000-4000-8000-000001300007', '2025-12-31', NULL, 3900, NULL, NULL, NULL, 0, 0, NULL, NULL);

UPDATE smart_home.energy_daily SET is_sealed = true
WHERE meter_id = '00000000-0000-4000-8000-000001300007' AND day = '2025-12-30';

DELETE FROM smart_home.energy_daily
WHERE meter_id = '00000000-0000-4000-8000-000001300007' AND day = '2025-12-31';

SELECT day, room_id, room, energy_wh, cost, currency
FROM smart_home.room_energy_daily
WHERE day >= '2025-12-01'
ORDER BY day, room;

-- What the house learns

INSERT INTO smart_home.usage_patterns (id, device_id, weekday, minutes, probability, observations) VALUES
    ('00000000-0000-4000-8000-000001300010', '00000000-0000-4000-8000-00000000000a', 1, '[390,450)', 0.85, 11),
    ('00000000-0000-4000-8000-000001300011', '00000000-0000-4000-8000-00000000000a', 6, '[390,450)', 0.1, 11);

SELECT id, device_id, weekday, minutes, probability, observations, created_at, updated_at
FROM smart_home.usage_patterns
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND minutes @> 400
ORDER BY probability DESC;

INSERT INTO smart_home.usage_patterns (device_id, weekday, minutes, probability, observations)
VALUES ('00000000-0000-4000-8000-00000000000a', 1, '[390,450)', 0.86, 12)
ON CONFLICT (device_id, weekday, minutes) DO UPDATE
SET probability = excluded.probability, observations = excluded.observations;

DELETE FROM smart_home.usage_patterns WHERE id = '00000000-0000-4000-8000-000001300011';

INSERT INTO smart_home.automation_suggestions (id, usage_pattern_id, title, pattern, confidence, expires_at) VALUES
    ('00000000-0000-4000-8000-000001300012', '00000000-0000-4000-8000-000001300010', 'Light in the morning',
     '{"triggers": [{"at": "06:30"}], "actions": [{"on": true}]}', 0.86, '2026-04-01 00:00+00'),
    ('00000000-0000-4000-8000-000001300013', NULL, 'Nothing in particular', '{}', 0.2, NULL);

SELECT id, usage_pattern_id, title, pattern, confidence, state, expires_at, decided_by, decided_at, automation_id,
       created_at, updated_at
FROM smart_home.automation_suggestions
WHERE state = 'proposed'
ORDER BY confidence DESC;

UPDATE smart_home.automation_suggestions
SET state = 'accepted', decided_by = '00000000-0000-4000-8000-000000000001', decided_at = now(),
    automation_id = '00000000-0000-4000-8000-00000000000b'
WHERE id = '00000000-0000-4000-8000-000001300012';

DELETE FROM smart_home.automation_suggestions WHERE id = '00000000-0000-4000-8000-000001300013';

INSERT INTO smart_home.automation_runs (id, automation_id, status, started_at, ended_at) VALUES
    ('00000000-0000-4000-8000-000001300014', '00000000-0000-4000-8000-00000000000b', 'succeeded', '2026-02-11 06:30+00',
     '2026-02-11 06:30:01+00'),
    ('00000000-0000-4000-8000-000001300015', '00000000-0000-4000-8000-00000000000b', 'succeeded', '2026-02-12 06:30+00',
     '2026-02-12 06:30:01+00');

INSERT INTO smart_home.automation_feedback (id, run_id, user_id, is_helpful, was_undone, comment) VALUES
    ('00000000-0000-4000-8000-000001300016', '00000000-0000-4000-8000-000001300014', '00000000-0000-4000-8000-000000000001',
     NULL, true, NULL),
    ('00000000-0000-4000-8000-000001300017', '00000000-0000-4000-8000-000001300015', '00000000-0000-4000-8000-000000000001',
     true, false, 'Just right');

SELECT f.id, f.run_id, f.user_id, f.is_helpful, f.was_undone, f.comment, f.given_at
FROM smart_home.automation_feedback f
JOIN smart_home.automation_runs r ON r.id = f.run_id
WHERE r.automation_id = '00000000-0000-4000-8000-00000000000b'
ORDER BY f.given_at;

UPDATE smart_home.automation_feedback SET is_helpful = false, comment = 'Too early'
WHERE id = '00000000-0000-4000-8000-000001300016';

DELETE FROM smart_home.automation_feedback WHERE id = '00000000-0000-4000-8000-000001300017';

-- Maintenance

INSERT INTO smart_home.maintenance_plans
    (id, device_id, name, instructions, every_days, every_hours, starts_on, used_hours)
VALUES
    ('00000000-0000-4000-8000-000001300020', '00000000-0000-4000-8000-00000000000a', 'Change the filter', 'Power off first',
     180, 2000, '2026-01-01', 350.5),
    ('00000000-0000-4000-8000-000001300021', '00000000-0000-4000-8000-00000000000a', 'Dust', NULL, 30, NULL, '2026-01-01', 0);

SELECT id, device_id, name, instructions, every_days, every_hours, starts_on, used_hours, is_active, created_at, updated_at
FROM smart_home.maintenance_plans
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND is_active
ORDER BY name;

UPDATE smart_home.maintenance_plans SET used_hours = used_hours + 7.5 WHERE id = '00000000-0000-4000-8000-000001300020';

DELETE FROM smart_home.maintenance_plans WHERE id = '00000000-0000-4000-8000-000001300021';

INSERT INTO smart_home.maintenance_bookings (id, device_id, plan_id, booked_by, during, provider, notes) VALUES
    ('00000000-0000-4000-8000-000001300022', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000001300020',
     '00000000-0000-4000-8000-000000000001', '["2026-03-02 09:00+00","2026-03-02 11:00+00")', 'Example Service', NULL),
    ('00000000-0000-4000-8000-000001300023', '00000000-0000-4000-8000-00000000000a', NULL, NULL,
     tstzrange('2026-03-02 11:00+00', '2026-03-02 12:00+00'), NULL, 'A second look');

SELECT id, device_id, plan_id, booked_by, during, state, provider, notes, created_at, updated_at
FROM smart_home.maintenance_bookings
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND during && tstzrange('2026-03-01', '2026-04-01')
ORDER BY during;

UPDATE smart_home.maintenance_bookings SET state = 'cancelled' WHERE id = '00000000-0000-4000-8000-000001300023';

UPDATE smart_home.maintenance_bookings SET during = '["2026-03-02 09:00+00","2026-03-02 11:30+00")'
WHERE id = '00000000-0000-4000-8000-000001300022';

DELETE FROM smart_home.maintenance_bookings WHERE id = '00000000-0000-4000-8000-000001300023';

INSERT INTO smart_home.maintenance_records
    (id, device_id, plan_id, booking_id, done_by, done_on, work, used_hours, cost, currency, parts)
VALUES
    ('00000000-0000-4000-8000-000001300024', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000001300020',
     '00000000-0000-4000-8000-000001300022', '00000000-0000-4000-8000-000000000001', '2026-03-02', 'Filter changed', 358,
     49.90, 'EUR', '[{"name": "Filter", "quantity": 1}]'),
    ('00000000-0000-4000-8000-000001300025', '00000000-0000-4000-8000-00000000000a', NULL, NULL, NULL, '2026-03-03', 'Looked at',
     NULL, NULL, NULL, '[]');

SELECT id, device_id, plan_id, booking_id, done_by, done_on, work, used_hours, cost, currency, parts, created_at, updated_at
FROM smart_home.maintenance_records
WHERE device_id = '00000000-0000-4000-8000-00000000000a'
ORDER BY done_on DESC;

UPDATE smart_home.maintenance_records SET cost = 45.90 WHERE id = '00000000-0000-4000-8000-000001300024';

DELETE FROM smart_home.maintenance_records WHERE id = '00000000-0000-4000-8000-000001300025';

SELECT device_id, device, plan_id, plan, last_done_on, due_on, is_overdue, booked_for
FROM smart_home.maintenance_due
ORDER BY due_on NULLS LAST;
