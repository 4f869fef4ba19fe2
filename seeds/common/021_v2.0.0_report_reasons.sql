-- Why something is reported. Urgent ones are looked at before all others.
INSERT INTO community.report_reasons (code, name, description, is_urgent) VALUES
    ('spam', 'Spam', 'Advertising, or the same text again and again.', false),
    ('off_topic', 'Off topic', 'It has nothing to do with the house or with what it stands under.', false),
    ('misleading', 'Misleading', 'It promises what it doesn''t do.', false),
    ('copyright', 'Copyright', 'Somebody else''s work, without permission.', false),
    ('harassment', 'Harassment', 'It insults or threatens a person.', true),
    ('privacy', 'Privacy', 'It shows somebody''s address, face or data.', true),
    ('dangerous', 'Dangerous', 'Whoever follows it may harm people or set the house on fire.', true),
    ('other', 'Other', 'The note says what it is.', false)
ON CONFLICT DO NOTHING;
