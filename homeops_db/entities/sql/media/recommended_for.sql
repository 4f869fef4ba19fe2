CREATE OR REPLACE FUNCTION media.recommended_for(for_user uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, score numeric, reason text)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH best AS (
        SELECT DISTINCT ON (r.item_id) r.item_id, r.score, r.reason
        FROM media.recommendations r
        JOIN media.recommendation_models m ON m.id = r.model_id AND m.is_active
        WHERE r.user_id = recommended_for.for_user
        ORDER BY r.item_id, r.score DESC, r.rank, r.model_id
    ),
    limits AS (
        SELECT coalesce(
            (SELECT CASE jsonb_typeof(c.value) WHEN 'number' THEN (c.value #>> '{}')::numeric END
             FROM core.system_config c
             WHERE c.key = 'media.watched_percent'),
            90
        ) AS watched_percent
    ),
    done AS (
        -- Dismissed is dismissed, whichever model it came from.
        SELECT d.item_id
        FROM media.recommendations d
        WHERE d.user_id = recommended_for.for_user AND d.dismissed_at IS NOT NULL
        UNION ALL
        SELECT s.item_id
        FROM media.playback_sessions s, limits
        WHERE s.user_id = recommended_for.for_user AND s.progress_percent >= limits.watched_percent
        UNION ALL
        SELECT s.item_id
        FROM media.playback_sessions s
        JOIN media.viewing_events e ON e.session_id = s.id AND e.type = 'finish'
        WHERE s.user_id = recommended_for.for_user
        UNION ALL
        -- Days stay when their sessions and events are thrown away.
        SELECT v.item_id
        FROM media.viewing_daily v
        WHERE v.user_id = recommended_for.for_user AND v.completions > 0
    )
    SELECT best.item_id, best.score, best.reason
    FROM best
    WHERE NOT EXISTS (SELECT FROM done WHERE done.item_id = best.item_id)
    ORDER BY best.score DESC, best.item_id
    LIMIT recommended_for.wanted
$$;
