-- What the application of v2.2.0 sends besides: transactions have a merchant category.

INSERT INTO financial.transactions
    (id, account_id, category_id, transaction_date, amount, currency, merchant_name, merchant_category)
VALUES
    ('00000000-0000-4000-8000-000002200001', '00000000-0000-4000-8000-000000000004',
     '00000000-0000-4000-8000-000000000006', '2026-03-02', -41.15, 'USD', 'Green Basket', 'grocery'),
    ('00000000-0000-4000-8000-000002200002', '00000000-0000-4000-8000-000000000004', NULL, '2026-03-03', -12.00, 'USD',
     'Lantern Theatre', 'entertainment');

SELECT id, account_id, category_id, recurring_transaction_id, transaction_date, amount, currency, counter_account_id,
       description, merchant_name, merchant_category, status, external_id, created_at, updated_at
FROM financial.transactions
WHERE merchant_category = 'grocery'
ORDER BY transaction_date DESC
LIMIT 20;

SELECT t.merchant_category, -sum(t.amount) AS spent
FROM financial.transactions t
WHERE t.account_id = '00000000-0000-4000-8000-000000000004' AND t.amount < 0 AND t.merchant_category IS NOT NULL
GROUP BY t.merchant_category
ORDER BY spent DESC;

UPDATE financial.transactions SET merchant_category = 'food'
WHERE merchant_category = 'grocery' AND merchant_name ILIKE 'green%'
RETURNING id, merchant_category;

DELETE FROM financial.transactions WHERE id = '00000000-0000-4000-8000-000002200002';
