CREATE OR REPLACE FUNCTION community.guard_licence_grant()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    state text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.order_item_id = OLD.order_item_id THEN
        RETURN NEW;
    END IF;
    -- The lock makes a refund under way come first, or wait.
    SELECT o.status INTO state
    FROM community.order_items i
    JOIN community.orders o ON o.id = i.order_id
    WHERE i.id = NEW.order_item_id
    FOR SHARE OF o;
    IF state <> 'paid' THEN
        RAISE EXCEPTION 'order item % is of an order that is %: a licence is granted for a paid one',
            NEW.order_item_id, state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
