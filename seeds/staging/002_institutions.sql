-- Staging talks to the aggregator's sandbox, never to real accounts.
INSERT INTO financial.institutions (name, type, api_config)
SELECT 'Plaid Sandbox', 'aggregator', '{"environment": "sandbox"}'::jsonb
WHERE NOT EXISTS (
    SELECT 1 FROM financial.institutions
    WHERE name = 'Plaid Sandbox' AND type = 'aggregator'
);
