CREATE OR REPLACE FUNCTION community.book_payout(of_payout uuid, by_transaction uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due community.payouts;
    booked uuid;
BEGIN
    SELECT p.* INTO due FROM community.payouts p WHERE p.id = of_payout FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no payout %', of_payout USING ERRCODE = 'no_data_found';
    END IF;
    IF due.status = 'paid' THEN
        RETURN due.journal_id;
    END IF;

    INSERT INTO community.journal (kind, reference, description)
    VALUES ('payout', 'payout:' || of_payout, 'Payout')
    RETURNING id INTO booked;

    INSERT INTO community.accounts (kind, currency)
    VALUES ('payouts', due.currency)
    ON CONFLICT (profile_id, kind, currency) DO NOTHING;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, a.id, a.currency, CASE WHEN a.id = due.account_id THEN -due.amount ELSE due.amount END
    FROM community.accounts a
    WHERE a.id = due.account_id
       OR a.profile_id IS NULL AND a.kind = 'payouts' AND a.currency = due.currency;

    -- Refused by guard_payout where it isn't approved, or where there is less.
    UPDATE community.payouts
    SET status = 'paid', paid_at = now(), journal_id = booked, transaction_id = by_transaction
    WHERE id = of_payout;
    RETURN booked;
END
$$;
