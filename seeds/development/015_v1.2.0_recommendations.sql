-- A model in two versions, of which the second is in use, and what it found. Only works of the test libraries.
INSERT INTO media.recommendation_models (id, name, version, algorithm, parameters, is_active, trained_at)
SELECT md5('media.recommendation_models/' || model.name || '/' || model.version)::uuid, model.name, model.version,
       model.algorithm, model.parameters, model.is_active,
       (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - model.days_ago * interval '1 day'
FROM (VALUES
    ('Test Neighbours', 1, 'collaborative', '{"neighbours": 20}'::jsonb, false, 60),
    ('Test Neighbours', 2, 'collaborative', '{"neighbours": 40}', true, 14),
    ('Test Favourites', 1, 'popularity', '{"days": 30}', true, 7)
) AS model (name, version, algorithm, parameters, is_active, days_ago)
CROSS JOIN core.system_config c
WHERE c.key = 'development.seeded_on'
ON CONFLICT (id) DO NOTHING;

-- Thirty works a user and model; a third were shown, and some of these dismissed or clicked.
INSERT INTO media.recommendations
    (id, user_id, item_id, model_id, score, rank, reason, created_at, shown_at, clicked_at, dismissed_at)
SELECT md5('media.recommendations/' || u.email || '/' || m.id || '/' || chosen.id)::uuid, u.id, chosen.id, m.id,
       round(1 - chosen.rank / 40.0, 4), chosen.rank, 'People with your taste watched it',
       m.trained_at,
       CASE WHEN chosen.rank % 3 = 0 THEN m.trained_at + interval '2 hours' END,
       CASE WHEN chosen.rank % 6 = 0 THEN m.trained_at + interval '2 hours 1 minute' END,
       CASE WHEN chosen.rank % 9 = 0 THEN m.trained_at + interval '3 hours' END
FROM core.users u
JOIN media.recommendation_models m
    ON m.id = md5('media.recommendation_models/' || m.name || '/' || m.version)::uuid AND m.is_active
CROSS JOIN LATERAL (
    SELECT i.id, row_number() OVER (ORDER BY md5(i.id || '/' || u.email || '/' || m.name)) AS rank
    FROM media.items i
    JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
    WHERE i.type IN ('movie', 'show')
) AS chosen
WHERE u.email IN ('admin@homeops.local', 'user@homeops.local') AND chosen.rank <= 30
ON CONFLICT DO NOTHING;

INSERT INTO media.item_similarities (first_item_id, second_item_id, score, computed_at)
SELECT least(one.id, other.id), greatest(one.id, other.id), round(0.5 + other.chance / 131072.0, 4),
       (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC'
FROM media.items one
JOIN media.libraries l ON l.id = one.library_id AND l.name LIKE 'Test %'
CROSS JOIN core.system_config c
CROSS JOIN LATERAL (
    SELECT i.id, ('x' || substr(md5(least(one.id, i.id) || '/like/' || greatest(one.id, i.id)), 1, 4))::bit(16)::integer AS chance
    FROM media.items i
    WHERE i.library_id = one.library_id AND i.type = one.type AND i.id <> one.id
    ORDER BY 2 DESC, 1
    LIMIT 3
) AS other
WHERE one.type = 'movie' AND c.key = 'development.seeded_on'
ON CONFLICT (first_item_id, second_item_id) DO NOTHING;

INSERT INTO media.ratings (user_id, item_id, rating, comment)
SELECT u.id, i.id, (drawn.chance % 21) / 2.0, CASE WHEN drawn.chance % 11 = 0 THEN 'Worth another evening' END
FROM core.users u
CROSS JOIN media.items i
JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('media.ratings/' || u.email || '/' || i.id), 1, 7))::bit(28)::integer AS chance
) AS drawn
WHERE u.email IN ('admin@homeops.local', 'user@homeops.local') AND i.type IN ('movie', 'album', 'book')
  AND drawn.chance % 8 = 0
ON CONFLICT (user_id, item_id) DO NOTHING;
