INSERT INTO financial.institutions (name, type) VALUES
    ('Test Bank', 'bank'),
    ('Test Broker', 'broker')
ON CONFLICT (name, type) DO NOTHING;

-- external_id names an account in every file that follows.
INSERT INTO financial.accounts
    (user_id, household_id, institution_id, name, account_type, opening_balance, external_id, opened_on)
SELECT u.id, h.id, i.id, account.name, account.type, account.balance, account.external_id, account.opened_on
FROM (VALUES
    ('admin@homeops.local', 'Test Bank', 'Household Checking', 'checking', 4200.00, 'TEST-CHK-1', '2019-03-01'::date),
    ('admin@homeops.local', 'Test Bank', 'Emergency Savings', 'savings', 12500.00, 'TEST-SAV-1', '2019-03-01'),
    ('admin@homeops.local', 'Test Bank', 'Household Card', 'credit_card', -640.00, 'TEST-CRD-1', '2020-06-15'),
    ('admin@homeops.local', 'Test Broker', 'Brokerage', 'brokerage', 38000.00, 'TEST-BRK-1', '2021-01-11'),
    ('user@homeops.local', 'Test Bank', 'Everyday Checking', 'checking', 1850.00, 'TEST-CHK-2', '2020-02-03'),
    ('user@homeops.local', 'Test Bank', 'Everyday Card', 'credit_card', -210.00, 'TEST-CRD-2', '2022-09-20'),
    ('user@homeops.local', 'Test Broker', 'Retirement', 'retirement', 21400.00, 'TEST-RET-1', '2021-05-04')
) AS account (email, institution, name, type, balance, external_id, opened_on)
JOIN core.users u ON lower(u.email) = account.email
JOIN financial.institutions i ON i.name = account.institution
LEFT JOIN core.households h ON h.id = md5('core.households/Test Household')::uuid
ON CONFLICT (institution_id, external_id) DO NOTHING;

INSERT INTO financial.budgets (id, user_id, household_id, category_id, name, period, amount, starts_on)
SELECT md5('financial.budgets/' || budget.category)::uuid, u.id, h.id, c.id, budget.category, budget.period,
       budget.amount, date_trunc('year', seeded.on_day - interval '1 year')::date
FROM (VALUES
    ('Food', 'Groceries', 'monthly', 900.00),
    ('Food', 'Restaurants', 'monthly', 350.00),
    ('Transport', 'Fuel', 'monthly', 220.00),
    ('Transport', 'Travel', 'yearly', 3600.00),
    ('Shopping', 'Clothing', 'quarterly', 600.00),
    ('Leisure', 'Hobbies', 'monthly', 180.00),
    ('Housing', 'Electricity', 'monthly', 140.00),
    ('Health', 'Pharmacy', 'monthly', 60.00)
) AS budget (root, category, period, amount)
JOIN financial.categories root ON root.name = budget.root AND root.parent_id IS NULL
JOIN financial.categories c ON c.parent_id = root.id AND c.name = budget.category
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
LEFT JOIN core.households h ON h.id = md5('core.households/Test Household')::uuid
CROSS JOIN (
    SELECT (value #>> '{}')::date AS on_day FROM core.system_config WHERE key = 'development.seeded_on'
) AS seeded
ON CONFLICT (id) DO NOTHING;

INSERT INTO financial.recurring_transactions
    (id, account_id, category_id, description, amount, frequency, starts_on)
SELECT md5('financial.recurring_transactions/' || recurring.account || recurring.description)::uuid,
       a.id, c.id, recurring.description, recurring.amount, recurring.frequency,
       -- No later than the 28th, so that every month has the day.
       (date_trunc('month', seeded.on_day - interval '1 year') + (recurring.day - 1) * interval '1 day')::date
FROM (VALUES
    ('TEST-CHK-1', 'Income', 'Salary', 'Salary Example Works', 4850.00, 'monthly', 28),
    ('TEST-CHK-1', 'Housing', 'Rent', 'Rent Elm Street 12', -1650.00, 'monthly', 1),
    ('TEST-CHK-1', 'Housing', 'Electricity', 'Bright Power', -118.40, 'monthly', 5),
    ('TEST-CHK-1', 'Housing', 'Internet and phone', 'Fiber Example', -64.99, 'monthly', 7),
    ('TEST-CHK-1', 'Transfers', 'Savings', 'To Emergency Savings', -400.00, 'monthly', 28),
    ('TEST-SAV-1', 'Transfers', 'Savings', 'From Household Checking', 400.00, 'monthly', 28),
    ('TEST-CRD-1', 'Leisure', 'Streaming', 'Stream Example', -15.99, 'monthly', 12),
    ('TEST-CHK-2', 'Income', 'Salary', 'Salary Sample Studio', 3120.00, 'monthly', 27),
    ('TEST-CHK-2', 'Finance', 'Insurance', 'Safe Harbour Insurance', -96.50, 'monthly', 3),
    ('TEST-CRD-2', 'Health', 'Fitness', 'Gym Sample', -39.00, 'monthly', 2),
    ('TEST-SAV-1', 'Income', 'Interest', 'Interest Test Bank', 71.25, 'quarterly', 28)
) AS recurring (account, root, category, description, amount, frequency, day)
JOIN financial.accounts a ON a.external_id = recurring.account
JOIN financial.categories root ON root.name = recurring.root AND root.parent_id IS NULL
JOIN financial.categories c ON c.parent_id = root.id AND c.name = recurring.category
CROSS JOIN (
    SELECT (value #>> '{}')::date AS on_day FROM core.system_config WHERE key = 'development.seeded_on'
) AS seeded
ON CONFLICT (id) DO NOTHING;
