CREATE OR REPLACE FUNCTION community.guard_order()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' THEN
            RAISE EXCEPTION 'an order begins as open, not as %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.status IN ('paid', 'refunded') THEN
            RAISE EXCEPTION 'order % is %, and stays', OLD.id, OLD.status USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.status <> OLD.status
        AND (OLD.status, NEW.status) NOT IN (('open', 'paid'), ('open', 'cancelled'), ('paid', 'refunded'))
    THEN
        RAISE EXCEPTION 'order % is %, and can''t become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status <> 'open'
        AND (OLD.id, OLD.buyer_id, OLD.currency, OLD.total, OLD.paid_at)
            IS DISTINCT FROM (NEW.id, NEW.buyer_id, NEW.currency, NEW.total, NEW.paid_at)
    THEN
        RAISE EXCEPTION 'order % is %, and doesn''t change', OLD.id, OLD.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'open' AND NEW.status = 'paid'
        AND NOT EXISTS (SELECT FROM community.order_items i WHERE i.order_id = OLD.id)
    THEN
        RAISE EXCEPTION 'order % has no items, so there is nothing to pay', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
