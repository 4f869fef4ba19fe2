-- What the application of v1.4.0 sends besides: transactions have a currency, and transfers name the other account.

INSERT INTO financial.transactions
    (id, account_id, counter_account_id, transaction_date, amount, currency, description, external_id)
VALUES
    ('00000000-0000-4000-8000-000001400001', '00000000-0000-4000-8000-000000000004',
     '00000000-0000-4000-8000-000000000005', '2026-02-02', -108.40, 'USD', 'To travel money', 'EX-TR-1'),
    ('00000000-0000-4000-8000-000001400002', '00000000-0000-4000-8000-000000000005',
     '00000000-0000-4000-8000-000000000004', '2026-02-02', 100.00, 'EUR', 'From checking', NULL),
    ('00000000-0000-4000-8000-000001400003', '00000000-0000-4000-8000-000000000005', NULL, '2026-02-03', -7.25, 'CHF',
     'Coffee on the road', NULL);

INSERT INTO financial.transactions (id, account_id, transaction_date, amount)
VALUES ('00000000-0000-4000-8000-000001400004', '00000000-0000-4000-8000-000000000005', '2026-02-04', -3.10)
RETURNING currency, counter_account_id;

SELECT id, account_id, category_id, recurring_transaction_id, transaction_date, amount, currency, counter_account_id,
       description, merchant_name, status, external_id, created_at, updated_at
FROM financial.transactions
WHERE account_id = '00000000-0000-4000-8000-000000000005'
ORDER BY transaction_date DESC
LIMIT 20;

SELECT t.id, t.amount, t.currency, c.name AS counter_account
FROM financial.transactions t
JOIN financial.accounts c ON c.id = t.counter_account_id
WHERE t.transaction_date >= '2026-02-01'
ORDER BY t.transaction_date, t.id;

SELECT t.currency, sum(t.amount) AS total, count(*) AS transactions
FROM financial.transactions t
JOIN financial.accounts a ON a.id = t.account_id
WHERE a.user_id = '00000000-0000-4000-8000-000000000001' AND t.status = 'posted'
GROUP BY t.currency
ORDER BY t.currency;

UPDATE financial.transactions SET counter_account_id = NULL, currency = 'EUR'
WHERE id = '00000000-0000-4000-8000-000001400003'
RETURNING currency;

DELETE FROM financial.transactions WHERE id = '00000000-0000-4000-8000-000001400004';
