CREATE OR REPLACE FUNCTION ai.similar_items(item uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, title text, type text, distance double precision)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'vector');
    space text = (SELECT m.name FROM ai.embedding_models m WHERE m.is_default);
    breadth text;
    iteration text;
BEGIN
    IF wanted IS NULL OR wanted NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'from 1 to 500 similar items can be wanted, not %', coalesce(wanted::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM ai.item_embeddings e WHERE e.item_id = item AND e.model = space) THEN
        RETURN;
    END IF;
    -- The first use of the type loads the extension's library, which brings the settings.
    EXECUTE format('SELECT %1$I.vector_dims(''[1]''::%1$I.vector)', home);
    breadth = current_setting('hnsw.ef_search');
    iteration = current_setting('hnsw.iterative_scan', true);
    PERFORM set_config('hnsw.ef_search', greatest(breadth::integer, 100, 2 * wanted)::text, true);
    -- From pgvector 0.8 on: what the index finds of other models doesn't count.
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    END IF;
    -- All that are as far as the last one, so that the outer order decides between them.
    RETURN QUERY EXECUTE format(
        'SELECT near.item_id, i.title, i.type, near.distance
         FROM (
             SELECT e.item_id, e.embedding OPERATOR(%1$I.<=>) this.embedding AS distance
             FROM ai.item_embeddings e
             CROSS JOIN (
                 SELECT (SELECT t.embedding FROM ai.item_embeddings t
                         WHERE t.item_id = $1 AND t.model = $2) AS embedding
             ) AS this
             WHERE e.model = $2 AND e.item_id <> $1
             ORDER BY e.embedding OPERATOR(%1$I.<=>) this.embedding
             FETCH FIRST $3 ROWS WITH TIES
         ) AS near
         JOIN media.items i ON i.id = near.item_id
         ORDER BY near.distance, near.item_id
         LIMIT $3',
        home
    ) USING item, space, wanted;
    PERFORM set_config('hnsw.ef_search', breadth, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', iteration, true);
    END IF;
END
$$;
