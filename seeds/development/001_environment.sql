-- What this database is, before any other row of its environment: the loader refuses the seeds of
-- another environment from then on.
INSERT INTO core.system_config (key, value, category, description)
SELECT fixed.key, fixed.value, fixed.category, fixed.description
FROM (VALUES
    ('system.environment', '"development"'::jsonb, 'core', 'What this database is: development, staging or production'),
    ('security.encryption_enabled', 'false', 'security', 'Whether secrets are encrypted before they are stored'),
    -- The generated data end on the day of the first run; a later run finds this row and makes the same data.
    ('development.seeded_on', to_jsonb(current_date), 'development', 'Last day of the generated data')
) AS fixed (key, value, category, description)
ON CONFLICT (key) DO NOTHING;
