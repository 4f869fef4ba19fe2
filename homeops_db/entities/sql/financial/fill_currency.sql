CREATE OR REPLACE FUNCTION financial.fill_currency()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.currency IS NULL THEN
        SELECT a.currency INTO NEW.currency FROM financial.accounts a WHERE a.id = NEW.account_id;
    END IF;
    RETURN NEW;
END
$$;
