CREATE OR REPLACE FUNCTION smart_home.drop_old_energy_readings(older_than interval)
RETURNS TABLE (dropped text, readings bigint)
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text = smart_home.house_timezone();
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'timescaledb');
    is_hypertable boolean = false;
    first_day date;
    kept_day date;
    kept_from timestamptz;
BEGIN
    -- With less, the youngest day to drop could still be running.
    IF older_than IS NULL OR older_than < interval '2 days' THEN
        RAISE EXCEPTION 'readings are kept for at least 2 days, not for %', coalesce(older_than::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT * FROM smart_home.drop_old_energy_readings(''90 days'')';
    END IF;
    kept_day = ((now() - older_than) AT TIME ZONE zone)::date;
    kept_from = kept_day::timestamp AT TIME ZONE zone;
    SELECT (min(f.recorded_at) AT TIME ZONE zone)::date INTO first_day
    FROM smart_home.energy_meters m
    CROSS JOIN LATERAL (
        SELECT r.recorded_at
        FROM smart_home.energy_readings r
        WHERE r.meter_id = m.id
        ORDER BY r.recorded_at
        LIMIT 1
    ) f;
    IF first_day IS NULL OR first_day >= kept_day THEN
        RETURN;
    END IF;

    -- Rolled up here, not refused: a nightly job that was missed once must not let the disk fill up.
    PERFORM smart_home.roll_up_energy(first_day, kept_day - 1);
    UPDATE smart_home.energy_daily d SET is_sealed = true WHERE d.day < kept_day AND NOT d.is_sealed;

    IF home IS NOT NULL THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM timescaledb_information.hypertables'
            ' WHERE hypertable_schema = ''smart_home'' AND hypertable_name = ''energy_readings'')'
        INTO is_hypertable;
    END IF;
    IF NOT is_hypertable THEN
        dropped = 'smart_home.energy_readings';
        DELETE FROM smart_home.energy_readings r WHERE r.recorded_at < kept_from;
        GET DIAGNOSTICS readings = ROW_COUNT;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Only whole chunks go, so the youngest of these days may stay a while.
    FOR dropped IN
        EXECUTE format('SELECT %I.show_chunks(%L, older_than => $1)', home, 'smart_home.energy_readings')
        USING kept_from
    LOOP
        EXECUTE format('SELECT count(*) FROM %s', dropped) INTO readings;
        RETURN NEXT;
    END LOOP;
    EXECUTE format('SELECT %I.drop_chunks(%L, older_than => $1)', home, 'smart_home.energy_readings')
    USING kept_from;
END
$$;
