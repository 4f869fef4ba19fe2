-- Settings that came with schema ai. A value that was changed later stays.
INSERT INTO core.system_config (key, value, category, description) VALUES
    ('ai.context_tokens', '8192', 'ai', 'Tokens of a conversation that the AI model is given with a question'),
    ('ai.similar_items', '10', 'ai', 'Works that are shown as similar to another one'),
    ('ai.prediction_horizon_days', '30', 'ai', 'Days for which predictions are made ahead')
ON CONFLICT (key) DO NOTHING;
