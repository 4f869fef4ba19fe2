CREATE OR REPLACE VIEW media.viewing_statistics AS
SELECT u.id AS user_id,
       count(DISTINCT d.viewed_on) AS days,
       count(DISTINCT d.item_id) AS items,
       coalesce(sum(d.sessions), 0) AS sessions,
       coalesce(sum(d.completions), 0) AS completions,
       coalesce(sum(d.seconds_watched), 0)::bigint AS seconds_watched,
       min(d.viewed_on) AS first_viewed_on,
       max(d.viewed_on) AS last_viewed_on,
       (SELECT g.name
        FROM media.viewing_daily f
        JOIN media.item_genres i ON i.item_id = f.item_id
        JOIN media.genres g ON g.id = i.genre_id
        WHERE f.user_id = u.id
        GROUP BY g.name
        ORDER BY sum(f.seconds_watched) DESC, g.name
        LIMIT 1) AS favourite_genre
FROM core.users u
LEFT JOIN media.viewing_daily d ON d.user_id = u.id
GROUP BY u.id;
