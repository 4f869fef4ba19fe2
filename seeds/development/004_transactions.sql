-- A year of money. Every value comes from a hash of the account, the day and a number, so that each
-- run makes the same rows under the same ids.

-- What comes again: salary, rent, savings.
INSERT INTO financial.transactions
    (id, account_id, category_id, recurring_transaction_id, transaction_date, amount, description, merchant_name)
SELECT md5('financial.transactions/' || r.id || '/' || due.number)::uuid,
       r.account_id, r.category_id, r.id,
       (r.starts_on + due.number * every.step)::date, r.amount::double precision, r.description, r.description
FROM financial.recurring_transactions r
JOIN financial.accounts a ON a.id = r.account_id AND a.external_id LIKE 'TEST-%'
JOIN (VALUES ('monthly', interval '1 month'), ('quarterly', interval '3 months')) AS every (frequency, step)
    ON every.frequency = r.frequency
CROSS JOIN generate_series(0, 12) AS due (number)
CROSS JOIN (
    SELECT (value #>> '{}')::date AS on_day FROM core.system_config WHERE key = 'development.seeded_on'
) AS seeded
WHERE (r.starts_on + due.number * every.step)::date <= seeded.on_day
ON CONFLICT DO NOTHING;

-- What is bought: up to a few things a day on each account that is used for it.
WITH shop (position, merchant, root, category, least, most) AS (VALUES
    (0, 'Corner Market', 'Food', 'Groceries', 8, 95),
    (1, 'Green Basket', 'Food', 'Groceries', 12, 140),
    (2, 'Harvest Hall', 'Food', 'Groceries', 20, 180),
    (3, 'Blue Door Bistro', 'Food', 'Restaurants', 18, 85),
    (4, 'Noodle Lane', 'Food', 'Restaurants', 9, 34),
    (5, 'Daily Grind', 'Food', 'Coffee and snacks', 3, 14),
    (6, 'Station Bakery', 'Food', 'Coffee and snacks', 2, 11),
    (7, 'North Road Fuel', 'Transport', 'Fuel', 25, 70),
    (8, 'City Transit', 'Transport', 'Public transport', 2, 9),
    (9, 'Park and Walk', 'Transport', 'Parking', 2, 18),
    (10, 'Old Town Pharmacy', 'Health', 'Pharmacy', 5, 48),
    (11, 'Thread and Button', 'Shopping', 'Clothing', 15, 120),
    (12, 'Lamp and Socket', 'Shopping', 'Electronics', 12, 260),
    (13, 'Home Corner', 'Shopping', 'Household goods', 6, 75),
    (14, 'Second Page Books', 'Leisure', 'Books', 6, 42),
    (15, 'Paint and Paper', 'Leisure', 'Hobbies', 5, 60),
    (16, 'Lantern Theatre', 'Leisure', 'Events', 12, 90),
    (17, 'Paws and Tails', 'Family', 'Pets', 8, 65),
    (18, 'Gift Box', 'Family', 'Gifts', 10, 80),
    (19, 'Window Seat Travel', 'Transport', 'Travel', 40, 420)
), buyer (external_id, most_a_day) AS (VALUES
    ('TEST-CHK-1', 3), ('TEST-CRD-1', 6), ('TEST-CHK-2', 3), ('TEST-CRD-2', 6)
), purchase AS (
    SELECT a.id AS account_id, days_ago, number,
           md5('financial.transactions/' || buyer.external_id || '/' || days_ago || '/' || number) AS hash
    FROM buyer
    JOIN financial.accounts a ON a.external_id = buyer.external_id
    CROSS JOIN generate_series(0, 364) AS days_ago
    CROSS JOIN generate_series(1, buyer.most_a_day) AS number
), drawn AS (
    -- Seven hexadecimal digits at a time: one number for each thing that is left to chance.
    SELECT account_id, days_ago, hash,
           ('x' || substr(hash, 1, 7))::bit(28)::integer AS whether,
           ('x' || substr(hash, 8, 7))::bit(28)::integer AS which,
           ('x' || substr(hash, 15, 7))::bit(28)::integer AS price
    FROM purchase
)
INSERT INTO financial.transactions
    (id, account_id, category_id, transaction_date, amount, description, merchant_name, status, external_id)
SELECT drawn.hash::uuid, drawn.account_id, c.id, seeded.on_day - drawn.days_ago,
       -round(shop.least + (shop.most - shop.least) * (drawn.price % 10000) / 10000.0, 2)::double precision,
       'Card purchase ' || shop.merchant, shop.merchant,
       CASE WHEN drawn.days_ago < 2 THEN 'pending' ELSE 'posted' END,
       'TEST-' || left(drawn.hash, 16)
FROM drawn
JOIN shop ON shop.position = drawn.which % 20
JOIN financial.categories root ON root.name = shop.root AND root.parent_id IS NULL
JOIN financial.categories c ON c.parent_id = root.id AND c.name = shop.category
CROSS JOIN (
    SELECT (value #>> '{}')::date AS on_day FROM core.system_config WHERE key = 'development.seeded_on'
) AS seeded
WHERE drawn.whether % 100 < 60
ON CONFLICT DO NOTHING;
