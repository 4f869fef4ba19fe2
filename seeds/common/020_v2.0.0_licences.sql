-- What a buyer may do with a listing. A text that was changed later stays.
INSERT INTO community.licences (code, name, description, allows_commercial_use, allows_sharing) VALUES
    ('personal', 'Personal', 'For the buyer alone, on the buyer''s own devices.', false, false),
    ('household', 'Household', 'For everyone in the buyer''s household.', false, false),
    ('commercial', 'Commercial', 'For use in a business, without passing it on.', true, false),
    ('open', 'Open', 'For everyone: it may be used, changed and passed on, if its author is named.', true, true),
    ('service', 'Service', 'Work that is done once, at the time that was booked.', false, false)
ON CONFLICT DO NOTHING;
