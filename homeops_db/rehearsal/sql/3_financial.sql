INSERT INTO financial.institutions (id, name, type, website, api_config, created_at, updated_at)
SELECT pg_temp.key('institutions', n), pg_temp.last_name(h, 0) || ' Bank ' || n,
       ('{bank,broker,credit_union,card_issuer}'::text[])[1 + n % 4], 'https://bank' || n || '.example',
       jsonb_build_object('secret', md5(h)), pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('institutions', $financial_institutions);

INSERT INTO financial.accounts
    (id, user_id, household_id, institution_id, name, account_type, currency, opening_balance, external_id, opened_on,
     created_at, updated_at)
SELECT pg_temp.key('accounts', n), pg_temp.key('users', 1 + n % $core_users),
       pg_temp.key('households', 1 + n % $core_users / 3), pg_temp.any_key(h, 0, 'institutions', $financial_institutions),
       initcap(replace(kind, '_', ' ')), kind, pg_temp.word(h, 1, '{USD,USD,EUR,EUR,GBP,CHF,SEK}'),
       (pg_temp.part(h, 2, 2000000) - 200000) / 100.0, 'AC-' || n,
       date '2015-01-01' + pg_temp.part(h, 3, 3000)::int, pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('accounts', $financial_accounts)
CROSS JOIN LATERAL (
    SELECT ('{brokerage,checking,savings,credit_card}'::text[])[1 + n % 4] AS kind
) AS kinds;

INSERT INTO financial.categories (id, parent_id, name, kind, created_at, updated_at)
SELECT pg_temp.key('categories', n), CASE WHEN n > 6 THEN pg_temp.key('categories', 1 + n % 6) END,
       pg_temp.word(h, 0, '{Food,Transport,Health,Leisure,Family,House,Work,Savings}') || ' ' || n,
       CASE WHEN n % 6 = 0 THEN 'income' WHEN n % 6 = 5 THEN 'transfer' ELSE 'expense' END,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('categories', $financial_categories);

INSERT INTO financial.recurring_transactions
    (id, account_id, category_id, description, amount, frequency, starts_on, ends_on, is_active, created_at, updated_at)
SELECT pg_temp.key('recurring_transactions', n), pg_temp.key('accounts', 1 + n % $financial_accounts),
       pg_temp.any_key(h, 0, 'categories', $financial_categories),
       pg_temp.word(h, 1, '{Rent,Salary,Insurance,Music,Gym,Electricity,Internet,Savings}'),
       (pg_temp.part(h, 2, 300000) - 150000) / 100.0, pg_temp.word(h, 3, '{weekly,monthly,monthly,quarterly,yearly}'),
       date '2024-01-01' + pg_temp.part(h, 4, 365)::int, NULL, pg_temp.part(h, 5, 8) > 0,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('recurring_transactions', $financial_recurring_transactions);

-- Small sums are many, large ones few; each is whole cents.
INSERT INTO financial.transactions
    (id, account_id, category_id, recurring_transaction_id, transaction_date, amount, description, merchant_name,
     status, external_id, created_at, updated_at)
SELECT pg_temp.key('transactions', n), pg_temp.any_key(h, 0, 'accounts', $financial_accounts),
       CASE WHEN pg_temp.part(h, 1, 12) > 0 THEN pg_temp.any_key(h, 1, 'categories', $financial_categories) END,
       CASE WHEN is_recurring THEN pg_temp.any_key(h, 2, 'recurring_transactions', $financial_recurring_transactions) END,
       (pg_temp.moment(n, $financial_transactions) AT TIME ZONE 'UTC')::date,
       (CASE WHEN is_recurring THEN pg_temp.part(h, 4, 400000) + 20000
             ELSE -(99 + pg_temp.part(h, 4, 150) * pg_temp.part(h, 5, 160)) END / 100.0)::double precision,
       CASE WHEN pg_temp.part(h, 5, 3) = 0 THEN 'Note ' || pg_temp.part(h, 6, 10000) END,
       CASE WHEN NOT is_recurring THEN pg_temp.word(h, 6,
           '{Corner Market,Green Basket,Blue Door Bistro,Noodle Lane,Daily Grind,North Road Fuel,City Transit,Old Town Pharmacy,Lamp and Socket,Second Page Books,Lantern Theatre,Paws and Tails}')
       END,
       CASE pg_temp.part(h, 6, 50) WHEN 0 THEN 'void' WHEN 1 THEN 'pending' ELSE 'posted' END,
       CASE WHEN n % 3 > 0 THEN 'TX-' || n END,
       pg_temp.moment(n, $financial_transactions), pg_temp.moment(n, $financial_transactions, 60 * pg_temp.part(h, 1, 99))
FROM pg_temp.rows_of('transactions', $financial_transactions)
CROSS JOIN LATERAL (SELECT pg_temp.part(h, 3, 25) = 0 AS is_recurring) AS kinds;

INSERT INTO financial.budgets
    (id, user_id, household_id, category_id, name, period, amount, currency, alert_percent, starts_on, created_at,
     updated_at)
SELECT pg_temp.key('budgets', n), pg_temp.key('users', 1 + n % $core_users),
       pg_temp.key('households', 1 + n % $core_users / 3), pg_temp.any_key(h, 0, 'categories', $financial_categories),
       'Budget ' || n, pg_temp.word(h, 1, '{weekly,monthly,monthly,yearly}'), 5 * (10 + pg_temp.part(h, 2, 300)),
       pg_temp.word(h, 3, '{USD,EUR,GBP}'), 50 + pg_temp.part(h, 4, 50), date '2024-01-01',
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('budgets', $financial_budgets);

INSERT INTO financial.securities (id, symbol, exchange, name, type, currency, isin, created_at, updated_at)
SELECT pg_temp.key('securities', n), 'R' || lpad(n::text, 5, '0'), pg_temp.word(h, 0, '{XNYS,XNAS,XETR,XLON}'),
       pg_temp.last_name(h, 1) || ' ' || n, pg_temp.word(h, 2, '{stock,stock,etf,mutual_fund,bond}'),
       pg_temp.word(h, 0, '{USD,USD,EUR,GBP}'), 'US' || lpad(n::text, 9, '0') || n % 10,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('securities', $financial_securities);

INSERT INTO financial.security_prices (security_id, priced_on, close, source)
SELECT pg_temp.key('securities', 1 + n % $financial_securities),
       date '2024-01-01' + (n / $financial_securities)::int, (1000000 + pg_temp.part(h, 0, 250000000)) / 1000000.0,
       pg_temp.word(h, 1, '{exchange,aggregator}')
FROM pg_temp.rows_of('security_prices', $financial_security_prices);

INSERT INTO financial.holdings (id, account_id, security_id, quantity, cost_basis, created_at, updated_at)
SELECT pg_temp.key('holdings', n), pg_temp.key('accounts', 4 * (1 + (n - 1) / 5)),
       pg_temp.key('securities', 1 + (n * 7) % $financial_securities), (1 + pg_temp.part(h, 0, 90000000)) / 100000.0,
       (100 + pg_temp.part(h, 1, 9000000)) / 100.0, pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('holdings', $financial_holdings);
