CREATE OR REPLACE FUNCTION media.similar_items(item uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, score numeric)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- Each part is what both have of what either has, 0 to 1.
    WITH genres AS (
        SELECT theirs.item_id,
               count(*)::numeric / (
                   SELECT count(DISTINCT g.genre_id)
                   FROM media.item_genres g
                   WHERE g.item_id IN (similar_items.item, theirs.item_id)
               ) AS part
        FROM media.item_genres mine
        JOIN media.item_genres theirs ON theirs.genre_id = mine.genre_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    moods AS (
        SELECT theirs.item_id,
               sum(least(mine.weight, theirs.weight)) / (
                   (SELECT sum(m.weight) FROM media.track_moods m WHERE m.item_id = similar_items.item)
                   + (SELECT sum(m.weight) FROM media.track_moods m WHERE m.item_id = theirs.item_id)
                   - sum(least(mine.weight, theirs.weight))
               ) AS part
        FROM media.track_moods mine
        JOIN media.track_moods theirs ON theirs.mood_id = mine.mood_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    people AS (
        SELECT theirs.item_id,
               count(DISTINCT mine.person_id)::numeric / (
                   SELECT count(DISTINCT c.person_id)
                   FROM media.credits c
                   WHERE c.item_id IN (similar_items.item, theirs.item_id)
               ) AS part
        FROM media.credits mine
        JOIN media.credits theirs ON theirs.person_id = mine.person_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    parts AS (
        SELECT s.second_item_id AS item_id, 0.40 * s.score AS part
        FROM media.item_similarities s
        WHERE s.first_item_id = similar_items.item
        UNION ALL
        SELECT s.first_item_id, 0.40 * s.score
        FROM media.item_similarities s
        WHERE s.second_item_id = similar_items.item
        UNION ALL
        SELECT genres.item_id, 0.25 * genres.part FROM genres
        UNION ALL
        SELECT moods.item_id, 0.20 * moods.part FROM moods
        UNION ALL
        SELECT people.item_id, 0.15 * people.part FROM people
    )
    SELECT parts.item_id, round(sum(parts.part), 4) AS score
    FROM parts
    GROUP BY parts.item_id
    HAVING round(sum(parts.part), 4) > 0
    ORDER BY round(sum(parts.part), 4) DESC, parts.item_id
    LIMIT similar_items.wanted
$$;
