CREATE OR REPLACE FUNCTION ai.search_messages(of_user uuid, query real[], wanted integer DEFAULT 10)
RETURNS TABLE (
    message_id uuid,
    conversation_id uuid,
    role text,
    content text,
    created_at timestamptz,
    distance double precision
)
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
    few CONSTANT integer = 2000;
    is_few boolean;
    breadth text;
    iteration text;
BEGIN
    IF wanted IS NULL OR wanted NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'from 1 to 500 messages can be wanted, not %', coalesce(wanted::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF query IS NULL OR 0 = ALL (query) THEN
        RAISE EXCEPTION 'a vector of zeros has no direction to search in'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The index holds everybody's messages. Of a person with few, it may find none among the nearest,
    -- so few are compared one by one.
    SELECT count(*) <= few INTO is_few
    FROM (
        SELECT
        FROM ai.conversations c
        JOIN ai.messages m ON m.conversation_id = c.id
        WHERE c.user_id = of_user
        LIMIT few + 1
    ) AS said;
    -- The first use of the type loads the extension's library, which brings the settings.
    EXECUTE format('SELECT %1$I.vector_dims(''[1]''::%1$I.vector)', home);
    breadth = current_setting('hnsw.ef_search');
    iteration = current_setting('hnsw.iterative_scan', true);
    PERFORM set_config('hnsw.ef_search', greatest(breadth::integer, 100, 2 * wanted)::text, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    END IF;
    -- All that are as far as the last one, so that the outer order decides between them.
    RETURN QUERY EXECUTE format(
        CASE WHEN is_few THEN
            'WITH near AS MATERIALIZED (
                 SELECT m.id, e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector AS distance
                 FROM ai.conversations c
                 JOIN ai.messages m ON m.conversation_id = c.id
                 JOIN ai.message_embeddings e ON e.message_id = m.id
                 WHERE c.user_id = $1 AND e.model = $3
             )'
        ELSE
            'WITH near AS (
                 SELECT m.id, e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector AS distance
                 FROM ai.message_embeddings e
                 JOIN ai.messages m ON m.id = e.message_id
                 JOIN ai.conversations c ON c.id = m.conversation_id
                 WHERE c.user_id = $1 AND e.model = $3
                 ORDER BY e.embedding OPERATOR(%1$I.<=>) $2::%1$I.vector
                 FETCH FIRST $4 ROWS WITH TIES
             )'
        END
        || 'SELECT m.id, m.conversation_id, m.role, m.content, m.created_at, near.distance
            FROM near
            JOIN ai.messages m ON m.id = near.id
            ORDER BY near.distance, m.id
            LIMIT $4',
        home
    ) USING of_user, query, space, wanted;
    PERFORM set_config('hnsw.ef_search', breadth, true);
    IF iteration IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', iteration, true);
    END IF;
END
$$;
