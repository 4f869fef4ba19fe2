-- Both accounts were measured every Friday evening of the generated year. Quantities are those of now, and nothing
-- was paid in: what the prices did is all that moves the values.
INSERT INTO financial.portfolio_performance
    (account_id, currency, measured_at, market_value, cost_basis, unpriced)
SELECT a.id, worth.currency, friday.at, worth.market_value, worth.cost_basis, worth.unpriced
FROM financial.accounts a
CROSS JOIN (
    SELECT day.at + interval '22 hours 30 minutes' AS at, (day.at AT TIME ZONE 'UTC')::date AS on_day
    FROM (
        SELECT ((s.value #>> '{}')::date - number)::timestamp AT TIME ZONE 'UTC' AS at
        FROM core.system_config s
        CROSS JOIN generate_series(1, 364) AS number
        WHERE s.key = 'development.seeded_on'
    ) AS day
    WHERE extract(isodow FROM day.at AT TIME ZONE 'UTC') = 5
) AS friday
CROSS JOIN LATERAL financial.portfolio_value(a.id, friday.on_day) worth
WHERE a.external_id IN ('TEST-BRK-1', 'TEST-RET-1')
ON CONFLICT (account_id, currency, measured_at) DO NOTHING;

INSERT INTO financial.trading_alerts
    (id, user_id, security_id, crypto_asset_id, currency, condition, threshold, period_days, note)
SELECT md5('financial.trading_alerts/' || alert.email || alert.symbol || alert.condition)::uuid,
       u.id, s.id, c.id, CASE WHEN c.id IS NOT NULL THEN 'USD' END,
       alert.condition, alert.threshold, alert.period_days, alert.note
FROM (VALUES
    ('admin@homeops.local', 'AAPL', NULL, 'price_above', 190.0, NULL::smallint, 'Sell half?'),
    ('admin@homeops.local', 'VTI', NULL, 'percent_fall', 5.0, 30, 'Buy the dip'),
    ('admin@homeops.local', 'BTC', 'bitcoin', 'percent_rise', 10.0, 7, NULL),
    ('admin@homeops.local', 'ETH', 'ethereum', 'price_below', 2200.0, NULL, 'Top up'),
    ('user@homeops.local', 'BTC', 'bitcoin', 'volume_above', 8000000000.0, NULL, NULL)
) AS alert (email, symbol, network, condition, threshold, period_days, note)
JOIN core.users u ON lower(u.email) = alert.email
LEFT JOIN financial.securities s ON alert.network IS NULL AND s.symbol = alert.symbol
LEFT JOIN financial.crypto_assets c ON c.network = alert.network AND c.symbol = alert.symbol
WHERE num_nonnulls(s.id, c.id) = 1
ON CONFLICT DO NOTHING;

INSERT INTO financial.trading_alert_events (alert_id, fired_at, price, observed, acknowledged_at)
SELECT a.id, fired.at, 2187.40, 2187.40, fired.at + interval '35 minutes'
FROM financial.trading_alerts a
CROSS JOIN (
    SELECT (s.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - interval '40 days 3 hours' AS at
    FROM core.system_config s
    WHERE s.key = 'development.seeded_on'
) AS fired
WHERE a.note = 'Top up' AND a.condition = 'price_below'
ON CONFLICT (alert_id, fired_at) DO NOTHING;
