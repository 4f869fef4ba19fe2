-- Who took part, what kind it is, and who watched it. Only works of the test libraries are touched.
INSERT INTO media.people (id, name, born_on)
SELECT md5('media.people/' || given.name || ' ' || family.name)::uuid, given.name || ' ' || family.name,
       '1940-01-01'::date + (given.number * 1009 + family.number * 373)::integer % 20000
FROM unnest(ARRAY['Ada', 'Bram', 'Cleo', 'Dario', 'Edda', 'Felix', 'Greta', 'Hugo']) WITH ORDINALITY AS given (name, number)
CROSS JOIN unnest(ARRAY['Alder', 'Birch', 'Cedar', 'Elm', 'Hazel', 'Juniper', 'Maple', 'Rowan'])
    WITH ORDINALITY AS family (name, number)
ON CONFLICT (id) DO NOTHING;

-- Two or three people for each movie, show, album and book, drawn from the 64 above.
INSERT INTO media.credits (item_id, person_id, role, character_name, position)
SELECT i.id, p.id, part.role, part.character_name, part.position
FROM media.items i
JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
JOIN (VALUES
    ('movie', 'director', '', 0), ('movie', 'actor', 'The Stranger', 1), ('movie', 'actor', 'The Neighbour', 2),
    ('show', 'writer', '', 0), ('show', 'actor', 'The Captain', 1),
    ('album', 'performer', '', 0), ('book', 'author', '', 0), ('audiobook', 'author', '', 0),
    ('audiobook', 'narrator', '', 1)
) AS part (type, role, character_name, position) ON part.type = i.type
JOIN (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS number
    FROM media.people
    WHERE id = md5('media.people/' || name)::uuid
) AS p ON p.number = ('x' || substr(md5(i.id || '/' || part.position), 1, 7))::bit(28)::integer % 64
ON CONFLICT (item_id, person_id, role, character_name) DO NOTHING;

INSERT INTO media.item_genres (item_id, genre_id)
SELECT i.id, g.id
FROM media.items i
JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
JOIN (VALUES
    ('movies', ARRAY['Action', 'Adventure', 'Comedy', 'Crime', 'Documentary', 'Drama', 'Fantasy', 'Mystery', 'Romance', 'Thriller']),
    ('shows', ARRAY['Comedy', 'Crime', 'Drama', 'Documentary', 'Science fiction', 'Family', 'History', 'Mystery']),
    ('music', ARRAY['Ambient', 'Classical', 'Electronic', 'Folk', 'Jazz', 'Pop', 'Rock', 'Soul']),
    ('books', ARRAY['Biography', 'Cooking', 'Fantasy', 'History', 'Mystery', 'Poetry', 'Science', 'Travel'])
) AS shelf (type, genres) ON shelf.type = l.type
CROSS JOIN generate_series(1, 2) AS number
JOIN media.genres g
    ON g.name = shelf.genres[1 + ('x' || substr(md5(i.id || '/genre/' || number), 1, 7))::bit(28)::integer
                                 % cardinality(shelf.genres)]
WHERE i.type IN ('movie', 'show', 'album', 'book', 'audiobook')
ON CONFLICT (item_id, genre_id) DO NOTHING;

INSERT INTO media.playlists (id, user_id, name, description, is_shared)
SELECT md5('media.playlists/' || list.name)::uuid, u.id, list.name, list.description, list.is_shared
FROM (VALUES
    ('admin@homeops.local', 'Test Watchlist', 'Movies for the next weekends', false),
    ('admin@homeops.local', 'Test Dinner Music', 'Calm tracks', true),
    ('user@homeops.local', 'Test Running Mix', 'Forty minutes of tracks', false)
) AS list (email, name, description, is_shared)
JOIN core.users u ON lower(u.email) = list.email
ON CONFLICT (user_id, name) DO NOTHING;

INSERT INTO media.playlist_items (playlist_id, position, item_id)
SELECT list.id, chosen.position, chosen.item_id
FROM media.playlists list
JOIN (VALUES ('Test Watchlist', 'movie', 20), ('Test Dinner Music', 'track', 40), ('Test Running Mix', 'track', 12))
    AS wish (name, type, length) ON wish.name = list.name AND list.id = md5('media.playlists/' || wish.name)::uuid
CROSS JOIN LATERAL (
    SELECT i.id AS item_id, row_number() OVER (ORDER BY md5(i.id || wish.name)) AS position
    FROM media.items i
    JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
    WHERE i.type = wish.type
) AS chosen
WHERE chosen.position <= wish.length
ON CONFLICT (playlist_id, position) DO NOTHING;

-- Ninety evenings of playback; one in four was left before the end.
INSERT INTO media.playback_sessions (id, user_id, item_id, device_id, started_at, ended_at, progress_percent)
SELECT play.hash::uuid, play.user_id, i.id, d.id, play.started_at,
       play.started_at + i.duration_seconds * play.share * interval '1 second', round(100 * play.share, 2)
FROM (
    SELECT u.id AS user_id, named.hash,
           ('x' || substr(named.hash, 1, 7))::bit(28)::integer AS chance,
           CASE WHEN substr(named.hash, 15, 1) IN ('0', '1', '2', '3')
                THEN ('x' || substr(named.hash, 8, 4))::bit(16)::integer / 65536.0
                ELSE 1.0 END AS share,
           (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC'
               - days_ago * interval '1 day' + (18 + number) * interval '1 hour' AS started_at
    FROM core.users u
    CROSS JOIN core.system_config c
    CROSS JOIN generate_series(1, 90) AS days_ago
    CROSS JOIN generate_series(1, 3) AS number
    CROSS JOIN LATERAL (
        SELECT md5('media.playback_sessions/' || u.email || '/' || days_ago || '/' || number) AS hash
    ) AS named
    WHERE c.key = 'development.seeded_on' AND u.email IN ('admin@homeops.local', 'user@homeops.local')
) AS play
JOIN (
    SELECT i.id, i.duration_seconds, row_number() OVER (ORDER BY i.id) - 1 AS number, count(*) OVER () AS total
    FROM media.items i
    JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
    WHERE i.type IN ('movie', 'episode')
) AS i ON i.number = play.chance % i.total
LEFT JOIN smart_home.devices d ON d.serial_number = 'TEST-TV-1'
ON CONFLICT (id) DO NOTHING;
