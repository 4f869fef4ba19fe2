CREATE OR REPLACE FUNCTION community.check_journal_balance()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched uuid[] = ARRAY[to_jsonb(OLD) ->> 'journal_id', to_jsonb(NEW) ->> 'journal_id'];
    wrong record;
BEGIN
    -- Right without a lock: what adds up to zero in each of two transactions does so in both together.
    SELECT e.journal_id, e.currency, sum(e.amount) AS amount INTO wrong
    FROM community.ledger_entries e
    WHERE e.journal_id = ANY (touched)
    GROUP BY e.journal_id, e.currency
    HAVING sum(e.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the entries of journal % add up to % %, not to zero',
            wrong.journal_id, wrong.amount, wrong.currency
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
