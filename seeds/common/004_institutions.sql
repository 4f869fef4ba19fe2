-- Only seed if data doesn't exist: an aggregator that was configured since keeps its configuration.
INSERT INTO financial.institutions (name, type, api_config)
SELECT 'Plaid', 'aggregator', '{"environment": "production"}'::jsonb
WHERE NOT EXISTS (
    SELECT 1 FROM financial.institutions
    WHERE name = 'Plaid' AND type = 'aggregator'
);
