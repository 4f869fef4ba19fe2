-- Test users. Who is there already keeps the password.
INSERT INTO core.users (email, password_hash, full_name, role) VALUES
    ('admin@homeops.local', crypt('admin123', gen_salt('bf')), 'Admin User', 'admin'),
    ('user@homeops.local', crypt('user123', gen_salt('bf')), 'Test User', 'user')
ON CONFLICT (lower(email)) DO NOTHING;

INSERT INTO core.households (id, name, currency, timezone) VALUES
    (md5('core.households/Test Household')::uuid, 'Test Household', 'USD', 'America/New_York')
ON CONFLICT (id) DO NOTHING;

INSERT INTO core.household_members (household_id, user_id, role)
SELECT md5('core.households/Test Household')::uuid, u.id, member.role
FROM (VALUES
    ('admin@homeops.local', 'owner'),
    ('user@homeops.local', 'member')
) AS member (email, role)
JOIN core.users u ON lower(u.email) = member.email
ON CONFLICT (household_id, user_id) DO NOTHING;

INSERT INTO core.notifications (id, user_id, severity, title, body, details, created_at, read_at)
SELECT md5('core.notifications/' || message.title || u.email)::uuid,
       u.id, message.severity, message.title, message.body, message.details,
       made.at, CASE WHEN message.is_read THEN made.at + interval '2 hours' END
FROM (VALUES
    ('info', 'Welcome to HomeOps', 'Your test household is ready.', '{}'::jsonb, 30, true),
    ('warning', 'Budget nearly spent', 'Groceries: more than 80 % of this month are spent.',
     '{"budget": "Groceries"}', 3, false),
    ('critical', 'Water leak', 'The sensor under the kitchen sink is wet.', '{"device": "Kitchen Leak Sensor"}', 9, true),
    ('info', 'Monthly report', 'The report of last month can be read.', '{}', 1, false)
) AS message (severity, title, body, details, days_ago, is_read)
CROSS JOIN core.users u
CROSS JOIN LATERAL (
    SELECT (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - message.days_ago * interval '1 day' AS at
    FROM core.system_config c
    WHERE c.key = 'development.seeded_on'
) AS made
WHERE lower(u.email) IN ('admin@homeops.local', 'user@homeops.local')
ON CONFLICT (id) DO NOTHING;
