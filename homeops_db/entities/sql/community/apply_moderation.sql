CREATE OR REPLACE FUNCTION community.apply_moderation()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Locked before it is read which action is the newest: two moderators may be at work.
    PERFORM FROM community.posts p WHERE p.id = NEW.post_id FOR NO KEY UPDATE;
    PERFORM FROM community.comments c WHERE c.id = NEW.comment_id FOR NO KEY UPDATE;
    UPDATE community.posts p
    SET moderation_state = (
        SELECT a.state FROM community.moderation_actions a WHERE a.post_id = p.id ORDER BY a.id DESC LIMIT 1
    )
    WHERE p.id = NEW.post_id;
    UPDATE community.comments c
    SET moderation_state = (
        SELECT a.state
        FROM community.moderation_actions a
        WHERE a.comment_id = c.id
        ORDER BY a.id DESC
        LIMIT 1
    )
    WHERE c.id = NEW.comment_id;
    RETURN NULL;
END
$$;
