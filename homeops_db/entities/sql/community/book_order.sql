CREATE OR REPLACE FUNCTION community.book_order(of_order uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sold community.orders;
    booked uuid;
BEGIN
    SELECT o.* INTO sold FROM community.orders o WHERE o.id = of_order FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no order %', of_order USING ERRCODE = 'no_data_found';
    END IF;
    SELECT j.id INTO booked FROM community.journal j WHERE j.reference = 'sale:' || of_order;
    IF FOUND THEN
        RETURN booked;
    END IF;
    IF sold.status <> 'paid' THEN
        RAISE EXCEPTION 'order % is %: only a paid one is booked', of_order, sold.status
            USING ERRCODE = 'check_violation';
    END IF;

    -- ON CONFLICT, because a transaction with an older snapshot can't see that it was booked meanwhile.
    INSERT INTO community.journal (kind, reference, order_id, description)
    VALUES ('sale', 'sale:' || of_order, of_order, 'Sale')
    ON CONFLICT (reference) DO NOTHING
    RETURNING id INTO STRICT booked;

    INSERT INTO community.accounts (profile_id, kind, currency)
    SELECT earner.profile_id, earner.kind, sold.currency
    FROM (
        SELECT split.profile_id, 'earnings' AS kind
        FROM community.order_items i
        CROSS JOIN LATERAL community.revenue_split(
            i.listing_id, i.amount, (sold.paid_at AT TIME ZONE 'UTC')::date
        ) split
        WHERE i.order_id = of_order
        UNION
        SELECT NULL, 'clearing'
    ) earner
    ORDER BY earner.profile_id
    ON CONFLICT (profile_id, kind, currency) DO NOTHING;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, a.id, a.currency, part.amount
    FROM (
        SELECT split.profile_id, 'earnings' AS kind, sum(split.amount) AS amount
        FROM community.order_items i
        CROSS JOIN LATERAL community.revenue_split(
            i.listing_id, i.amount, (sold.paid_at AT TIME ZONE 'UTC')::date
        ) split
        WHERE i.order_id = of_order
        GROUP BY split.profile_id
        UNION ALL
        SELECT NULL, 'clearing', -sold.total
    ) part
    JOIN community.accounts a
        ON a.profile_id IS NOT DISTINCT FROM part.profile_id
        AND a.kind = part.kind AND a.currency = sold.currency
    WHERE part.amount <> 0;
    RETURN booked;
END
$$;
