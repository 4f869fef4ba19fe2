CREATE OR REPLACE FUNCTION community.guard_moderation()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    latest text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.moderation_state NOT IN ('pending', 'visible') THEN
            RAISE EXCEPTION '% needs a moderation action', NEW.moderation_state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.moderation_state IS NOT DISTINCT FROM OLD.moderation_state THEN
        RETURN NEW;
    END IF;
    -- The argument of the trigger names the column by which actions refer to this table.
    SELECT a.state INTO latest
    FROM community.moderation_actions a
    WHERE CASE TG_ARGV[0] WHEN 'post_id' THEN a.post_id = NEW.id ELSE a.comment_id = NEW.id END
    ORDER BY a.id DESC
    LIMIT 1;
    IF latest IS DISTINCT FROM NEW.moderation_state THEN
        RAISE EXCEPTION '% % becomes % by a moderation action alone',
            TG_TABLE_NAME, NEW.id, NEW.moderation_state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
