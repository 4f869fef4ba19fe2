CREATE OR REPLACE FUNCTION core.record_audit()
RETURNS trigger
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The arguments of the trigger name the columns whose values must never reach the log.
    secrets text[] = coalesce(TG_ARGV, '{}');
    before jsonb;
    after jsonb;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        before = to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        after = to_jsonb(NEW);
    END IF;
    -- session_user, because a cascading DELETE runs as the owner of the table.
    INSERT INTO core.audit_log
        (table_schema, table_name, row_key, operation, changed_columns, old_row, new_row, actor, app_user)
    VALUES (
        TG_TABLE_SCHEMA,
        TG_TABLE_NAME,
        (SELECT string_agg(coalesce(before, after) ->> a.attname, ',' ORDER BY k.position)
         FROM pg_index i
         CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = TG_RELID AND i.indisprimary),
        TG_OP,
        -- Taken before the secrets go, so that a change of a secret alone still shows its name.
        (SELECT array_agg(n.key ORDER BY n.key)
         FROM jsonb_each(after) n
         WHERE TG_OP = 'UPDATE' AND n.value IS DISTINCT FROM before -> n.key),
        before - secrets,
        after - secrets,
        session_user,
        nullif(current_setting('homeops.user_id', true), '')
    );
    RETURN NULL;
END
$$;
