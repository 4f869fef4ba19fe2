INSERT INTO core.system_config (key, value, category, description) VALUES
    ('smart_home.energy_retention_days', '90', 'smart_home',
     'Days for which energy readings are kept; the days rolled up from them stay'),
    ('smart_home.suggestion_min_confidence', '0.7', 'smart_home',
     'Confidence from which a learnt automation is suggested'),
    ('smart_home.suggestion_expires_days', '30', 'smart_home', 'Days after which a suggestion expires undecided'),
    ('smart_home.maintenance_reminder_days', '7', 'smart_home', 'Days before maintenance is due when a reminder is sent')
ON CONFLICT (key) DO NOTHING;
