CREATE OR REPLACE VIEW ai.prediction_errors AS
SELECT p.id AS prediction_id,
       p.model_id,
       p.kind,
       p.target_at,
       p.value AS predicted,
       o.actual,
       o.actual - p.value AS error,
       abs(o.actual - p.value) AS absolute_error,
       -- Of nothing there is no share.
       100 * abs(o.actual - p.value) / nullif(abs(o.actual), 0) AS absolute_error_percent,
       o.actual BETWEEN p.lower AND p.upper AS is_within
FROM ai.prediction_outcomes o
JOIN ai.predictions p ON p.id = o.prediction_id;
