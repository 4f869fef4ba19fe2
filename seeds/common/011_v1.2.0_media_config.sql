INSERT INTO core.system_config (key, value, category, description) VALUES
    ('media.roll_up_days', '3', 'media', 'Days back that are rolled up anew each night, for players that report late'),
    ('media.event_retention_days', '400', 'media', 'Days for which viewing events are kept; the days rolled up from them stay'),
    ('media.recommendation_count', '20', 'media', 'Works that a user is offered at once')
ON CONFLICT (key) DO NOTHING;
