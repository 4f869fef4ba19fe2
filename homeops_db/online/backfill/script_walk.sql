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

-- After a batch that did nothing: one that met a lock is tried again after a pause, and smaller; one that failed
-- is halved down to the row to blame, and nothing grows again before its end ("until").
CREATE OR REPLACE PROCEDURE pg_temp.homeops_fall_short(
    job jsonb, leaf regclass, batch jsonb, busy_since timestamptz, INOUT span jsonb, INOUT size integer
) LANGUAGE plpgsql AS $homeops$
DECLARE
    state CONSTANT text := batch ->> 'state';
    busy CONSTANT float := extract(epoch FROM clock_timestamp() - busy_since);
BEGIN
    IF state IN ('55P03', '40P01', '40001') AND busy * 1000 < (job ->> 'give_up_after')::float THEN
        size := greatest(1, size / 2);
        PERFORM pg_sleep(least(1, greatest(0.05, busy)));
    ELSIF left(state, 2) NOT IN ('22', '23', 'P0', '44', '38', '39', '27', '09') THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = format(
            '%s: %s (SQLSTATE %s). What was done before stays, and the script goes on from there when it is run again.',
            leaf, batch ->> 'message', state);
    ELSIF size > 1 THEN
        size := size / 2;
        span := span || jsonb_build_object('until', batch -> 'reached');
    ELSE
        CALL pg_temp.homeops_refuse_row(job, leaf, span, batch ->> 'condition', state, batch ->> 'message');
    END IF;
END $homeops$;

-- After a batch that was done: how large the next window is, so that batches take as long as they shall, and
-- whether it is done in stripes. It is not for a while where stripes don't keep new versions of rows on the pages
-- of the old ones (an index covers what is set, or somebody holds an old snapshot), nor where few rows are to do.
CREATE OR REPLACE FUNCTION pg_temp.homeops_learn(
    pace jsonb, leaf regclass, batch jsonb, began timestamptz, INOUT learnt jsonb
) LANGUAGE plpgsql AS $homeops$
DECLARE
    size integer := learnt ->> 'size';
    felt CONSTANT jsonb := learnt -> 'felt' || to_jsonb(1000 * extract(epoch FROM clock_timestamp() - began));
    striped bigint := learnt ->> 'striped';
    hot CONSTANT bigint := pg_stat_get_xact_tuples_hot_updated(leaf);
BEGIN
    striped := striped + CASE batch ->> 'is_striped' WHEN 'true' THEN (batch ->> 'row_count')::bigint ELSE 0 END;
    learnt := learnt || jsonb_build_object('felt', felt, 'striped', striped);
    IF batch #>> '{moved,is_open}' = 'true' THEN
        RETURN;
    END IF;
    IF striped >= 2000 AND hot - (learnt ->> 'hot')::bigint < 0.3 * striped THEN
        learnt := learnt || jsonb_build_object('plain_until', clock_timestamp() + interval '30 s');
    END IF;
    IF striped >= 2000 OR striped = 0 THEN
        learnt := learnt || jsonb_build_object('striped', 0, 'hot', hot);
    END IF;
    learnt := learnt || jsonb_build_object('stripes', CASE
        WHEN (batch ->> 'row_count')::bigint >= 0.2 * size
            AND clock_timestamp() > (learnt ->> 'plain_until')::timestamptz THEN learnt -> 'most' ELSE '1' END);
    -- The first stripe of a window is dearer than those after it: it finds the pages full.
    size := round(size * least(2, greatest(0.5, (pace ->> 'target')::float / (
        SELECT greatest(0.001, avg(ms::float), max(ms::float) / 2) FROM jsonb_array_elements_text(felt) ms))));
    size := least((pace ->> 'max_batch_rows')::int, greatest((pace ->> 'min_batch_rows')::int, size));
    learnt := learnt || jsonb_build_object('size', size, 'felt', '[]'::jsonb);
END $homeops$;

-- Go through one span, batch by batch.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_walk(
    job jsonb, leaf regclass, span jsonb, INOUT rows_done bigint, INOUT rows_unchanged bigint
) LANGUAGE plpgsql AS $homeops$
DECLARE
    pace jsonb := job -> 'pace';
    size integer := pace ->> 'batch_rows';
    most CONSTANT jsonb := coalesce(span -> 'stripes', '1');
    learnt jsonb := jsonb_build_object('size', size, 'felt', '[]'::jsonb, 'striped', 0, 'stripes', most, 'most', most,
                                       'hot', pg_stat_get_xact_tuples_hot_updated(leaf), 'plain_until', '-infinity');
    batch jsonb;
    began timestamptz;
    busy_since timestamptz;
    heard timestamptz := clock_timestamp();
    shown timestamptz := clock_timestamp();
BEGIN
    rows_done := 0;
    rows_unchanged := 0;
    WHILE span #> '{position,low}' <> span -> 'high' OR span #>> '{position,is_open}' = 'true' LOOP
        IF span ? 'id' AND (batch ->> 'told' <> 'running' OR clock_timestamp() > heard + interval '1 s') THEN
            CALL pg_temp.homeops_hear(span, pace);
            heard := clock_timestamp();
        END IF;
        began := clock_timestamp();
        -- A window was cut so that its stripes are batches, unless one has failed since.
        span := span || jsonb_build_object('stripes', learnt -> 'stripes', 'whole', size >= (learnt ->> 'size')::int);
        batch := to_jsonb(pg_temp.homeops_batch(job, leaf, span, size));
        COMMIT;
        IF NOT {is_there} THEN
            RETURN; -- a partition that was dropped meanwhile
        ELSIF batch ->> 'state' IS NOT NULL THEN
            busy_since := coalesce(busy_since, began);
            CALL pg_temp.homeops_fall_short(job, leaf, batch, busy_since, span, size);
            CONTINUE;
        ELSIF batch ->> 'told' IS NULL THEN
            RAISE EXCEPTION 'Another run has taken the backfill of % over. What was done stays.', leaf;
        END IF;
        busy_since := NULL;
        rows_done := rows_done + (batch ->> 'row_count')::bigint;
        rows_unchanged := rows_unchanged + (batch ->> 'unchanged')::bigint;
        span := span || jsonb_build_object('position', batch -> 'moved');
        IF NOT span ? 'until' THEN
            learnt := pg_temp.homeops_learn(pace, leaf, batch, began, learnt || jsonb_build_object('size', size));
            size := learnt ->> 'size';
        ELSIF batch -> 'reached' = span -> 'until' THEN
            span := span - 'until';
        END IF;
        IF clock_timestamp() > shown + interval '10 s' THEN
            RAISE INFO '%: % rows so far', leaf, rows_done;
            shown := clock_timestamp();
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
    RAISE WARNING '% has rows that are still to do: others go on making them, a trigger sets them back, or their '
        'expression yields NULL', leaf;
END $homeops$;

