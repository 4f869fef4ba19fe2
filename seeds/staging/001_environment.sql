-- What this database is, before any other row of its environment: the loader refuses the seeds of
-- another environment from then on.
INSERT INTO core.system_config (key, value, category, description) VALUES
    ('system.environment', '"staging"', 'core', 'What this database is: development, staging or production'),
    ('security.encryption_enabled', 'true', 'security', 'Whether secrets are encrypted before they are stored'),
    ('notifications.redirect_to', '"staging@homeops.local"', 'notifications',
     'Address that gets every mail of this database in place of the real one')
ON CONFLICT (key) DO NOTHING;
