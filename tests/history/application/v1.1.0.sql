-- What the application of v1.1.0 sends besides.

-- Preferences

UPDATE core.users SET preferences = '{"theme": "dark", "notify": {"mail": true}}'
WHERE id = '00000000-0000-4000-8000-000000000001'
RETURNING preferences, updated_at;

UPDATE core.users SET preferences = preferences || '{"locale": "en-GB"}'
WHERE id = '00000000-0000-4000-8000-000000000001';

SELECT id, email, full_name, role, preferences FROM core.users WHERE preferences ->> 'theme' = 'dark';

-- Closing prices with their volume

INSERT INTO financial.security_prices (security_id, priced_on, close, source, volume) VALUES
    ('00000000-0000-4000-8000-000000000008', current_date - 30, 98.40, 'exchange', 1200000),
    ('00000000-0000-4000-8000-000000000008', current_date - 1, 101.25, 'exchange', 1500000)
ON CONFLICT (security_id, priced_on) DO UPDATE
SET close = excluded.close, source = excluded.source, volume = excluded.volume;

SELECT security_id, priced_on, close, source, volume
FROM financial.security_prices
WHERE security_id = '00000000-0000-4000-8000-000000000008'
ORDER BY priced_on DESC;

-- Coins and tokens

INSERT INTO financial.crypto_assets (id, symbol, name, network, contract_address, decimals) VALUES
    ('00000000-0000-4000-8000-000001100001', 'TCN', 'Test Coin', 'test-chain', NULL, 8),
    ('00000000-0000-4000-8000-000001100002', 'TTK', 'Test Token', 'test-chain', '0x00000000000000000000000000000000000000aa', 18),
    ('00000000-0000-4000-8000-000001100003', 'GONE', 'Delisted Token', 'test-chain', '0x00000000000000000000000000000000000000bb', 0);

SELECT id, symbol, name, network, contract_address, decimals, created_at, updated_at
FROM financial.crypto_assets
WHERE symbol = 'TTK';

UPDATE financial.crypto_assets SET name = 'Test Token, renamed' WHERE id = '00000000-0000-4000-8000-000001100002';

DELETE FROM financial.crypto_assets WHERE id = '00000000-0000-4000-8000-000001100003';

INSERT INTO financial.crypto_prices (asset_id, currency, priced_at, price, volume, source) VALUES
    ('00000000-0000-4000-8000-000001100001', 'USD', now() - interval '7 days', 40000, 900000, 'exchange'),
    ('00000000-0000-4000-8000-000001100001', 'USD', now() - interval '5 minutes', 44000, 1100000, 'exchange'),
    ('00000000-0000-4000-8000-000001100002', 'EUR', now() - interval '5 minutes', 0.000012345678901234, NULL, NULL),
    ('00000000-0000-4000-8000-000001100002', 'EUR', now() - interval '400 days', 1, NULL, NULL);

UPDATE financial.crypto_prices SET source = 'corrected'
WHERE asset_id = '00000000-0000-4000-8000-000001100001' AND currency = 'USD' AND price = 40000;

DELETE FROM financial.crypto_prices WHERE priced_at < now() - interval '1 year';

SELECT asset_id, currency, priced_at, price, volume, source
FROM financial.crypto_prices
WHERE asset_id = '00000000-0000-4000-8000-000001100001' AND currency = 'USD'
ORDER BY priced_at DESC
LIMIT 1;

INSERT INTO financial.crypto_wallets (id, account_id, name, network, address, custody) VALUES
    ('00000000-0000-4000-8000-000001100004', '00000000-0000-4000-8000-000000000004', 'Hardware Wallet', 'test-chain',
     '0x00000000000000000000000000000000000000cc', 'self'),
    ('00000000-0000-4000-8000-000001100005', '00000000-0000-4000-8000-000000000004', 'At the exchange', 'test-chain',
     NULL, 'exchange');

SELECT id, account_id, name, network, address, custody, created_at, updated_at
FROM financial.crypto_wallets
WHERE account_id = '00000000-0000-4000-8000-000000000004';

UPDATE financial.crypto_wallets SET name = 'Hardware Wallet, renamed'
WHERE id = '00000000-0000-4000-8000-000001100004';

INSERT INTO financial.crypto_positions (id, wallet_id, asset_id, network, quantity, currency, cost_basis) VALUES
    ('00000000-0000-4000-8000-000001100006', '00000000-0000-4000-8000-000001100004',
     '00000000-0000-4000-8000-000001100001', 'test-chain', 0.25, 'USD', 9000),
    ('00000000-0000-4000-8000-000001100007', '00000000-0000-4000-8000-000001100004',
     '00000000-0000-4000-8000-000001100002', 'test-chain', 1000000.000000000000000001, 'EUR', NULL),
    ('00000000-0000-4000-8000-000001100008', '00000000-0000-4000-8000-000001100005',
     '00000000-0000-4000-8000-000001100001', 'test-chain', 1, 'USD', NULL);

SELECT id, wallet_id, asset_id, network, quantity, currency, cost_basis, created_at, updated_at
FROM financial.crypto_positions
WHERE wallet_id = '00000000-0000-4000-8000-000001100004';

UPDATE financial.crypto_positions SET quantity = quantity + 0.05, cost_basis = cost_basis + 2200
WHERE id = '00000000-0000-4000-8000-000001100006';

DELETE FROM financial.crypto_positions WHERE id = '00000000-0000-4000-8000-000001100008';

DELETE FROM financial.crypto_wallets WHERE id = '00000000-0000-4000-8000-000001100005';

-- What it is worth

SELECT account_id, kind, security_id, crypto_asset_id, wallet_id, symbol, name, quantity, currency, price, priced_on,
       market_value, cost_basis, unrealised_gain
FROM financial.portfolio_positions
WHERE account_id = '00000000-0000-4000-8000-000000000004'
ORDER BY currency, market_value DESC NULLS LAST;

SELECT currency, market_value, cost_basis, positions, unpriced
FROM financial.portfolio_value('00000000-0000-4000-8000-000000000004', current_date);

INSERT INTO financial.portfolio_performance
    (account_id, currency, measured_at, market_value, cost_basis, cash_flow, unpriced)
VALUES ('00000000-0000-4000-8000-000000000004', 'USD', now() - interval '7 days', 10000, 9000, 0, 0),
       ('00000000-0000-4000-8000-000000000004', 'USD', now() - interval '800 days', 1, NULL, 1, 1);

INSERT INTO financial.portfolio_performance (account_id, currency, market_value, cost_basis, unpriced)
SELECT '00000000-0000-4000-8000-000000000004', v.currency, v.market_value, v.cost_basis, v.unpriced
FROM financial.portfolio_value('00000000-0000-4000-8000-000000000004', current_date) v
ON CONFLICT (account_id, currency, measured_at) DO NOTHING;

UPDATE financial.portfolio_performance SET cash_flow = 250
WHERE account_id = '00000000-0000-4000-8000-000000000004' AND currency = 'USD' AND measured_at = now();

DELETE FROM financial.portfolio_performance WHERE measured_at < now() - interval '2 years';

SELECT account_id, currency, measured_at, market_value, cost_basis, cash_flow, unpriced
FROM financial.portfolio_performance
WHERE account_id = '00000000-0000-4000-8000-000000000004'
ORDER BY measured_at;

SELECT measured_at, market_value, cash_flow, period_return, total_return
FROM financial.portfolio_returns('00000000-0000-4000-8000-000000000004', 'USD', now() - interval '1 year', now());

-- Alerts

INSERT INTO financial.trading_alerts
    (id, user_id, security_id, crypto_asset_id, currency, condition, threshold, period_days, note, is_active,
     cooldown_minutes, expires_at)
VALUES
    ('00000000-0000-4000-8000-000001100009', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000008', NULL, NULL, 'price_above', 100, NULL, 'Sell?', true, 60,
     now() + interval '1 year'),
    ('00000000-0000-4000-8000-00000110000a', '00000000-0000-4000-8000-000000000001',
     NULL, '00000000-0000-4000-8000-000001100001', 'USD', 'percent_rise', 5, 7, NULL, true, 1440, NULL),
    ('00000000-0000-4000-8000-00000110000b', '00000000-0000-4000-8000-000000000001',
     NULL, '00000000-0000-4000-8000-000001100001', 'USD', 'price_below', 1, NULL, 'Never', false, 0, NULL);

SELECT id, user_id, security_id, crypto_asset_id, currency, condition, threshold, period_days, note, is_active,
       cooldown_minutes, expires_at, last_fired_at, created_at, updated_at
FROM financial.trading_alerts
WHERE user_id = '00000000-0000-4000-8000-000000000001';

UPDATE financial.trading_alerts SET cooldown_minutes = 30 WHERE id = '00000000-0000-4000-8000-000001100009';

DELETE FROM financial.trading_alerts WHERE id = '00000000-0000-4000-8000-00000110000b';

SELECT alert_id, price, observed FROM financial.due_trading_alerts(now());

SELECT alert_id, fired_at, price, observed, notification_id, acknowledged_at
FROM financial.fire_trading_alerts(now());

INSERT INTO financial.trading_alert_events (alert_id, fired_at, price, observed) VALUES
    ('00000000-0000-4000-8000-000001100009', now() - interval '2 days', 100.5, 100.5),
    ('00000000-0000-4000-8000-000001100009', now() - interval '800 days', 100.5, 100.5);

WITH told AS (
    INSERT INTO core.notifications (id, user_id, severity, title)
    VALUES ('00000000-0000-4000-8000-00000110000c', '00000000-0000-4000-8000-000000000001', 'info', 'Above 100')
    RETURNING id
)
UPDATE financial.trading_alert_events e SET notification_id = told.id
FROM told
WHERE e.alert_id = '00000000-0000-4000-8000-000001100009' AND e.fired_at = now();

UPDATE financial.trading_alert_events SET acknowledged_at = now()
WHERE alert_id = '00000000-0000-4000-8000-000001100009';

DELETE FROM financial.trading_alert_events WHERE fired_at < now() - interval '2 years';

SELECT alert_id, fired_at, price, observed, notification_id, acknowledged_at
FROM financial.trading_alert_events
WHERE alert_id = '00000000-0000-4000-8000-000001100009'
ORDER BY fired_at DESC;
