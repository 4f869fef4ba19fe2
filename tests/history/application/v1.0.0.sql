-- What the application of v1.0.0 sends. Rows whose number ends in 01NN are made for a DELETE.

SELECT set_config('homeops.user_id', '00000000-0000-4000-8000-000000000001', true);

-- People and households

INSERT INTO core.users (id, email, password_hash, full_name, role, is_active) VALUES
    ('00000000-0000-4000-8000-000000000001', 'Robin@Example.net', '$2a$06$robin', 'Robin Example', 'admin', true),
    ('00000000-0000-4000-8000-000000000101', 'leaving@example.net', '$2a$06$leaving', 'Lee Leaving', 'guest', true);

INSERT INTO core.users (email, password_hash, full_name)
VALUES ('sam@example.net', '$2a$06$sam', 'Sam Example')
RETURNING id, role, is_active, created_at;

SELECT id, email, password_hash, full_name, role, is_active, created_at, updated_at
FROM core.users
WHERE lower(email) = lower('robin@example.net');

UPDATE core.users SET full_name = 'Robin A. Example', password_hash = '$2a$06$changed'
WHERE id = '00000000-0000-4000-8000-000000000001'
RETURNING updated_at;

INSERT INTO core.households (id, name, currency, timezone)
VALUES ('00000000-0000-4000-8000-000000000002', 'Example House', 'USD', 'Europe/Berlin');

INSERT INTO core.households (id, name) VALUES ('00000000-0000-4000-8000-000000000102', 'Sold House');

SELECT id, name, currency, timezone, created_at, updated_at FROM core.households ORDER BY name;

UPDATE core.households SET timezone = 'America/New_York' WHERE id = '00000000-0000-4000-8000-000000000002';

DELETE FROM core.households WHERE id = '00000000-0000-4000-8000-000000000102';

INSERT INTO core.household_members (household_id, user_id, role) VALUES
    ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'owner'),
    ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000101', 'member');

SELECT m.household_id, m.user_id, m.role, m.joined_at, u.full_name
FROM core.household_members m
JOIN core.users u ON u.id = m.user_id
WHERE m.household_id = '00000000-0000-4000-8000-000000000002'
ORDER BY m.joined_at;

UPDATE core.household_members SET role = 'child'
WHERE household_id = '00000000-0000-4000-8000-000000000002'
  AND user_id = '00000000-0000-4000-8000-000000000101';

DELETE FROM core.household_members WHERE user_id = '00000000-0000-4000-8000-000000000101';

INSERT INTO core.sessions (id, user_id, token_hash, ip_address, user_agent, expires_at) VALUES
    ('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-000000000001', 'token-1', '192.0.2.7',
     'HomeOps/1.0', now() + interval '30 days'),
    ('00000000-0000-4000-8000-000000000112', '00000000-0000-4000-8000-000000000001', 'token-2', NULL, NULL,
     now() + interval '1 hour');

SELECT id, user_id, token_hash, ip_address, user_agent, created_at, expires_at, revoked_at
FROM core.sessions
WHERE token_hash = 'token-1' AND revoked_at IS NULL AND expires_at > now();

UPDATE core.sessions SET revoked_at = now() WHERE id = '00000000-0000-4000-8000-000000000112';

DELETE FROM core.sessions WHERE revoked_at IS NOT NULL;

INSERT INTO core.api_keys (id, user_id, name, prefix, key_hash, scopes, expires_at) VALUES
    ('00000000-0000-4000-8000-000000000013', '00000000-0000-4000-8000-000000000001', 'Thermostat', 'ho_1', 'key-1',
     '{read,write}', now() + interval '1 year'),
    ('00000000-0000-4000-8000-000000000113', '00000000-0000-4000-8000-000000000001', 'Lost', 'ho_2', 'key-2',
     '{}', NULL);

SELECT id, user_id, name, prefix, key_hash, scopes, expires_at, revoked_at, created_at, updated_at
FROM core.api_keys
WHERE key_hash = 'key-1' AND 'read' = ANY (scopes);

UPDATE core.api_keys SET scopes = array_append(scopes, 'admin'), revoked_at = NULL
WHERE id = '00000000-0000-4000-8000-000000000013';

DELETE FROM core.api_keys WHERE id = '00000000-0000-4000-8000-000000000113';

INSERT INTO core.system_config (key, value, category, description) VALUES
    ('example.theme', '"dark"', 'example', 'How the dashboard looks'),
    ('example.gone', '{"a": 1}', 'example', NULL);

INSERT INTO core.system_config (key, value, category) VALUES ('example.theme', '"light"', 'example')
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

SELECT key, value, category, description, created_at, updated_at
FROM core.system_config
WHERE category = 'example'
ORDER BY key;

DELETE FROM core.system_config WHERE key = 'example.gone';

INSERT INTO core.notifications (id, user_id, severity, title, body, details) VALUES
    ('00000000-0000-4000-8000-000000000014', '00000000-0000-4000-8000-000000000001', 'warning', 'Battery low',
     'The sensor in the hall is at 9 %.', '{"device": "Hall Sensor"}'),
    ('00000000-0000-4000-8000-000000000114', '00000000-0000-4000-8000-000000000001', 'info', 'Hello', NULL, '{}');

SELECT id, user_id, severity, title, body, details, created_at, read_at
FROM core.notifications
WHERE user_id = '00000000-0000-4000-8000-000000000001' AND read_at IS NULL
ORDER BY created_at DESC
LIMIT 20;

UPDATE core.notifications SET read_at = now() WHERE id = '00000000-0000-4000-8000-000000000014';

DELETE FROM core.notifications WHERE id = '00000000-0000-4000-8000-000000000114';

-- Money

INSERT INTO financial.institutions (id, name, type, website, api_config) VALUES
    ('00000000-0000-4000-8000-000000000003', 'First Example Bank', 'bank', 'https://bank.example', '{"client": "x"}'),
    ('00000000-0000-4000-8000-000000000103', 'Closed Example Bank', 'bank', NULL, '{}');

SELECT id, name, type, website, api_config, created_at, updated_at FROM financial.institutions ORDER BY name;

UPDATE financial.institutions SET website = 'https://www.bank.example'
WHERE id = '00000000-0000-4000-8000-000000000003';

DELETE FROM financial.institutions WHERE id = '00000000-0000-4000-8000-000000000103';

INSERT INTO financial.accounts
    (id, user_id, household_id, institution_id, name, account_type, currency, opening_balance, external_id, opened_on)
VALUES
    ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000003', 'Checking', 'checking', 'USD',
     1000.00, 'EX-1', '2024-01-02'),
    ('00000000-0000-4000-8000-000000000005', '00000000-0000-4000-8000-000000000001', NULL, NULL, 'Travel money',
     'savings', 'EUR', 0, NULL, NULL),
    ('00000000-0000-4000-8000-000000000104', '00000000-0000-4000-8000-000000000001', NULL, NULL, 'Piggy bank', 'cash',
     'USD', 0, NULL, NULL);

SELECT id, user_id, household_id, institution_id, name, account_type, currency, opening_balance, external_id,
       opened_on, closed_on, created_at, updated_at
FROM financial.accounts
WHERE user_id = '00000000-0000-4000-8000-000000000001' AND account_type IN ('checking', 'savings')
ORDER BY name;

UPDATE financial.accounts SET closed_on = '2025-12-31' WHERE id = '00000000-0000-4000-8000-000000000104';

DELETE FROM financial.accounts WHERE id = '00000000-0000-4000-8000-000000000104';

INSERT INTO financial.categories (id, parent_id, name, kind) VALUES
    ('00000000-0000-4000-8000-000000000015', NULL, 'Example living', 'expense'),
    ('00000000-0000-4000-8000-000000000006', '00000000-0000-4000-8000-000000000015', 'Example food', 'expense'),
    ('00000000-0000-4000-8000-000000000106', '00000000-0000-4000-8000-000000000015', 'Example gone', 'expense');

WITH RECURSIVE tree AS (
    SELECT c.id, c.parent_id, c.name, c.kind, c.created_at, c.updated_at, 0 AS depth
    FROM financial.categories c
    WHERE c.parent_id IS NULL
    UNION ALL
    SELECT c.id, c.parent_id, c.name, c.kind, c.created_at, c.updated_at, t.depth + 1
    FROM financial.categories c
    JOIN tree t ON t.id = c.parent_id
)
SELECT id, parent_id, name, kind, created_at, updated_at, depth FROM tree ORDER BY depth, name;

UPDATE financial.categories SET name = 'Example groceries' WHERE id = '00000000-0000-4000-8000-000000000006';

DELETE FROM financial.categories WHERE id = '00000000-0000-4000-8000-000000000106';

INSERT INTO financial.recurring_transactions
    (id, account_id, category_id, description, amount, frequency, starts_on, ends_on, is_active)
VALUES
    ('00000000-0000-4000-8000-000000000016', '00000000-0000-4000-8000-000000000004',
     '00000000-0000-4000-8000-000000000006', 'Vegetable box', -24.90, 'weekly', '2025-01-06', NULL, true),
    ('00000000-0000-4000-8000-000000000116', '00000000-0000-4000-8000-000000000004', NULL, 'Old magazine', -9.90,
     'monthly', '2025-01-01', '2025-06-30', false);

SELECT id, account_id, category_id, description, amount, frequency, starts_on, ends_on, is_active,
       created_at, updated_at
FROM financial.recurring_transactions
WHERE account_id = '00000000-0000-4000-8000-000000000004' AND is_active;

UPDATE financial.recurring_transactions SET amount = -25.90 WHERE id = '00000000-0000-4000-8000-000000000016';

DELETE FROM financial.recurring_transactions WHERE id = '00000000-0000-4000-8000-000000000116';

INSERT INTO financial.transactions
    (id, account_id, category_id, recurring_transaction_id, transaction_date, amount, description, merchant_name,
     status, external_id)
VALUES
    ('00000000-0000-4000-8000-000000000007', '00000000-0000-4000-8000-000000000004',
     '00000000-0000-4000-8000-000000000006', '00000000-0000-4000-8000-000000000016', '2026-01-12', -25.90,
     'Vegetable box, week 3', 'Green Basket', 'posted', 'EX-T-1'),
    ('00000000-0000-4000-8000-000000000017', '00000000-0000-4000-8000-000000000004', NULL, NULL, '2026-01-28', 3120.07,
     'Salary', NULL, 'posted', 'EX-T-2'),
    ('00000000-0000-4000-8000-000000000018', '00000000-0000-4000-8000-000000000005',
     '00000000-0000-4000-8000-000000000006', NULL, '2026-01-14', -0.10, NULL, 'Station Bakery', 'pending', NULL),
    ('00000000-0000-4000-8000-000000000107', '00000000-0000-4000-8000-000000000004', NULL, NULL, '2026-01-15', 1,
     'Twice', NULL, 'void', 'EX-T-3');

INSERT INTO financial.transactions (account_id, transaction_date, amount)
VALUES ('00000000-0000-4000-8000-000000000004', '2026-01-30', 19.99)
RETURNING id, status, created_at;

INSERT INTO financial.transactions (account_id, transaction_date, amount, external_id)
VALUES ('00000000-0000-4000-8000-000000000004', '2026-01-12', -25.90, 'EX-T-1')
ON CONFLICT (account_id, external_id) DO NOTHING;

INSERT INTO financial.transactions (account_id, transaction_date, amount, status, external_id)
VALUES ('00000000-0000-4000-8000-000000000004', '2026-01-28', 3120.08, 'posted', 'EX-T-2')
ON CONFLICT (account_id, external_id) DO UPDATE SET amount = excluded.amount, status = excluded.status;

SELECT id, account_id, category_id, recurring_transaction_id, transaction_date, amount, description, merchant_name,
       status, external_id, created_at, updated_at
FROM financial.transactions
WHERE account_id = '00000000-0000-4000-8000-000000000004'
ORDER BY transaction_date DESC
LIMIT 20;

UPDATE financial.transactions SET amount = -26.35, merchant_name = 'Green Basket Ltd'
WHERE id = '00000000-0000-4000-8000-000000000007'
RETURNING amount, updated_at;

UPDATE financial.transactions SET status = 'posted', category_id = NULL
WHERE id = '00000000-0000-4000-8000-000000000018' AND status = 'pending';

DELETE FROM financial.transactions WHERE id = '00000000-0000-4000-8000-000000000107';

SELECT t.id, t.amount FROM financial.transactions t WHERE t.id = '00000000-0000-4000-8000-000000000007' FOR UPDATE;

SELECT a.id, a.name, a.currency, a.opening_balance + coalesce(sum(t.amount), 0) AS balance, count(t.id) AS transactions
FROM financial.accounts a
LEFT JOIN financial.transactions t ON t.account_id = a.id AND t.status = 'posted'
WHERE a.user_id = '00000000-0000-4000-8000-000000000001'
GROUP BY a.id
ORDER BY a.name;

SELECT date_trunc('month', t.transaction_date) AS month, sum(t.amount) FILTER (WHERE t.amount > 0) AS earned,
       -sum(t.amount) FILTER (WHERE t.amount < 0) AS spent, avg(t.amount) AS average
FROM financial.transactions t
WHERE t.account_id = '00000000-0000-4000-8000-000000000004' AND t.status <> 'void'
GROUP BY month
ORDER BY month;

SELECT t.id, t.merchant_name, t.amount
FROM financial.transactions t
WHERE t.merchant_name ILIKE '%basket%' OR t.description ILIKE '%basket%';

INSERT INTO financial.budgets
    (id, user_id, household_id, category_id, name, period, amount, currency, alert_percent, starts_on, ends_on)
VALUES
    ('00000000-0000-4000-8000-000000000019', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000006', 'Food', 'monthly', 600.00,
     'USD', 90, '2026-01-01', NULL),
    ('00000000-0000-4000-8000-000000000119', '00000000-0000-4000-8000-000000000001', NULL,
     '00000000-0000-4000-8000-000000000006', 'Party', 'yearly', 50, 'USD', 80, '2026-01-01', '2026-12-31');

SELECT id, user_id, household_id, category_id, name, period, amount, currency, alert_percent, starts_on, ends_on,
       created_at, updated_at
FROM financial.budgets
WHERE user_id = '00000000-0000-4000-8000-000000000001' AND (ends_on IS NULL OR ends_on >= '2026-01-01');

UPDATE financial.budgets SET amount = 650, alert_percent = 85 WHERE id = '00000000-0000-4000-8000-000000000019';

DELETE FROM financial.budgets WHERE id = '00000000-0000-4000-8000-000000000119';

SELECT b.id, b.name, b.amount, coalesce(-sum(t.amount), 0) AS used,
       coalesce(-sum(t.amount), 0) * 100 >= b.amount * b.alert_percent AS alert
FROM financial.budgets b
LEFT JOIN financial.transactions t
    ON t.category_id = b.category_id AND t.amount < 0 AND t.status = 'posted'
   AND t.transaction_date >= '2026-01-01' AND t.transaction_date < '2026-02-01'
WHERE b.household_id = '00000000-0000-4000-8000-000000000002'
GROUP BY b.id;

INSERT INTO financial.securities (id, symbol, exchange, name, type, currency, isin) VALUES
    ('00000000-0000-4000-8000-000000000008', 'EXMP', 'XNAS', 'Example Works', 'stock', 'USD', 'US0000000018'),
    ('00000000-0000-4000-8000-000000000108', 'GONE', 'XNAS', 'Gone Works', 'etf', 'USD', NULL);

SELECT id, symbol, exchange, name, type, currency, isin, created_at, updated_at
FROM financial.securities
WHERE symbol = 'EXMP' AND exchange = 'XNAS';

UPDATE financial.securities SET name = 'Example Works Inc.' WHERE id = '00000000-0000-4000-8000-000000000008';

DELETE FROM financial.securities WHERE id = '00000000-0000-4000-8000-000000000108';

INSERT INTO financial.security_prices (security_id, priced_on, close, source) VALUES
    ('00000000-0000-4000-8000-000000000008', '2026-01-12', 101.25, 'example'),
    ('00000000-0000-4000-8000-000000000008', '2026-01-13', 102.5, 'example'),
    ('00000000-0000-4000-8000-000000000008', '2026-01-14', 99, NULL);

INSERT INTO financial.security_prices (security_id, priced_on, close)
VALUES ('00000000-0000-4000-8000-000000000008', '2026-01-13', 102.75)
ON CONFLICT (security_id, priced_on) DO UPDATE SET close = excluded.close;

SELECT security_id, priced_on, close, source
FROM financial.security_prices
WHERE security_id = '00000000-0000-4000-8000-000000000008'
ORDER BY priced_on;

DELETE FROM financial.security_prices
WHERE security_id = '00000000-0000-4000-8000-000000000008' AND priced_on = '2026-01-14';

INSERT INTO financial.holdings (id, account_id, security_id, quantity, cost_basis) VALUES
    ('00000000-0000-4000-8000-00000000001a', '00000000-0000-4000-8000-000000000004',
     '00000000-0000-4000-8000-000000000008', 12.5, 1180.00),
    ('00000000-0000-4000-8000-00000000011a', '00000000-0000-4000-8000-000000000005',
     '00000000-0000-4000-8000-000000000008', 1, NULL);

SELECT h.id, h.account_id, h.security_id, h.quantity, h.cost_basis, h.created_at, h.updated_at,
       round(h.quantity * p.close, 2) AS value
FROM financial.holdings h
LEFT JOIN LATERAL (
    SELECT close FROM financial.security_prices WHERE security_id = h.security_id ORDER BY priced_on DESC LIMIT 1
) p ON true
ORDER BY value DESC;

UPDATE financial.holdings SET quantity = quantity + 0.5, cost_basis = 1230.00
WHERE id = '00000000-0000-4000-8000-00000000001a';

DELETE FROM financial.holdings WHERE id = '00000000-0000-4000-8000-00000000011a';

-- The house

INSERT INTO smart_home.rooms (id, name, type, floor, area_m2) VALUES
    ('00000000-0000-4000-8000-000000000009', 'Example Study', 'office', 1, 14.50),
    ('00000000-0000-4000-8000-000000000109', 'Example Shed', 'other', 0, NULL);

SELECT id, name, type, floor, area_m2, created_at, updated_at FROM smart_home.rooms ORDER BY floor, name;

UPDATE smart_home.rooms SET area_m2 = 15.25 WHERE id = '00000000-0000-4000-8000-000000000009';

DELETE FROM smart_home.rooms WHERE id = '00000000-0000-4000-8000-000000000109';

INSERT INTO smart_home.devices
    (id, room_id, name, type, protocol, manufacturer, model, serial_number, settings, credentials, is_enabled)
VALUES
    ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000009', 'Desk Lamp', 'light', 'zigbee',
     'Lumen Example', 'L1', 'EX-SN-1', '{"dimmable": true}', '{"code": "1234"}', true),
    ('00000000-0000-4000-8000-00000000010a', NULL, 'Spare Plug', 'outlet', 'wifi', NULL, NULL, NULL, '{}', NULL, false);

SELECT id, room_id, name, type, protocol, manufacturer, model, serial_number, settings, credentials, is_enabled,
       created_at, updated_at
FROM smart_home.devices
WHERE room_id = '00000000-0000-4000-8000-000000000009' AND is_enabled;

UPDATE smart_home.devices SET settings = settings || '{"color": "warm"}'
WHERE id = '00000000-0000-4000-8000-00000000000a';

INSERT INTO smart_home.device_states (device_id, recorded_at, state, reading, battery_percent) VALUES
    ('00000000-0000-4000-8000-00000000000a', '2026-01-15 08:00:00+00', '{"on": true}', 42.5, 100),
    ('00000000-0000-4000-8000-00000000000a', '2026-01-15 09:00:00+00', '{"on": false}', NULL, 99),
    ('00000000-0000-4000-8000-00000000010a', '2026-01-15 09:00:00+00', '{}', NULL, NULL);

INSERT INTO smart_home.device_states (device_id, state)
VALUES ('00000000-0000-4000-8000-00000000000a', '{"on": true}');

SELECT device_id, recorded_at, state, reading, battery_percent
FROM smart_home.device_states
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND recorded_at >= '2026-01-15'
ORDER BY recorded_at DESC;

SELECT d.id, d.name, s.recorded_at, s.state, s.battery_percent
FROM smart_home.devices d
LEFT JOIN LATERAL (
    SELECT recorded_at, state, battery_percent
    FROM smart_home.device_states
    WHERE device_id = d.id
    ORDER BY recorded_at DESC
    LIMIT 1
) s ON true
WHERE d.room_id = '00000000-0000-4000-8000-000000000009'
ORDER BY d.name;

SELECT date_trunc('hour', recorded_at) AS hour, avg(reading) AS average, min(battery_percent) AS lowest
FROM smart_home.device_states
WHERE device_id = '00000000-0000-4000-8000-00000000000a'
GROUP BY hour
ORDER BY hour;

UPDATE smart_home.device_states SET reading = 43
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND recorded_at = '2026-01-15 08:00:00+00';

DELETE FROM smart_home.device_states
WHERE device_id = '00000000-0000-4000-8000-00000000000a' AND recorded_at = '2026-01-15 09:00:00+00';

INSERT INTO smart_home.automations
    (id, created_by, name, description, mode, triggers, conditions, actions, is_enabled)
VALUES
    ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000001', 'Example evening', 'Warm light',
     'restart', '[{"at": "sunset"}]', '[]', '[{"device": "Desk Lamp", "on": true}]', true),
    ('00000000-0000-4000-8000-00000000010b', NULL, 'Example nothing', NULL, 'single', '[]', '[]', '[]', false);

SELECT id, created_by, name, description, mode, triggers, conditions, actions, is_enabled, created_at, updated_at
FROM smart_home.automations
WHERE is_enabled
ORDER BY name;

UPDATE smart_home.automations SET mode = 'queued' WHERE id = '00000000-0000-4000-8000-00000000000b';

DELETE FROM smart_home.automations WHERE id = '00000000-0000-4000-8000-00000000010b';

INSERT INTO smart_home.automation_runs (id, automation_id, status, started_at, ended_at, error) VALUES
    ('00000000-0000-4000-8000-00000000001b', '00000000-0000-4000-8000-00000000000b', 'running',
     '2026-01-15 17:00:00+00', NULL, NULL),
    ('00000000-0000-4000-8000-00000000011b', '00000000-0000-4000-8000-00000000000b', 'failed',
     '2026-01-14 17:00:00+00', '2026-01-14 17:00:05+00', 'lamp unreachable');

UPDATE smart_home.automation_runs SET status = 'succeeded', ended_at = '2026-01-15 17:00:03+00'
WHERE id = '00000000-0000-4000-8000-00000000001b';

SELECT id, automation_id, status, started_at, ended_at, error
FROM smart_home.automation_runs
WHERE automation_id = '00000000-0000-4000-8000-00000000000b'
ORDER BY started_at DESC
LIMIT 10;

DELETE FROM smart_home.automation_runs WHERE id = '00000000-0000-4000-8000-00000000011b';

INSERT INTO smart_home.scenes (id, room_id, name, description) VALUES
    ('00000000-0000-4000-8000-00000000001c', '00000000-0000-4000-8000-000000000009', 'Example reading', 'Desk only'),
    ('00000000-0000-4000-8000-00000000011c', NULL, 'Example away', NULL);

UPDATE smart_home.scenes SET description = 'Desk lamp only' WHERE id = '00000000-0000-4000-8000-00000000001c';

INSERT INTO smart_home.scene_actions (scene_id, device_id, state, transition_ms) VALUES
    ('00000000-0000-4000-8000-00000000001c', '00000000-0000-4000-8000-00000000000a', '{"on": true}', 500),
    ('00000000-0000-4000-8000-00000000011c', '00000000-0000-4000-8000-00000000000a', '{"on": false}', 0);

UPDATE smart_home.scene_actions SET transition_ms = 750
WHERE scene_id = '00000000-0000-4000-8000-00000000001c' AND device_id = '00000000-0000-4000-8000-00000000000a';

SELECT s.id, s.room_id, s.name, s.description, s.created_at, s.updated_at,
       a.scene_id, a.device_id, a.state, a.transition_ms
FROM smart_home.scenes s
LEFT JOIN smart_home.scene_actions a ON a.scene_id = s.id
ORDER BY s.name;

DELETE FROM smart_home.scene_actions WHERE scene_id = '00000000-0000-4000-8000-00000000011c';

DELETE FROM smart_home.scenes WHERE id = '00000000-0000-4000-8000-00000000011c';

DELETE FROM smart_home.devices WHERE id = '00000000-0000-4000-8000-00000000010a';

-- Media

INSERT INTO media.libraries (id, name, type, path) VALUES
    ('00000000-0000-4000-8000-00000000000c', 'Example Films', 'movies', '/srv/films'),
    ('00000000-0000-4000-8000-00000000010c', 'Example Photos', 'photos', NULL);

SELECT id, name, type, path, created_at, updated_at FROM media.libraries ORDER BY name;

UPDATE media.libraries SET path = '/srv/media/films' WHERE id = '00000000-0000-4000-8000-00000000000c';

DELETE FROM media.libraries WHERE id = '00000000-0000-4000-8000-00000000010c';

INSERT INTO media.items
    (id, library_id, parent_id, title, type, part_number, released_on, duration_seconds, rating, file_path, details)
VALUES
    ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000c', NULL, 'The Long Example', 'movie',
     NULL, '2019-05-17', 6840, 7.4, '/srv/media/films/long.mkv', '{"languages": ["en", "de"]}'),
    ('00000000-0000-4000-8000-00000000000e', '00000000-0000-4000-8000-00000000000c', NULL, 'Another Evening', 'movie',
     NULL, '2021-11-03', 5400, 6.1, NULL, '{}'),
    ('00000000-0000-4000-8000-00000000010d', '00000000-0000-4000-8000-00000000000c',
     '00000000-0000-4000-8000-00000000000d', 'The Long Example: making of', 'video', 1, NULL, NULL, NULL, NULL, '{}');

SELECT id, library_id, parent_id, title, type, part_number, released_on, duration_seconds, rating, file_path, details,
       created_at, updated_at
FROM media.items
WHERE library_id = '00000000-0000-4000-8000-00000000000c' AND type = 'movie'
ORDER BY title
LIMIT 50;

SELECT id, title, released_on FROM media.items WHERE title ILIKE '%long exam%' ORDER BY rating DESC NULLS LAST;

UPDATE media.items SET rating = 7.6, details = details || '{"seen": true}'
WHERE id = '00000000-0000-4000-8000-00000000000d';

DELETE FROM media.items WHERE id = '00000000-0000-4000-8000-00000000010d';

INSERT INTO media.people (id, name, born_on, died_on, biography) VALUES
    ('00000000-0000-4000-8000-00000000001d', 'Ida Example', '1950-02-03', NULL, 'Directs.'),
    ('00000000-0000-4000-8000-00000000011d', 'Nobody', NULL, NULL, NULL);

SELECT id, name, born_on, died_on, biography, created_at, updated_at FROM media.people WHERE name = 'Ida Example';

UPDATE media.people SET died_on = '2025-08-09' WHERE id = '00000000-0000-4000-8000-00000000001d';

DELETE FROM media.people WHERE id = '00000000-0000-4000-8000-00000000011d';

INSERT INTO media.credits (id, item_id, person_id, role, character_name, position) VALUES
    ('00000000-0000-4000-8000-00000000001e', '00000000-0000-4000-8000-00000000000d',
     '00000000-0000-4000-8000-00000000001d', 'director', '', 0),
    ('00000000-0000-4000-8000-00000000011e', '00000000-0000-4000-8000-00000000000d',
     '00000000-0000-4000-8000-00000000001d', 'actor', 'Passer-by', 9);

UPDATE media.credits SET position = 1 WHERE id = '00000000-0000-4000-8000-00000000001e';

SELECT c.id, c.item_id, c.person_id, c.role, c.character_name, c.position, p.name
FROM media.credits c
JOIN media.people p ON p.id = c.person_id
WHERE c.item_id = '00000000-0000-4000-8000-00000000000d'
ORDER BY c.position;

DELETE FROM media.credits WHERE id = '00000000-0000-4000-8000-00000000011e';

INSERT INTO media.genres (id, name) VALUES
    ('00000000-0000-4000-8000-00000000000f', 'Example noir'),
    ('00000000-0000-4000-8000-00000000010f', 'Example gone');

UPDATE media.genres SET name = 'Example neo-noir' WHERE id = '00000000-0000-4000-8000-00000000000f';

INSERT INTO media.item_genres (item_id, genre_id) VALUES
    ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000f'),
    ('00000000-0000-4000-8000-00000000000e', '00000000-0000-4000-8000-00000000000f'),
    ('00000000-0000-4000-8000-00000000000e', '00000000-0000-4000-8000-00000000010f');

SELECT g.id, g.name, i.item_id, i.genre_id
FROM media.genres g
LEFT JOIN media.item_genres i ON i.genre_id = g.id
ORDER BY g.name;

DELETE FROM media.item_genres
WHERE item_id = '00000000-0000-4000-8000-00000000000e' AND genre_id = '00000000-0000-4000-8000-00000000010f';

DELETE FROM media.genres WHERE id = '00000000-0000-4000-8000-00000000010f';

INSERT INTO media.playlists (id, user_id, name, description, is_shared) VALUES
    ('00000000-0000-4000-8000-000000000010', '00000000-0000-4000-8000-000000000001', 'Saturday', 'Long films', true),
    ('00000000-0000-4000-8000-000000000110', '00000000-0000-4000-8000-000000000001', 'Empty', NULL, false);

UPDATE media.playlists SET description = 'Long films, late' WHERE id = '00000000-0000-4000-8000-000000000010';

DELETE FROM media.playlists WHERE id = '00000000-0000-4000-8000-000000000110';

INSERT INTO media.playlist_items (playlist_id, position, item_id) VALUES
    ('00000000-0000-4000-8000-000000000010', 0, '00000000-0000-4000-8000-00000000000d'),
    ('00000000-0000-4000-8000-000000000010', 1, '00000000-0000-4000-8000-00000000000e'),
    ('00000000-0000-4000-8000-000000000010', 2, '00000000-0000-4000-8000-00000000000d');

UPDATE media.playlist_items SET position = 7
WHERE playlist_id = '00000000-0000-4000-8000-000000000010' AND position = 1;

DELETE FROM media.playlist_items
WHERE playlist_id = '00000000-0000-4000-8000-000000000010' AND position = 2;

SELECT p.id, p.user_id, p.name, p.description, p.is_shared, p.created_at, p.updated_at,
       e.playlist_id, e.position, e.item_id, e.added_at, i.title
FROM media.playlists p
JOIN media.playlist_items e ON e.playlist_id = p.id
JOIN media.items i ON i.id = e.item_id
WHERE p.user_id = '00000000-0000-4000-8000-000000000001' OR p.is_shared
ORDER BY p.name, e.position;

INSERT INTO media.playback_sessions (id, user_id, item_id, device_id, started_at, ended_at, progress_percent) VALUES
    ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000a', '2026-01-17 20:00:00+00', NULL, 0),
    ('00000000-0000-4000-8000-000000000111', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-00000000000e', NULL, '2026-01-16 20:00:00+00', '2026-01-16 20:01:00+00', 1.25);

UPDATE media.playback_sessions SET progress_percent = 100, ended_at = '2026-01-17 21:54:00+00'
WHERE id = '00000000-0000-4000-8000-000000000011';

DELETE FROM media.playback_sessions WHERE id = '00000000-0000-4000-8000-000000000111';

SELECT s.id, s.user_id, s.item_id, s.device_id, s.started_at, s.ended_at, s.progress_percent, i.title, i.type
FROM media.playback_sessions s
JOIN media.items i ON i.id = s.item_id
WHERE s.user_id = '00000000-0000-4000-8000-000000000001'
ORDER BY s.started_at DESC
LIMIT 20;

-- What was done, and a user who leaves

SELECT id, table_schema, table_name, row_key, operation, changed_columns, old_row, new_row, changed_at, actor, app_user
FROM core.audit_log
WHERE table_schema = 'financial' AND table_name = 'transactions'
  AND row_key = '00000000-0000-4000-8000-000000000007'
ORDER BY changed_at DESC, id DESC;

DELETE FROM core.users WHERE id = '00000000-0000-4000-8000-000000000101';
