INSERT INTO smart_home.maintenance_plans
    (device_id, name, instructions, every_days, every_hours, starts_on, used_hours)
SELECT d.id, plan.name, plan.instructions, plan.every_days, plan.every_hours, (c.value #>> '{}')::date - 200, plan.used_hours
FROM (VALUES
    ('TEST-PWR-1', 'Clean the filter', 'Rinse it under warm water', 30, 60, 168.5),
    ('TEST-CAM-1', 'Wipe the lens', NULL, 90, NULL, 0),
    ('TEST-LCK-1', 'Change the batteries', 'Four of size AA', 365, NULL, 0),
    ('TEST-COV-1', 'Oil the hinges', NULL, NULL, 40, 23.4),
    ('TEST-HUB-1', 'Install updates', NULL, 30, NULL, 0)
) AS plan (serial_number, name, instructions, every_days, every_hours, used_hours)
JOIN smart_home.devices d ON d.serial_number = plan.serial_number
CROSS JOIN core.system_config c
WHERE c.key = 'development.seeded_on'
ON CONFLICT (device_id, name) DO NOTHING;

INSERT INTO smart_home.maintenance_bookings (id, device_id, plan_id, booked_by, during, state, provider)
SELECT md5('smart_home.maintenance_bookings/' || booking.serial_number || booking.in_days)::uuid, d.id, p.id, u.id,
       tstzrange(day.at + interval '9 hours', day.at + interval '10 hours 30 minutes'), booking.state, 'Test Service'
FROM (VALUES
    ('TEST-PWR-1', -35, 'done'),
    ('TEST-PWR-1', 4, 'cancelled'),
    ('TEST-PWR-1', 6, 'booked'),
    ('TEST-CAM-1', 12, 'booked')
) AS booking (serial_number, in_days, state)
JOIN smart_home.devices d ON d.serial_number = booking.serial_number
JOIN smart_home.maintenance_plans p ON p.device_id = d.id
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
JOIN core.system_config c ON c.key = 'development.seeded_on'
CROSS JOIN LATERAL (
    SELECT ((c.value #>> '{}')::date + booking.in_days)::timestamp AT TIME ZONE 'UTC' AS at
) AS day
ON CONFLICT DO NOTHING;

INSERT INTO smart_home.maintenance_records
    (id, device_id, plan_id, booking_id, done_by, done_on, work, used_hours, cost, currency, parts)
SELECT md5('smart_home.maintenance_records/' || work.serial_number || work.days_ago)::uuid, d.id, p.id, b.id, u.id,
       (c.value #>> '{}')::date - work.days_ago, work.work, work.used_hours, work.cost,
       CASE WHEN work.cost IS NOT NULL THEN 'USD' END, work.parts
FROM (VALUES
    ('TEST-PWR-1', 120, 'Filter cleaned', 68.0, NULL, '[]'::jsonb),
    ('TEST-PWR-1', 35, 'Filter changed', 139.5, 84.50, '[{"name": "Filter", "quantity": 1}]'),
    ('TEST-HUB-1', 12, 'Updated', NULL, NULL, '[]'),
    ('TEST-LCK-1', 150, 'Batteries changed', NULL, 6.20, '[{"name": "Battery AA", "quantity": 4}]')
) AS work (serial_number, days_ago, work, used_hours, cost, parts)
JOIN smart_home.devices d ON d.serial_number = work.serial_number
JOIN smart_home.maintenance_plans p ON p.device_id = d.id
LEFT JOIN smart_home.maintenance_bookings b
    ON b.id = md5('smart_home.maintenance_bookings/' || work.serial_number || -work.days_ago)::uuid
LEFT JOIN core.users u ON lower(u.email) = 'user@homeops.local'
CROSS JOIN core.system_config c
WHERE c.key = 'development.seeded_on'
ON CONFLICT DO NOTHING;
