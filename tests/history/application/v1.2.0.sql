INSERT INTO media.items (id, library_id, title, type, duration_seconds)
VALUES ('00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-00000000000c', 'A Track', 'track', 200),
       ('00000000-0000-4000-8000-000001200002', '00000000-0000-4000-8000-00000000000c', 'Another Track', 'track', 240);

INSERT INTO media.recommendation_models (id, name, version, algorithm, parameters, is_active, trained_at)
VALUES ('00000000-0000-4000-8000-000001200003', 'neighbours', 1, 'collaborative', '{"k": 20}', false, NULL),
       ('00000000-0000-4000-8000-000001200004', 'neighbours', 2, 'hybrid', '{"k": 40}', true, '2024-01-01 00:00:00+00');

INSERT INTO media.recommendation_models (id, name, version, algorithm)
VALUES ('00000000-0000-4000-8000-000001200005', 'mistake', 1, 'content');

SELECT id, name, version, algorithm, parameters, is_active, trained_at, created_at, updated_at
FROM media.recommendation_models
WHERE name = 'neighbours' AND is_active;

UPDATE media.recommendation_models
SET parameters = parameters || '{"seed": 1}', trained_at = now()
WHERE id = '00000000-0000-4000-8000-000001200003';

DELETE FROM media.recommendation_models WHERE id = '00000000-0000-4000-8000-000001200005';

INSERT INTO media.recommendations (id, user_id, item_id, model_id, score, rank, reason)
VALUES ('00000000-0000-4000-8000-000001200006', '00000000-0000-4000-8000-000000000001',
        '00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-000001200004', 0.9, 1, 'You like the artist'),
       ('00000000-0000-4000-8000-000001200007', '00000000-0000-4000-8000-000000000001',
        '00000000-0000-4000-8000-000001200002', '00000000-0000-4000-8000-000001200004', 0.8, 2, NULL),
       ('00000000-0000-4000-8000-000001200008', '00000000-0000-4000-8000-000000000001',
        '00000000-0000-4000-8000-000001200002', '00000000-0000-4000-8000-000001200003', 0.7, 1, NULL);

INSERT INTO media.recommendations (user_id, item_id, model_id, score, rank, reason)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000001200001',
        '00000000-0000-4000-8000-000001200004', 0.95, 1, 'You like the album')
ON CONFLICT (user_id, item_id, model_id) DO UPDATE
SET score = excluded.score, rank = excluded.rank, reason = excluded.reason;

SELECT id, user_id, item_id, model_id, score, rank, reason, shown_at, clicked_at, dismissed_at, created_at, updated_at
FROM media.recommendations
WHERE user_id = '00000000-0000-4000-8000-000000000001'
ORDER BY model_id, rank;

UPDATE media.recommendations
SET shown_at = now(), clicked_at = now()
WHERE id = '00000000-0000-4000-8000-000001200006';

UPDATE media.recommendations
SET shown_at = now(), dismissed_at = now()
WHERE id = '00000000-0000-4000-8000-000001200007';

DELETE FROM media.recommendations WHERE id = '00000000-0000-4000-8000-000001200008';

INSERT INTO media.item_similarities (first_item_id, second_item_id, score)
VALUES ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000e', 0.75),
       ('00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-000001200002', 0.5),
       ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-000001200002', 0.01);

SELECT first_item_id, second_item_id, score, computed_at FROM media.item_similarities ORDER BY score DESC;

UPDATE media.item_similarities
SET score = 0.55, computed_at = now()
WHERE first_item_id = '00000000-0000-4000-8000-000001200001'
  AND second_item_id = '00000000-0000-4000-8000-000001200002';

DELETE FROM media.item_similarities
WHERE first_item_id = '00000000-0000-4000-8000-00000000000d'
  AND second_item_id = '00000000-0000-4000-8000-000001200002';

INSERT INTO media.ratings (user_id, item_id, rating, comment)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000d', 8.5, 'Again!'),
       ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000e', 2, NULL);

SELECT user_id, item_id, rating, comment, created_at, updated_at
FROM media.ratings
WHERE user_id = '00000000-0000-4000-8000-000000000001';

UPDATE media.ratings
SET rating = 9
WHERE user_id = '00000000-0000-4000-8000-000000000001' AND item_id = '00000000-0000-4000-8000-00000000000d';

DELETE FROM media.ratings
WHERE user_id = '00000000-0000-4000-8000-000000000001' AND item_id = '00000000-0000-4000-8000-00000000000e';

INSERT INTO media.viewing_events (session_id, occurred_at, type, device_id, position_seconds, watched_seconds)
VALUES ('00000000-0000-4000-8000-000000000011', '2024-01-01 20:00:00+00', 'play',
        '00000000-0000-4000-8000-00000000000a', 0, 0),
       ('00000000-0000-4000-8000-000000000011', '2024-01-01 20:30:00+00', 'pause',
        '00000000-0000-4000-8000-00000000000a', 1800, 1800),
       ('00000000-0000-4000-8000-000000000011', '2024-01-02 20:00:00+00', 'finish', NULL, 3600, 1800);

INSERT INTO media.viewing_events (session_id, type, position_seconds)
VALUES ('00000000-0000-4000-8000-000000000011', 'seek', 60);

SELECT session_id, occurred_at, type, device_id, position_seconds, watched_seconds
FROM media.viewing_events
WHERE session_id = '00000000-0000-4000-8000-000000000011'
ORDER BY occurred_at;

UPDATE media.viewing_events
SET watched_seconds = 1750
WHERE session_id = '00000000-0000-4000-8000-000000000011' AND occurred_at = '2024-01-01 20:30:00+00';

DELETE FROM media.viewing_events
WHERE session_id = '00000000-0000-4000-8000-000000000011' AND type = 'seek';

SELECT user_id, item_id, session_id, occurred_at, type, device_id, position_seconds, watched_seconds
FROM media.viewing_history
WHERE user_id = '00000000-0000-4000-8000-000000000001'
ORDER BY occurred_at DESC;

SELECT media.roll_up_viewing('2024-01-01', '2024-01-03');

INSERT INTO media.viewing_daily (user_id, item_id, viewed_on, seconds_watched, sessions, completions)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000e', '2023-12-31', 60, 1, 0),
       ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000e', '2023-12-30', 60, 1, 0);

SELECT user_id, item_id, viewed_on, seconds_watched, sessions, completions
FROM media.viewing_daily
WHERE user_id = '00000000-0000-4000-8000-000000000001'
ORDER BY viewed_on;

UPDATE media.viewing_daily SET seconds_watched = 120 WHERE viewed_on = '2023-12-31';

DELETE FROM media.viewing_daily WHERE viewed_on = '2023-12-30';

INSERT INTO media.viewing_rollups (viewed_on, rolled_up_at)
VALUES ('2023-12-30', now()), ('2023-12-31', now());

SELECT viewed_on, rolled_up_at FROM media.viewing_rollups ORDER BY viewed_on;

UPDATE media.viewing_rollups SET rolled_up_at = now() WHERE viewed_on = '2023-12-31';

DELETE FROM media.viewing_rollups WHERE viewed_on = '2023-12-30';

SELECT user_id, days, items, sessions, completions, seconds_watched, first_viewed_on, last_viewed_on, favourite_genre
FROM media.viewing_statistics
WHERE user_id = '00000000-0000-4000-8000-000000000001';

INSERT INTO media.moods (id, name, energy, valence)
VALUES ('00000000-0000-4000-8000-000001200009', 'sunny', 0.7, 0.9),
       ('00000000-0000-4000-8000-00000120000a', 'rainy', 0.2, 0.3),
       ('00000000-0000-4000-8000-00000120000b', 'foggy', 0.1, 0.4);

SELECT id, name, energy, valence FROM media.moods ORDER BY name;

UPDATE media.moods SET valence = 0.85 WHERE id = '00000000-0000-4000-8000-000001200009';

DELETE FROM media.moods WHERE id = '00000000-0000-4000-8000-00000120000b';

INSERT INTO media.track_analysis (item_id, tempo_bpm, musical_key, mode, energy, valence, danceability, analyzer)
VALUES ('00000000-0000-4000-8000-000001200001', 120.5, 'F#', 'minor', 0.8, 0.6, 0.7, 'ears 1.0'),
       ('00000000-0000-4000-8000-000001200002', NULL, NULL, NULL, NULL, NULL, NULL, 'ears 1.0');

INSERT INTO media.track_analysis (item_id, tempo_bpm, analyzer)
VALUES ('00000000-0000-4000-8000-000001200002', 90, 'ears 1.1')
ON CONFLICT (item_id) DO UPDATE
SET tempo_bpm = excluded.tempo_bpm, analyzer = excluded.analyzer, analyzed_at = now();

SELECT item_id, item_type, tempo_bpm, musical_key, mode, energy, valence, danceability, analyzer, analyzed_at
FROM media.track_analysis
ORDER BY item_id;

UPDATE media.track_analysis SET energy = 0.75 WHERE item_id = '00000000-0000-4000-8000-000001200001';

INSERT INTO media.track_moods (item_id, mood_id, weight)
VALUES ('00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-000001200009', 0.9),
       ('00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-00000120000a', 0.1),
       ('00000000-0000-4000-8000-000001200002', '00000000-0000-4000-8000-000001200009', 0.5);

SELECT item_id, mood_id, weight FROM media.track_moods ORDER BY item_id, weight DESC;

UPDATE media.track_moods
SET weight = 0.95
WHERE item_id = '00000000-0000-4000-8000-000001200001' AND mood_id = '00000000-0000-4000-8000-000001200009';

DELETE FROM media.track_moods
WHERE item_id = '00000000-0000-4000-8000-000001200001' AND mood_id = '00000000-0000-4000-8000-00000120000a';

DELETE FROM media.track_analysis WHERE item_id = '00000000-0000-4000-8000-000001200002';

INSERT INTO media.genre_scores (item_id, genre_id, confidence, analyzer)
VALUES ('00000000-0000-4000-8000-000001200001', '00000000-0000-4000-8000-00000000000f', 0.8, 'ears 1.0'),
       ('00000000-0000-4000-8000-000001200002', '00000000-0000-4000-8000-00000000000f', 0.4, 'ears 1.0');

SELECT item_id, genre_id, confidence, analyzer, analyzed_at FROM media.genre_scores ORDER BY confidence DESC;

UPDATE media.genre_scores
SET confidence = 0.85, analyzed_at = now()
WHERE item_id = '00000000-0000-4000-8000-000001200001' AND genre_id = '00000000-0000-4000-8000-00000000000f';

DELETE FROM media.genre_scores WHERE item_id = '00000000-0000-4000-8000-000001200002';

SELECT item_id, score FROM media.similar_items('00000000-0000-4000-8000-000001200001', 5);

SELECT item_id, score FROM media.similar_items('00000000-0000-4000-8000-00000000000d');

SELECT item_id, score, reason FROM media.recommended_for('00000000-0000-4000-8000-000000000001', 5);
