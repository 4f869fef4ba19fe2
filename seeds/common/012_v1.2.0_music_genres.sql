-- Genres that the analysis of music tells apart, beside those that every library has.
INSERT INTO media.genres (name) VALUES
    ('Disco'), ('Funk'), ('Gospel'), ('House'), ('Latin'), ('Metal'), ('Opera'), ('Punk'), ('Reggae'), ('Techno')
ON CONFLICT (name) DO NOTHING;
