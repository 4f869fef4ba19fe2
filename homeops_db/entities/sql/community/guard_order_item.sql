CREATE OR REPLACE FUNCTION community.guard_order_item()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ordered record;
BEGIN
    -- The lock makes a payment under way come first, or wait for this item.
    FOR ordered IN
        SELECT o.id, o.status
        FROM community.orders o
        WHERE o.id IN (OLD.order_id, NEW.order_id)
        ORDER BY o.id
        FOR NO KEY UPDATE
    LOOP
        IF ordered.status <> 'open' THEN
            RAISE EXCEPTION 'order % is %, and its items don''t change', ordered.id, ordered.status
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
