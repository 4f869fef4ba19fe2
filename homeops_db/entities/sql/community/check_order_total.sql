CREATE OR REPLACE FUNCTION community.check_order_total()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The argument of the trigger names the column that holds the order's id.
    touched uuid[] = ARRAY[to_jsonb(OLD) ->> TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[0]];
    wrong record;
BEGIN
    -- Right without a lock: whoever changes the sum must change the total too, and the row of the order
    -- lets only one do so at a time.
    SELECT o.id, o.total, s.amount INTO wrong
    FROM community.orders o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(i.amount), 0) AS amount FROM community.order_items i WHERE i.order_id = o.id
    ) s
    WHERE o.id = ANY (touched) AND o.total <> s.amount
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the items of order % add up to %, its total is %',
            wrong.id, wrong.amount, wrong.total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
