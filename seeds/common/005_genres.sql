INSERT INTO media.genres (name) VALUES
    ('Action'), ('Adventure'), ('Animation'), ('Biography'), ('Comedy'), ('Crime'), ('Documentary'),
    ('Drama'), ('Family'), ('Fantasy'), ('History'), ('Horror'), ('Mystery'), ('Romance'),
    ('Science fiction'), ('Sport'), ('Thriller'), ('War'), ('Western'),
    ('Ambient'), ('Blues'), ('Classical'), ('Country'), ('Electronic'), ('Folk'), ('Hip hop'),
    ('Jazz'), ('Pop'), ('Rock'), ('Soul'), ('Soundtrack'),
    ('Business'), ('Cooking'), ('Poetry'), ('Science'), ('Travel')
ON CONFLICT (name) DO NOTHING;
