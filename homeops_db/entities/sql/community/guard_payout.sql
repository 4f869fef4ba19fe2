CREATE OR REPLACE FUNCTION community.guard_payout()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stands record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status = 'paid' THEN
            RAISE EXCEPTION 'payout % is paid, and stays', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'requested' THEN
            RAISE EXCEPTION 'a payout begins as requested, not as %', NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        IF (OLD.id, OLD.account_id, OLD.profile_id, OLD.currency, OLD.amount)
            IS DISTINCT FROM (NEW.id, NEW.account_id, NEW.profile_id, NEW.currency, NEW.amount)
            OR OLD.status = 'paid'
            AND (OLD.journal_id, OLD.paid_at) IS DISTINCT FROM (NEW.journal_id, NEW.paid_at)
        THEN
            RAISE EXCEPTION 'payout % doesn''t change its account, its amount or its booking', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status <> OLD.status
            AND (OLD.status, NEW.status) NOT IN (
                ('requested', 'approved'), ('requested', 'cancelled'),
                ('approved', 'paid'), ('approved', 'failed'), ('approved', 'cancelled')
            )
        THEN
            RAISE EXCEPTION 'payout % is %, and can''t become %', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status = OLD.status OR NEW.status <> 'paid' THEN
            RETURN NEW;
        END IF;
    END IF;

    -- Payouts of an account come one after the other. A real update, because in REPEATABLE READ a lock
    -- alone would let the second one go on with an older snapshot.
    UPDATE community.accounts SET updated_at = now() WHERE id = NEW.account_id;
    SELECT b.balance, b.available INTO stands
    FROM community.account_balances b
    WHERE b.account_id = NEW.account_id;
    IF NEW.status = 'requested' AND NEW.amount > stands.available THEN
        RAISE EXCEPTION 'account % has % available, less than the % of the payout',
            NEW.account_id, stands.available, NEW.amount
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'paid' THEN
        -- The booking came first, so the balance is already the one after it.
        IF stands.balance < 0 THEN
            RAISE EXCEPTION 'account % would be at % after the payout', NEW.account_id, stands.balance
                USING ERRCODE = 'check_violation';
        END IF;
        IF NOT EXISTS (
            SELECT FROM community.ledger_entries e
            WHERE e.journal_id = NEW.journal_id AND e.account_id = NEW.account_id AND e.amount = -NEW.amount
        ) THEN
            RAISE EXCEPTION 'payout % isn''t booked by journal %', NEW.id, NEW.journal_id
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
