-- Where a mood lies: from calm (0) to lively (1), from sad (0) to happy (1).
INSERT INTO media.moods (name, energy, valence) VALUES
    ('Aggressive', 0.95, 0.30), ('Calm', 0.15, 0.60), ('Cheerful', 0.65, 0.90), ('Dark', 0.45, 0.15),
    ('Dreamy', 0.25, 0.50), ('Energetic', 0.90, 0.70), ('Epic', 0.80, 0.55), ('Euphoric', 0.95, 0.95),
    ('Melancholic', 0.20, 0.20), ('Mysterious', 0.35, 0.35), ('Nostalgic', 0.30, 0.45), ('Peaceful', 0.10, 0.75),
    ('Playful', 0.60, 0.80), ('Romantic', 0.35, 0.70), ('Sad', 0.15, 0.10), ('Tense', 0.75, 0.20)
ON CONFLICT (name) DO NOTHING;
