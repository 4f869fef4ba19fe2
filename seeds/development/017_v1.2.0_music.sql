-- What was heard in the test tracks. Tracks of an album are alike: half of each number is the album's.
INSERT INTO media.track_analysis
    (item_id, tempo_bpm, musical_key, mode, energy, valence, danceability, analyzer, analyzed_at)
SELECT track.id, 60 + drawn.tempo % 120,
       (ARRAY['C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B'])[1 + drawn.tempo % 12],
       (ARRAY['major', 'major', 'minor'])[1 + drawn.tempo % 3],
       round((drawn.energy + drawn.album_energy) / 510.0, 4), round((drawn.valence + drawn.album_valence) / 510.0, 4),
       round((drawn.energy + drawn.valence) / 510.0, 4), 'test-analyzer 1',
       (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC'
FROM media.items track
JOIN media.libraries l ON l.id = track.library_id AND l.name LIKE 'Test %'
CROSS JOIN core.system_config c
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('track/' || track.id), 1, 4))::bit(16)::integer AS tempo,
           ('x' || substr(md5('track/' || track.id), 5, 2))::bit(8)::integer AS energy,
           ('x' || substr(md5('track/' || track.id), 7, 2))::bit(8)::integer AS valence,
           ('x' || substr(md5('album/' || coalesce(track.parent_id, track.id)), 1, 2))::bit(8)::integer AS album_energy,
           ('x' || substr(md5('album/' || coalesce(track.parent_id, track.id)), 3, 2))::bit(8)::integer AS album_valence
) AS drawn
WHERE track.type = 'track' AND c.key = 'development.seeded_on'
ON CONFLICT (item_id) DO NOTHING;

-- The three nearest moods, the heavier the nearer.
INSERT INTO media.track_moods (item_id, mood_id, weight)
SELECT a.item_id, near.id, near.weight
FROM media.track_analysis a
CROSS JOIN LATERAL (
    SELECT m.id, round(1 - (abs(m.energy - a.energy) + abs(m.valence - a.valence)) / 2, 4) AS weight
    FROM media.moods m
    ORDER BY 2 DESC, m.name
    LIMIT 3
) AS near
WHERE a.analyzer = 'test-analyzer 1' AND near.weight > 0
ON CONFLICT (item_id, mood_id) DO NOTHING;

-- A track sounds like its album's genres, and a little like another one.
INSERT INTO media.genre_scores (item_id, genre_id, confidence, analyzer, analyzed_at)
SELECT a.item_id, g.genre_id, round(0.6 + ('x' || substr(md5(a.item_id || '/' || g.genre_id), 1, 2))::bit(8)::integer / 640.0, 4),
       a.analyzer, a.analyzed_at
FROM media.track_analysis a
JOIN media.items track ON track.id = a.item_id
JOIN media.item_genres g ON g.item_id = track.parent_id
WHERE a.analyzer = 'test-analyzer 1'
UNION ALL
SELECT a.item_id, other.id, 0.15, a.analyzer, a.analyzed_at
FROM media.track_analysis a
JOIN media.items track ON track.id = a.item_id
CROSS JOIN LATERAL (
    SELECT g.id
    FROM media.genres g
    WHERE g.name IN ('Disco', 'Funk', 'House', 'Latin', 'Metal', 'Punk', 'Reggae', 'Techno')
    ORDER BY md5(a.item_id || '/' || g.name)
    LIMIT 1
) AS other
WHERE a.analyzer = 'test-analyzer 1'
ON CONFLICT (item_id, genre_id) DO NOTHING;
