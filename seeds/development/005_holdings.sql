INSERT INTO financial.holdings (account_id, security_id, quantity, cost_basis)
SELECT a.id, s.id, holding.quantity, holding.cost_basis
FROM (VALUES
    ('TEST-BRK-1', 'VTI', 60.0, 12400.00),
    ('TEST-BRK-1', 'VXUS', 110.0, 6150.00),
    ('TEST-BRK-1', 'BND', 85.0, 6400.00),
    ('TEST-BRK-1', 'AAPL', 20.0, 2900.00),
    ('TEST-BRK-1', 'MSFT', 12.5, 3800.00),
    ('TEST-RET-1', 'VTSAX', 95.25, 10200.00),
    ('TEST-RET-1', 'VBTLX', 310.0, 3100.00)
) AS holding (account, symbol, quantity, cost_basis)
JOIN financial.accounts a ON a.external_id = holding.account
JOIN financial.securities s ON s.symbol = holding.symbol
ON CONFLICT (account_id, security_id) DO NOTHING;

-- Made-up prices on working days: a wave and some noise around a level of its own for each security.
INSERT INTO financial.security_prices (security_id, priced_on, close, source)
SELECT s.id, day.on_day,
       round((level.price * (1 + 0.08 * sin(day.number / 29.0) + 0.0004 * day.number
              + (('x' || substr(md5(s.symbol || '/' || day.number), 1, 7))::bit(28)::integer % 1000 - 500) / 50000.0
             ))::numeric, 2),
       'generated'
FROM (VALUES
    ('VTI', 230.0), ('VXUS', 58.0), ('BND', 73.0), ('AAPL', 180.0), ('MSFT', 370.0), ('VTSAX', 112.0), ('VBTLX', 9.6)
) AS level (symbol, price)
JOIN financial.securities s ON s.symbol = level.symbol
CROSS JOIN (
    SELECT number, (c.value #>> '{}')::date - 365 + number AS on_day
    FROM core.system_config c
    CROSS JOIN generate_series(1, 365) AS number
    WHERE c.key = 'development.seeded_on'
) AS day
WHERE extract(isodow FROM day.on_day) < 6
ON CONFLICT (security_id, priced_on) DO NOTHING;
