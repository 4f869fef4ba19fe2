CREATE OR REPLACE FUNCTION community.book_refund(of_order uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refunded community.orders;
    sale uuid;
    booked uuid;
BEGIN
    SELECT o.* INTO refunded FROM community.orders o WHERE o.id = of_order FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no order %', of_order USING ERRCODE = 'no_data_found';
    END IF;
    SELECT j.id INTO booked FROM community.journal j WHERE j.reference = 'refund:' || of_order;
    IF FOUND THEN
        RETURN booked;
    END IF;
    SELECT j.id INTO sale FROM community.journal j WHERE j.reference = 'sale:' || of_order;
    IF refunded.status <> 'refunded' OR sale IS NULL THEN
        RAISE EXCEPTION 'order % is no booked sale that was refunded', of_order
            USING ERRCODE = 'check_violation';
    END IF;

    INSERT INTO community.journal (kind, reference, order_id, description)
    VALUES ('refund', 'refund:' || of_order, of_order, 'Refund')
    ON CONFLICT (reference) DO NOTHING
    RETURNING id INTO STRICT booked;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, e.account_id, e.currency, -sum(e.amount)
    FROM community.ledger_entries e
    WHERE e.journal_id = sale
    GROUP BY e.account_id, e.currency
    HAVING sum(e.amount) <> 0;
    RETURN booked;
END
$$;
