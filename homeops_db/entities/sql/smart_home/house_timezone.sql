CREATE OR REPLACE FUNCTION smart_home.house_timezone()
RETURNS text
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((SELECT c.value #>> '{}' FROM core.system_config c WHERE c.key = 'system.timezone'), 'UTC')
$$;
