-- A tree of two levels: first the roots, then what is below them.
INSERT INTO financial.categories (name, kind) VALUES
    ('Income', 'income'),
    ('Housing', 'expense'),
    ('Food', 'expense'),
    ('Transport', 'expense'),
    ('Health', 'expense'),
    ('Family', 'expense'),
    ('Leisure', 'expense'),
    ('Shopping', 'expense'),
    ('Finance', 'expense'),
    ('Transfers', 'transfer')
ON CONFLICT (parent_id, name) DO NOTHING;

INSERT INTO financial.categories (parent_id, name, kind)
SELECT root.id, child.name, root.kind
FROM (VALUES
    ('Income', 'Salary'),
    ('Income', 'Interest'),
    ('Income', 'Dividends'),
    ('Income', 'Refunds'),
    ('Income', 'Other income'),
    ('Housing', 'Rent'),
    ('Housing', 'Mortgage'),
    ('Housing', 'Electricity'),
    ('Housing', 'Heating'),
    ('Housing', 'Water'),
    ('Housing', 'Internet and phone'),
    ('Housing', 'Repairs'),
    ('Housing', 'Furniture'),
    ('Food', 'Groceries'),
    ('Food', 'Restaurants'),
    ('Food', 'Coffee and snacks'),
    ('Transport', 'Fuel'),
    ('Transport', 'Public transport'),
    ('Transport', 'Parking'),
    ('Transport', 'Car repairs'),
    ('Transport', 'Travel'),
    ('Health', 'Doctor'),
    ('Health', 'Pharmacy'),
    ('Health', 'Fitness'),
    ('Family', 'Childcare'),
    ('Family', 'Education'),
    ('Family', 'Pets'),
    ('Family', 'Gifts'),
    ('Leisure', 'Streaming'),
    ('Leisure', 'Books'),
    ('Leisure', 'Hobbies'),
    ('Leisure', 'Events'),
    ('Shopping', 'Clothing'),
    ('Shopping', 'Electronics'),
    ('Shopping', 'Household goods'),
    ('Finance', 'Insurance'),
    ('Finance', 'Taxes'),
    ('Finance', 'Bank fees'),
    ('Finance', 'Interest paid'),
    ('Finance', 'Donations'),
    ('Transfers', 'Between own accounts'),
    ('Transfers', 'Card payment'),
    ('Transfers', 'Savings'),
    ('Transfers', 'Investment')
) AS child (root, name)
JOIN financial.categories root ON root.name = child.root AND root.parent_id IS NULL
ON CONFLICT (parent_id, name) DO NOTHING;
