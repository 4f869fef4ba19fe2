INSERT INTO core.system_config (key, value, category, description) VALUES
    ('financial.alert_interval_minutes', '15', 'financial', 'Minutes between two looks at the trading alerts'),
    ('financial.performance_time', '"22:30"', 'financial',
     'When the value of every portfolio is measured, in the system time zone'),
    ('financial.crypto_price_interval_minutes', '60', 'financial', 'Minutes between two fetches of crypto prices')
ON CONFLICT (key) DO NOTHING;
