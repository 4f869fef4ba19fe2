-- What a better model has to beat: averages, which need no training. An active model of another version stays.
INSERT INTO ai.prediction_models (kind, version, algorithm, parameters, trained_at, is_active)
SELECT baseline.kind, 'baseline', baseline.algorithm, baseline.parameters::jsonb, '2026-01-01T00:00:00Z',
       NOT EXISTS (SELECT FROM ai.prediction_models m WHERE m.kind = baseline.kind AND m.is_active)
FROM (VALUES
    ('spending', 'monthly_average', '{"months": 6}'),
    ('income', 'monthly_average', '{"months": 6}'),
    ('energy', 'same_weekday_average', '{"weeks": 4}'),
    ('climate', 'same_hour_average', '{"days": 7}'),
    ('maintenance', 'mean_time_between', '{"minimum_events": 2}')
) AS baseline (kind, algorithm, parameters)
ON CONFLICT (kind, version) DO NOTHING;
