INSERT INTO core.system_config (key, value, category, description) VALUES
    ('community.default_licence', '"household"', 'community', 'Licence of a new listing where its seller chooses none'),
    ('community.payout_minimum', '20.00', 'community', 'Least amount that is paid out at once'),
    ('community.reports_before_hiding', '5', 'community', 'Open reports after which moderators are called')
ON CONFLICT (key) DO NOTHING;
