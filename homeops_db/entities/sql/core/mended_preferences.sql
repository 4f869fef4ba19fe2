CREATE OR REPLACE FUNCTION core.mended_preferences(stored jsonb)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
STRICT
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    read jsonb = stored;
BEGIN
    IF jsonb_typeof(stored) = 'object' THEN
        RETURN stored;
    END IF;
    -- A client that encoded what was encoded already stored a text with JSON in it, once or more often.
    BEGIN
        WHILE jsonb_typeof(read) = 'string' LOOP
            read = (read #>> '{}')::jsonb;
        END LOOP;
    EXCEPTION
        WHEN data_exception OR statement_too_complex THEN
            read = '{}';
    END;
    IF jsonb_typeof(read) <> 'object' THEN
        read = '{}';
    END IF;
    -- What was stored stays beside it, so that nothing is lost and the way back is exact.
    RETURN read || jsonb_build_object('_stored_as', stored);
END
$$;
