INSERT INTO media.libraries (id, name, type, path, created_at, updated_at)
SELECT pg_temp.key('libraries', n), initcap(kind) || ' ' || n, kind, '/srv/media/' || kind || '/' || n,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('libraries', $media_libraries)
CROSS JOIN LATERAL (SELECT ('{movies,shows,music,books}'::text[])[1 + n % 4] AS kind) AS kinds;

-- Ten items stand together in a library: a show and its episodes, an album and its tracks, or ten of their own.
INSERT INTO media.items
    (id, library_id, parent_id, title, type, part_number, released_on, duration_seconds, rating, file_path, details,
     created_at, updated_at)
SELECT pg_temp.key('items', n), pg_temp.key('libraries', library),
       CASE WHEN library % 4 IN (1, 2) AND n % 10 > 0 THEN pg_temp.key('items', n - n % 10) END,
       pg_temp.word(h, 0, '{The Long,A Quiet,Our Last,Under the,Beyond the,Song of the}') || ' '
       || pg_temp.word(h, 1, '{Winter,Harbour,Garden,Road,Machine,River,Evening,House}') || ' ' || n,
       CASE library % 4 WHEN 0 THEN 'movie' WHEN 3 THEN 'book'
            WHEN 1 THEN CASE WHEN n % 10 = 0 THEN 'show' ELSE 'episode' END
            ELSE CASE WHEN n % 10 = 0 THEN 'album' ELSE 'track' END END,
       CASE WHEN library % 4 IN (1, 2) AND n % 10 > 0 THEN n % 10 END,
       date '1970-01-01' + pg_temp.part(h, 2, 19000)::int, 120 + pg_temp.part(h, 3, 9000),
       pg_temp.part(h, 4, 101) / 10.0, '/srv/media/' || n, jsonb_build_object('year', 1970 + pg_temp.part(h, 2, 52)),
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('items', $media_items)
-- There is no row 0 that could be the first ten's show or album: those rows are books.
CROSS JOIN LATERAL (
    SELECT CASE WHEN n < 10 THEN 3 ELSE 1 + n / 10 % $media_libraries END AS library
) AS libraries;

INSERT INTO media.people (id, name, born_on, died_on, biography, created_at, updated_at)
SELECT pg_temp.key('people', n), pg_temp.first_name(h, 0) || ' ' || pg_temp.last_name(h, 1),
       date '1930-01-01' + pg_temp.part(h, 2, 25000)::int, NULL,
       CASE WHEN n % 5 = 0 THEN 'Biography of number ' || n END, pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('people', $media_people);

INSERT INTO media.credits (id, item_id, person_id, role, character_name, position)
SELECT pg_temp.key('credits', n), pg_temp.key('items', 1 + n % $media_items),
       pg_temp.any_key(h, 0, 'people', $media_people),
       CASE WHEN n <= $media_items THEN 'director' ELSE 'actor' END,
       CASE WHEN n <= $media_items THEN '' ELSE pg_temp.first_name(h, 1) END, n % 7
FROM pg_temp.rows_of('credits', $media_credits);

INSERT INTO media.genres (id, name)
SELECT pg_temp.key('genres', n), 'Genre ' || n
FROM pg_temp.rows_of('genres', $media_genres);

INSERT INTO media.item_genres (item_id, genre_id)
SELECT pg_temp.key('items', n), pg_temp.any_key(h, 0, 'genres', $media_genres)
FROM pg_temp.rows_of('item_genres', $media_item_genres);

INSERT INTO media.playlists (id, user_id, name, description, is_shared, created_at, updated_at)
SELECT pg_temp.key('playlists', n), pg_temp.key('users', 1 + n % $core_users),
       pg_temp.word(h, 0, '{Favourites,For the road,Sunday,Later}') || ' ' || n, NULL, pg_temp.part(h, 1, 4) = 0,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('playlists', $media_playlists);

INSERT INTO media.playlist_items (playlist_id, position, item_id, added_at)
SELECT pg_temp.key('playlists', 1 + n % $media_playlists), n / $media_playlists,
       pg_temp.any_key(h, 0, 'items', $media_items), pg_temp.moment(n, $media_playlist_items)
FROM pg_temp.rows_of('playlist_items', $media_playlist_items);

INSERT INTO media.playback_sessions (id, user_id, item_id, device_id, started_at, ended_at, progress_percent)
SELECT pg_temp.key('playback_sessions', n), pg_temp.any_key(h, 0, 'users', $core_users),
       pg_temp.any_key(h, 1, 'items', $media_items),
       CASE WHEN pg_temp.part(h, 2, 5) > 0 THEN pg_temp.any_key(h, 2, 'devices', $smart_home_devices) END,
       pg_temp.moment(n, $media_playback_sessions),
       pg_temp.moment(n, $media_playback_sessions, 30 + pg_temp.part(h, 3, 9000)), pg_temp.part(h, 4, 10001) / 100.0
FROM pg_temp.rows_of('playback_sessions', $media_playback_sessions);
