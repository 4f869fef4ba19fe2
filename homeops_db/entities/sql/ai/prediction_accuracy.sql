CREATE OR REPLACE VIEW ai.prediction_accuracy AS
SELECT m.id AS model_id,
       m.kind,
       m.version,
       m.is_active,
       count(e.prediction_id) AS outcomes,
       avg(e.error) AS bias,
       avg(e.absolute_error) AS mae,
       avg(e.absolute_error_percent) AS mape,
       m.interval_level,
       avg(e.is_within::integer) AS coverage
FROM ai.prediction_models m
LEFT JOIN ai.prediction_errors e ON e.model_id = m.id
GROUP BY m.id;
