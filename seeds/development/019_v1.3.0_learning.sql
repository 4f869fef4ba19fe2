INSERT INTO smart_home.usage_patterns (device_id, weekday, minutes, probability, observations)
SELECT d.id, day.weekday, usage.minutes::int4range, round(usage.probability - day.weekday * 0.01, 3), 26
FROM (VALUES
    ('TEST-LGT-2', '[400,490)', 0.95, 1, 5),
    ('TEST-LGT-1', '[1080,1410)', 0.91, 1, 7),
    ('TEST-PWR-1', '[1200,1290)', 0.72, 1, 7),
    ('TEST-TV-1', '[1215,1335)', 0.64, 5, 7)
) AS usage (serial_number, minutes, probability, first_day, last_day)
JOIN smart_home.devices d ON d.serial_number = usage.serial_number
CROSS JOIN LATERAL generate_series(usage.first_day, usage.last_day) AS day (weekday)
ON CONFLICT (device_id, weekday, minutes) DO NOTHING;

INSERT INTO smart_home.automation_suggestions
    (id, usage_pattern_id, title, pattern, confidence, state, decided_by, decided_at, automation_id)
SELECT md5('smart_home.automation_suggestions/' || suggestion.title)::uuid, p.id, suggestion.title, suggestion.pattern,
       suggestion.confidence, suggestion.state, u.id,
       CASE WHEN u.id IS NOT NULL THEN (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' END, a.id
FROM (VALUES
    ('Kitchen light in the morning', 'TEST-LGT-2', 1, NULL, 'proposed', 0.94,
     '{"triggers": [{"at": "06:40"}], "actions": [{"device": "TEST-LGT-2", "state": {"on": true}}]}'::jsonb),
    ('Lights off when you sleep', 'TEST-LGT-1', 1, 'Lights off at night', 'accepted', 0.9,
     '{"triggers": [{"at": "23:30"}], "actions": [{"scene": "Good Night"}]}'),
    ('Dishes at night', 'TEST-PWR-1', 3, NULL, 'rejected', 0.71,
     '{"triggers": [{"at": "22:30"}], "actions": [{"device": "TEST-PWR-1", "state": {"on": true}}]}'),
    ('Television on Fridays', 'TEST-TV-1', 5, NULL, 'expired', 0.6,
     '{"triggers": [{"at": "20:15"}], "actions": [{"device": "TEST-TV-1", "state": {"on": true}}]}')
) AS suggestion (title, serial_number, weekday, automation, state, confidence, pattern)
JOIN smart_home.devices d ON d.serial_number = suggestion.serial_number
JOIN smart_home.usage_patterns p ON p.device_id = d.id AND p.weekday = suggestion.weekday
JOIN core.system_config c ON c.key = 'development.seeded_on'
LEFT JOIN smart_home.automations a ON a.name = suggestion.automation
LEFT JOIN core.users u ON lower(u.email) = 'admin@homeops.local' AND suggestion.state IN ('accepted', 'rejected')
WHERE suggestion.state IN ('proposed', 'expired') OR u.id IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO smart_home.automation_feedback (run_id, user_id, is_helpful, was_undone, comment, given_at)
SELECT r.id, u.id, r.chance % 100 >= 12, r.chance % 100 < 8, CASE WHEN r.chance % 100 < 8 THEN 'Not today' END,
       r.started_at + interval '5 minutes'
FROM (
    SELECT n.id, n.started_at, n.status,
           ('x' || substr(md5('feedback/' || n.id::text), 1, 7))::bit(28)::integer AS chance
    FROM smart_home.automation_runs n
) AS r
JOIN core.users u ON lower(u.email) = 'user@homeops.local'
WHERE r.status = 'succeeded' AND r.chance % 7 < 2
ON CONFLICT (run_id, user_id) DO NOTHING;
