-- How a --sql script goes through one table: batch after batch, until nothing is left to do.

-- Wait until every transaction has ended that may have written to a table and has not committed yet: rows
-- of its can't be seen.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_wait_for_writers(job jsonb, leaf regclass) LANGUAGE plpgsql AS $homeops$
DECLARE
    give_up CONSTANT timestamptz := clock_timestamp() + (job ->> 'give_up_after')::float * interval '1 ms';
    writers text[] := ({writers});
BEGIN
    WHILE writers && ({writers}) LOOP
        COMMIT;
        IF clock_timestamp() > give_up THEN
            RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format(
                'A transaction has written to %s and has not ended; what it wrote can''t be seen. All other '
                'rows are done. Wait for it, then run the script again.', leaf);
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    COMMIT;
END $homeops$;

-- Hear what a backfill that is written down is told from elsewhere (homeops-db backfill …), and wait while
-- it is paused.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_hear(span jsonb, INOUT limits jsonb) LANGUAGE plpgsql AS $homeops$
DECLARE
    told text;
BEGIN
    LOOP
        UPDATE migrations.backfills b SET heartbeat_at = clock_timestamp()
        FROM migrations.backfill_ranges r
        WHERE r.id = (span ->> 'id')::bigint AND b.id = r.backfill_id AND b.epoch = (span ->> 'epoch')::bigint
        RETURNING b.state, limits || b.pace || b.retuned INTO told, limits;
        COMMIT;
        IF told = 'cancelled' THEN
            RAISE EXCEPTION 'The backfill was cancelled. What it did stays. The script goes on when it is run again.';
        END IF;
        EXIT WHEN told IS DISTINCT FROM 'paused';
        PERFORM pg_sleep(0.5);
    END LOOP;
END $homeops$;

-- Say which row it is that can't be done.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_refuse_row(
    job jsonb, leaf regclass, span jsonb, condition text, state text, message text
) LANGUAGE plpgsql AS $homeops$
DECLARE
    name text;
BEGIN
    EXECUTE format('SELECT concat_ws('', '', %s) FROM ONLY %s AS %I WHERE %s LIMIT 1',
                   (SELECT string_agg(format('%L || %I.%I::text', value || ' = ', job ->> 'alias', value), ', ')
                    FROM jsonb_array_elements_text(span #> '{axis,identity}')),
                   leaf, job ->> 'alias', condition) INTO name;
    message := format('A row of %s can''t be done: %s: %s (SQLSTATE %s). What was done before stays. Mend the row, '
                      'then run the script again.', leaf, name, message, state);
    IF span ->> 'id' IS NOT NULL THEN
        UPDATE migrations.backfills b SET state = 'failed', detail = message, finished_at = clock_timestamp()
        FROM migrations.backfill_ranges r
        WHERE r.id = (span ->> 'id')::bigint AND b.id = r.backfill_id AND b.epoch = (span ->> 'epoch')::bigint;
    END IF;
    COMMIT;
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message;
END $homeops$;

-- Go through one span. Batches grow or shrink until one takes as long as it shall. One that meets a lock is
-- tried again after a pause, and smaller; one that fails is halved down to the row to blame, and nothing
-- grows again before its end ("until"). Stripes are left out for a while where they don't keep new versions of
-- rows on the pages of the old ones (an index covers what is set, or somebody holds an old snapshot), and where
-- few rows of a page are to do.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_walk(
    job jsonb, leaf regclass, span jsonb, INOUT rows_done bigint, INOUT rows_unchanged bigint
) LANGUAGE plpgsql AS $homeops$
DECLARE
    pace jsonb := job -> 'pace';
    size integer := pace ->> 'batch_rows';
    batch record;
    began timestamptz;
    shown timestamptz := clock_timestamp();
    heard timestamptz := clock_timestamp();
    busy timestamptz;
    pause float := 0;
    felt float[] := '{}';
    stripes CONSTANT jsonb := coalesce(span -> 'stripes', '1');
    striped bigint := 0;
    hot bigint := pg_stat_get_xact_tuples_hot_updated(leaf);
    plain_until timestamptz := '-infinity';
BEGIN
    rows_done := 0;
    rows_unchanged := 0;
    WHILE span #> '{position,low}' <> span -> 'high' OR span #>> '{position,is_open}' = 'true' LOOP
        began := clock_timestamp();
        SELECT * INTO batch FROM pg_temp.homeops_batch(job, leaf, span, size);
        COMMIT;
        IF batch.state IS NULL AND batch.told IS NULL THEN
            RAISE EXCEPTION 'Another run has taken the backfill over. What was done stays.';
        ELSIF batch.state IS NULL THEN
            span := span || jsonb_build_object('position', batch.moved);
            rows_done := rows_done + batch.row_count;
            rows_unchanged := rows_unchanged + batch.unchanged;
            busy := NULL;
            pause := 0;
            felt := felt || extract(epoch FROM clock_timestamp() - began)::float * 1000;
            striped := striped + CASE WHEN batch.is_striped THEN batch.row_count ELSE 0 END;
            IF striped >= 2000 AND batch.moved ->> 'is_open' = 'false' THEN
                IF pg_stat_get_xact_tuples_hot_updated(leaf) - hot < 0.3 * striped THEN
                    plain_until := clock_timestamp() + interval '30 s';
                END IF;
                striped := 0;
                hot := pg_stat_get_xact_tuples_hot_updated(leaf);
            END IF;
            span := span || jsonb_build_object('stripes', CASE
                WHEN batch.row_count >= 0.2 * size AND clock_timestamp() > plain_until THEN stripes ELSE '1' END);
            IF batch.reached = span -> 'until' THEN
                span := span - 'until';
            ELSIF NOT span ? 'until' AND span #>> '{position,is_open}' = 'false' THEN
                -- The first stripe of a window is dearer than those after it: it finds the pages full.
                size := round(size * least(2, greatest(0.5, (pace ->> 'target')::float / (
                    SELECT greatest(0.001, avg(ms), max(ms) / 2) FROM unnest(felt) ms))));
                size := least((pace ->> 'max_batch_rows')::int, greatest((pace ->> 'min_batch_rows')::int, size));
                felt := '{}';
            END IF;
            IF span ? 'id' AND (batch.told <> 'running' OR clock_timestamp() > heard + interval '1 s') THEN
                CALL pg_temp.homeops_hear(span, pace);
                heard := clock_timestamp();
            END IF;
            IF clock_timestamp() > shown + interval '10 s' THEN
                RAISE INFO '%: % rows so far', leaf, rows_done;
                shown := clock_timestamp();
            END IF;
        ELSIF batch.state IN ('55P03', '40P01', '40001') THEN
            busy := coalesce(busy, began);
            IF clock_timestamp() > busy + (job ->> 'give_up_after')::float * interval '1 ms' THEN
                RAISE EXCEPTION USING ERRCODE = batch.state, MESSAGE = format(
                    'Rows of %s could not be locked: %s (SQLSTATE %s). What was done before stays. Wait for who '
                    'holds them, then run the script again.', leaf, batch.message, batch.state);
            END IF;
            size := greatest(1, size / 2);
            pause := least(1, greatest(0.05, pause * 2));
            PERFORM pg_sleep(pause);
        ELSIF left(batch.state, 2) NOT IN ('22', '23', 'P0', '44', '38', '39', '27', '09') THEN
            IF NOT {is_there} THEN
                RETURN; -- a partition that was dropped meanwhile
            END IF;
            RAISE EXCEPTION USING ERRCODE = batch.state, MESSAGE = format(
                '%s: %s. What was done before stays. Run the script again.', leaf, batch.message);
        ELSIF size > 1 THEN
            size := size / 2;
            span := span || jsonb_build_object('until', batch.reached);
        ELSE
            CALL pg_temp.homeops_refuse_row(job, leaf, span, batch.condition, batch.state, batch.message);
        END IF;
    END LOOP;
END $homeops$;

-- Go through the pages of a table, pass after pass, until one look at the whole of it finds no row to do:
-- while rows change their place, one pass may miss some. Where others go on making such rows, it ends too.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_by_pages(job jsonb, leaf regclass, INOUT total bigint)
LANGUAGE plpgsql AS $homeops$
DECLARE
    span jsonb := jsonb_build_object('axis', jsonb_build_object(
        'columns', '["ctid"]'::jsonb, 'types', '["tid"]'::jsonb, 'rows_per_page', ({rows_per_page}),
        'identity', coalesce((SELECT to_jsonb(k.columns) FROM ({keys}) k LIMIT 1), '["ctid"]'),
        'stripe', coalesce((SELECT pg_temp.homeops_stripe(job ->> 'alias', k.columns, k.types) FROM ({keys}) k LIMIT 1),
                           format('pg_catalog.hashtid(%I.ctid)', job ->> 'alias'))));
    rows_done bigint;
    rows_unchanged bigint;
    is_left boolean;
    idle integer := 0;
BEGIN
    FOR pass IN 1 .. 10 LOOP
        IF NOT {is_there} THEN
            RETURN;
        END IF;
        span := span || jsonb_build_object(
            'looks', pass > 1 OR job ->> 'todo' = job ->> 'where',
            'stripes', CASE WHEN pass = 1 AND job ? 'expressions' AND ({pages}) >= 64 THEN 8 ELSE 1 END,
            'high', jsonb_build_array(format('(%s,0)', ({pages}))),
            'position', jsonb_build_object('low', '["(0,0)"]'::jsonb, 'is_open', false, 'stripe', 0, 'stripes', 1));
        CALL pg_temp.homeops_walk(job, leaf, span, rows_done, rows_unchanged);
        total := total + rows_done - rows_unchanged;
        idle := CASE WHEN rows_done > rows_unchanged THEN 0 ELSE idle + 1 END;
        IF pass = 1 THEN
            CALL pg_temp.homeops_wait_for_writers(job, leaf);
        END IF;
        SET LOCAL lock_timeout = 0;
        EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s AS %I WHERE ', leaf, job ->> 'alias')
            || (job ->> 'todo') || ')' INTO is_left;
        COMMIT;
        IF NOT is_left THEN
            RETURN;
        END IF;
        EXIT WHEN idle = 2;
    END LOOP;
    RAISE WARNING '% has rows that are still to do: others go on making them, a trigger sets them back, or their expression yields NULL', leaf;
END $homeops$;

