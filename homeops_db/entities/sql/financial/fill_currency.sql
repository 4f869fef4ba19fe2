CREATE OR REPLACE FUNCTION financial.fill_currency()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.currency IS NULL THEN
        SELECT a.currency INTO NEW.currency FROM financial.accounts a WHERE a.id = NEW.account_id;
        -- The words of the foreign key, which is asked only after the currency's own constraint.
        IF NOT FOUND AND NEW.account_id IS NOT NULL THEN
            RAISE EXCEPTION 'there is no account %', NEW.account_id
                USING ERRCODE = 'foreign_key_violation',
                      SCHEMA = TG_TABLE_SCHEMA,
                      TABLE = TG_TABLE_NAME,
                      CONSTRAINT = 'fk_transactions_account_id';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
