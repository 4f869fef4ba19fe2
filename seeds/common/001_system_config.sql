-- Settings that every HomeOps database starts with. A value that was changed later stays.
INSERT INTO core.system_config (key, value, category, description) VALUES
    ('system.version', '"1.0.0"', 'core', 'HomeOps system version'),
    ('system.timezone', '"UTC"', 'core', 'Time zone for schedules and reports, by its IANA name'),
    ('system.locale', '"en-US"', 'core', 'Language and formats where a user has chosen none'),
    ('system.currency', '"USD"', 'core', 'Currency of new accounts and budgets, by its ISO 4217 code'),
    ('ai.default_model', '"gpt-4"', 'ai', 'Default AI model'),
    ('ai.max_tokens', '4096', 'ai', 'Longest answer of the AI model, in tokens'),
    ('ai.requests_per_minute', '20', 'ai', 'Requests to the AI model that one user may make in a minute'),
    ('security.session_timeout_minutes', '60', 'security', 'Minutes without activity before a session ends'),
    ('security.max_failed_logins', '5', 'security', 'Failed logins in a row before an account is locked'),
    ('security.lockout_minutes', '15', 'security', 'Minutes for which an account stays locked'),
    ('security.password_min_length', '12', 'security', 'Shortest password that is accepted, in characters'),
    ('security.api_key_lifetime_days', '365', 'security', 'Days until a new API key expires'),
    ('notifications.email_enabled', 'false', 'notifications', 'Whether notifications are also sent by mail'),
    ('notifications.quiet_hours', '{"from": "22:00", "to": "07:00"}', 'notifications',
     'When only critical notifications are delivered, in the system time zone'),
    ('financial.sync_interval_minutes', '240', 'financial', 'Minutes between two fetches of transactions'),
    ('financial.budget_alert_percent', '80', 'financial', 'Share of a budget that is spent when a warning is due'),
    ('media.scan_interval_minutes', '60', 'media', 'Minutes between two scans of a library for new files'),
    ('media.watched_percent', '90', 'media', 'Progress from which an item counts as watched'),
    ('smart_home.state_retention_days', '400', 'smart_home', 'Days for which device states are kept'),
    ('smart_home.offline_after_minutes', '30', 'smart_home', 'Silence after which a device counts as offline')
ON CONFLICT (key) DO NOTHING;
