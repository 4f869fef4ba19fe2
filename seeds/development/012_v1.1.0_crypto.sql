-- Addresses are made up. One wallet is the user's own, one lies with the broker.
INSERT INTO financial.crypto_wallets (account_id, name, network, address, custody)
SELECT a.id, wallet.name, wallet.network, wallet.address, wallet.custody
FROM (VALUES
    ('TEST-BRK-1', 'Hardware Wallet', 'ethereum', '0x00000000000000000000000000000000000e5701', 'self'),
    ('TEST-BRK-1', 'Cold Storage', 'bitcoin', 'bc1qexampleexampleexampleexampleexample0', 'self'),
    ('TEST-BRK-1', 'Broker Solana', 'solana', NULL, 'exchange'),
    ('TEST-RET-1', 'Broker Bitcoin', 'bitcoin', NULL, 'custodian')
) AS wallet (account, name, network, address, custody)
JOIN financial.accounts a ON a.external_id = wallet.account
ON CONFLICT (account_id, network, address) DO NOTHING;

INSERT INTO financial.crypto_positions (wallet_id, asset_id, network, quantity, currency, cost_basis)
SELECT w.id, c.id, c.network, position.quantity, 'USD', position.cost_basis
FROM (VALUES
    ('TEST-BRK-1', 'Hardware Wallet', 'ETH', 2.512345678901234567, 4100.00),
    ('TEST-BRK-1', 'Hardware Wallet', 'USDC', 750.25, 750.25),
    ('TEST-BRK-1', 'Cold Storage', 'BTC', 0.18402211, 6200.00),
    ('TEST-BRK-1', 'Broker Solana', 'SOL', 14.75, NULL),
    ('TEST-RET-1', 'Broker Bitcoin', 'BTC', 0.05, 2100.00)
) AS position (account, wallet, symbol, quantity, cost_basis)
JOIN financial.accounts a ON a.external_id = position.account
JOIN financial.crypto_wallets w ON w.account_id = a.id AND w.name = position.wallet
JOIN financial.crypto_assets c ON c.symbol = position.symbol AND c.network = w.network
ON CONFLICT (wallet_id, network, asset_id) DO NOTHING;

-- Made-up prices at noon of each day: a wave and some noise around a level of its own for each coin.
INSERT INTO financial.crypto_prices (asset_id, currency, priced_at, price, volume, source)
SELECT c.id, 'USD', day.at,
       round((level.price * (1 + level.swing * sin(day.number / 29.0)
              + (hashed.number % 1000 - 500) * level.swing / 10000.0))::numeric, 8),
       round((level.price * 100000 * (0.5 + (hashed.number % 777) / 777.0))::numeric, 2),
       'generated'
FROM (VALUES
    ('BTC', 'bitcoin', 62000.0, 0.15), ('ETH', 'ethereum', 2600.0, 0.2), ('SOL', 'solana', 140.0, 0.3),
    ('USDC', 'ethereum', 1.0, 0.001)
) AS level (symbol, network, price, swing)
JOIN financial.crypto_assets c ON c.symbol = level.symbol AND c.network = level.network
CROSS JOIN (
    SELECT number,
           (s.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' + (number - 365.5) * interval '24 hours' AS at
    FROM core.system_config s
    CROSS JOIN generate_series(1, 365) AS number
    WHERE s.key = 'development.seeded_on'
) AS day
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(level.symbol || '/' || day.number), 1, 7))::bit(28)::integer AS number
) AS hashed
ON CONFLICT (asset_id, currency, priced_at) DO NOTHING;
