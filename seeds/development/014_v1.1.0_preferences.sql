-- Who has chosen something already keeps it.
UPDATE core.users u
SET preferences = chosen.preferences
FROM (VALUES
    ('admin@homeops.local',
     '{"theme": "dark", "locale": "en-US", "dashboard": ["accounts", "energy", "media"], "notify": {"mail": true}}'::jsonb),
    ('user@homeops.local', '{"theme": "light", "locale": "de-DE", "dashboard": ["media"]}')
) AS chosen (email, preferences)
WHERE lower(u.email) = chosen.email AND u.preferences = '{}';
