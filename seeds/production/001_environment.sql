-- What this database is, before any other row of its environment: the loader refuses the seeds of
-- another environment from then on.
INSERT INTO core.system_config (key, value, category, description) VALUES
    ('system.environment', '"production"', 'core', 'What this database is: development, staging or production'),
    ('security.encryption_enabled', 'true', 'security', 'Whether secrets are encrypted before they are stored')
ON CONFLICT (key) DO NOTHING;
