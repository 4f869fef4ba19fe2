-- How a --sql script goes through tables: batch after batch, until nothing is left to do.

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
-- grows again before its end ("until").
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
            IF batch.reached = span -> 'until' THEN
                span := span - 'until';
            ELSIF NOT span ? 'until' THEN
                size := round(size * least(2, greatest(0.5, (pace ->> 'target')::float / greatest(
                    0.001, extract(epoch FROM clock_timestamp() - began) * 1000))));
                size := least((pace ->> 'max_batch_rows')::int, greatest((pace ->> 'min_batch_rows')::int, size));
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
        'identity', coalesce((SELECT to_jsonb(k.columns) FROM ({keys}) k LIMIT 1), '["ctid"]')));
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
            'looks', pass > 1 OR job ->> 'todo' = job ->> 'where', 'high', jsonb_build_array(format('(%s,0)', ({pages}))), 'position', jsonb_build_object(
                'low', '["(0,0)"]'::jsonb, 'is_open', false, 'stripe', 0, 'stripes', 1));
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

-- Take the backfill over that a broken run of the same revision left, or write a new one down. NULL: such a
-- run has done all of it.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_claim(job jsonb, INOUT claimed bigint, INOUT claimed_epoch bigint)
LANGUAGE plpgsql AS $homeops$
DECLARE
    tries integer := 0;
    found_state text;
    step jsonb;
BEGIN
    WHILE NOT pg_try_advisory_lock((job ->> 'lock')::bigint) LOOP
        COMMIT;
        tries := tries + 1;
        IF tries > 20 THEN
            RAISE EXCEPTION 'Another session is at work on the same backfill of %. Nothing was changed. Wait for it.',
                job ->> 'subject';
        END IF;
        PERFORM pg_sleep(0.1);
    END LOOP;
    SELECT b.id, b.state INTO claimed, found_state FROM migrations.backfills b
    WHERE b.fingerprint = job ->> 'fingerprint' AND b.state <> 'replaced' ORDER BY b.id DESC LIMIT 1;
    IF found_state = 'done' AND EXISTS (
        SELECT FROM migrations.schema_events e
        WHERE e.version = job ->> 'version' AND e.event = 'step'
          AND e.detail::jsonb @> jsonb_build_object('operation', job -> 'operation', 'backfill', claimed)
          AND e.id > coalesce((SELECT max(o.id) FROM migrations.schema_events o
                               WHERE o.version = e.version AND o.event IN ('finished', 'stamped')), 0)
    ) THEN
        claimed := NULL;
        RETURN;
    END IF;
    IF found_state IS NULL OR found_state = 'done' THEN
        UPDATE migrations.backfills b SET state = 'replaced', finished_at = clock_timestamp()
        WHERE b.version = job ->> 'version' AND b.operation = job ->> 'operation' AND b.relation = job ->> 'subject'
          AND b.fingerprint <> job ->> 'fingerprint' AND b.state NOT IN ('done', 'replaced');
        INSERT INTO migrations.backfills (operation, relation, version, fingerprint, definition, pace, client)
        VALUES (job ->> 'operation', job ->> 'subject', job ->> 'version', job ->> 'fingerprint',
                job -> 'definition', job -> 'pace', 'a script of --sql')
        RETURNING id INTO claimed;
    END IF;
    UPDATE migrations.backfills b SET epoch = b.epoch + 1,
        state = CASE b.state WHEN 'paused' THEN b.state ELSE 'running' END, phase = 'filling', detail = NULL,
        run_by = current_user, client = 'a script of --sql', finished_at = NULL, heartbeat_at = clock_timestamp(),
        workers = 1
    WHERE b.id = claimed RETURNING b.epoch INTO claimed_epoch;
    UPDATE migrations.backfill_ranges r SET epoch = claimed_epoch WHERE r.backfill_id = claimed;
    IF job ->> 'version' IS NOT NULL THEN
        INSERT INTO migrations.schema_events (version, direction, event, client, detail)
        VALUES (job ->> 'version', job ->> 'direction', 'step', 'a script of --sql',
                jsonb_build_object('operation', job -> 'operation', 'backfill', claimed)::text);
    END IF;
    COMMIT;
END $homeops$;

-- Go through tables by their keys. Each row is done once, by its place: that moves in the same statement.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_by_keys(job jsonb, leaves regclass[], axes jsonb[], INOUT total bigint)
LANGUAGE plpgsql AS $homeops$
DECLARE
    claimed bigint;
    claimed_epoch bigint;
    place integer;
    high jsonb;
    span record;
    rows_done bigint;
    rows_unchanged bigint;
BEGIN
    CALL pg_temp.homeops_claim(job, claimed, claimed_epoch);
    IF claimed IS NULL THEN
        RETURN;
    END IF;
    UPDATE migrations.backfill_ranges r SET is_done = true
    WHERE r.backfill_id = claimed AND r.is_closing AND NOT r.is_done;
    COMMIT;
    FOR place IN 1 .. cardinality(leaves) LOOP
        CONTINUE WHEN EXISTS (SELECT FROM migrations.backfill_ranges r
                              WHERE r.backfill_id = claimed AND r.axis -> 'oid' = axes[place] -> 'oid');
        -- A lower key may be committed later than a higher one: then it isn't yet to be seen.
        CALL pg_temp.homeops_wait_for_writers(job, leaves[place]);
        high := pg_temp.homeops_nth(leaves[place], axes[place], job ->> 'alias', 'true', ' DESC', 1);
        INSERT INTO migrations.backfill_ranges (backfill_id, relation, axis, high, epoch)
        SELECT claimed, ({name}), axes[place], high, claimed_epoch FROM (SELECT leaves[place]) l (leaf)
        WHERE high IS NOT NULL;
        COMMIT;
    END LOOP;
    FOR span IN
        SELECT r.id, r.axis, r.high, (r.axis ->> 'oid')::oid::regclass AS leaf,
               coalesce(r.position, jsonb_build_object('low', r.low, 'high', NULL, 'is_open', false, 'stripe', 0,
                                                       'stripes', 1, 'after', NULL)) AS position
        FROM migrations.backfill_ranges r 
        WHERE r.backfill_id = claimed AND NOT r.is_done ORDER BY r.id
    LOOP
        CALL pg_temp.homeops_walk(
            job, span.leaf, to_jsonb(span) || jsonb_build_object('epoch', claimed_epoch, 'looks', true),
            rows_done, rows_unchanged);
        total := total + rows_done;
    END LOOP;
    -- No row that was done meets the author's condition any more: so that tells which ones are left.
    IF job ->> 'where' IS NOT NULL AND (
        SELECT sum(r.rows_done) > 0 AND sum(r.rows_unchanged) = 0
        FROM migrations.backfill_ranges r WHERE r.backfill_id = claimed
    ) THEN
        FOR place IN 1 .. cardinality(leaves) LOOP
            CALL pg_temp.homeops_by_pages(job || jsonb_build_object('todo', job -> 'still'), leaves[place], total);
        END LOOP;
    END IF;
    UPDATE migrations.backfills b SET state = 'done', phase = '', finished_at = clock_timestamp()
    WHERE b.id = claimed AND b.epoch = claimed_epoch AND b.state <> 'cancelled';
    PERFORM pg_advisory_unlock((job ->> 'lock')::bigint);
    COMMIT;
END $homeops$;

-- The condition by which rows to do tell themselves from those that are done; NULL where nothing does. An
-- empty copy of the table is asked whether the expressions are immutable and what they read. Rows are compared
-- by their image: json has no equality, boxes of one size are equal, and so are '1 day' and '24 hours'.
CREATE OR REPLACE FUNCTION pg_temp.homeops_todo(job jsonb, relation regclass) RETURNS text LANGUAGE plpgsql
AS $homeops$
DECLARE
    alias CONSTANT text := job ->> 'alias';
    names CONSTANT text[] := array(SELECT jsonb_array_elements_text(job -> 'columns'));
    expressions CONSTANT text[] := array(SELECT jsonb_array_elements_text(job -> 'expressions'));
    nulls CONSTANT text[] := array(SELECT jsonb_array_elements_text(job -> 'nulls'));
    condition CONSTANT text := job ->> 'where';
    stored CONSTANT text := (SELECT string_agg(format('%I.%I', alias, c), ', ') FROM unnest(names) c);
    assigned text[] := '{}';
    has_read text[] := '{}';
    tells boolean := true;
    made record;
    told text;
BEGIN
    EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %s INCLUDING GENERATED)', alias, relation);
    FOR place IN 1 .. cardinality(names) LOOP
        SELECT * INTO made FROM ({assignment}) m;
        -- A cast cuts what an assignment refuses for its length: such a row would seem to be done.
        assigned := assigned || CASE WHEN made.length_function IS NULL
            THEN format('(%s)::%s', expressions[place], made.cast)
            ELSE format('%s((%s)::%s, %s, false)::%s', made.length_function, expressions[place], made.base,
                        made.modifier, made.type) END;
        BEGIN
            EXECUTE format('CREATE INDEX homeops_reads ON pg_temp.%I (((', alias) || assigned[place] || ') IS NULL))';
            has_read := has_read || array({read_by_index});
            DROP INDEX pg_temp.homeops_reads;
            tells := tells AND NOT made.is_made_of_parts;
        EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN
            tells := false; -- not immutable, or more than the columns of a row is read
        END;
    END LOOP;
    EXECUTE format('DROP TABLE pg_temp.%I', alias);
    IF tells AND NOT has_read && names THEN
        told := format('ROW(%s)::record OPERATOR(pg_catalog.*<>) ROW(%s)::record', stored,
                       array_to_string(assigned, ', '));
        RETURN coalesce('CASE WHEN (' || condition || ') THEN ' || told || ' ELSE false END', told);
    ELSIF cardinality(nulls) = 0 THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TEMPORARY VIEW homeops_reads (%s) AS SELECT ',
                   (SELECT string_agg('c' || n, ', ') FROM generate_series(1, cardinality(names)) n))
        || array_to_string(assigned, ', ') || format(' FROM ONLY %s AS %I', relation, alias);
    has_read := ({read_by_view});
    DROP VIEW pg_temp.homeops_reads;
    -- Where its expression gives NULL, a row is done again: so it may read what is set only if that is NULL still.
    RETURN CASE WHEN array(SELECT unnest(has_read) INTERSECT SELECT unnest(names)) <@ nulls THEN condition END;
END $homeops$;

-- Everything is looked at, and refused, before anything is changed.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_batches(job jsonb) LANGUAGE plpgsql AS $homeops$
DECLARE
    relation CONSTANT regclass := (job ->> 'table')::regclass;
    leaf regclass;
    leaves regclass[];
    axis jsonb;
    axes jsonb[] := '{}';
    todo text;
    no_table text;
    total bigint := 0;
BEGIN
    SELECT coalesce(array_agg(t.oid::regclass) FILTER (WHERE t.kind = 'r'), '{}'),
           min(t.oid::regclass::text) FILTER (WHERE t.kind NOT IN ('r', 'p'))
    INTO leaves, no_table
    FROM ({tree}) t WHERE t.oid = relation OR NOT coalesce((job ->> 'only')::boolean, false);
    IF no_table IS NOT NULL THEN
        RAISE EXCEPTION '% is no table that can be gone through in batches. Nothing was changed.', no_table;
    END IF;
    IF job ? 'check' THEN
        BEGIN
            EXECUTE job ->> 'check';
        EXCEPTION WHEN grouping_error THEN
            RAISE EXCEPTION 'The select aggregates, and each batch would take its own rows only. Nothing was changed.';
        END;
        job := job || jsonb_build_object('before', (job ->> 'before') || ({column_names}) || (job ->> 'named'));
    END IF;
    FOREACH leaf IN ARRAY leaves LOOP
        -- What the server refuses, it refuses of the plan already; so too where a policy would hide rows.
        EXECUTE 'EXPLAIN ' || pg_temp.homeops_statement(job, leaf, '{}', 'false', NULL, false);
    END LOOP;
    IF job ? 'expressions' THEN
        todo := pg_temp.homeops_todo(job, relation);
        job := job || jsonb_build_object(
            'todo', todo, 'behind', ' AND (' || coalesce(todo, job ->> 'where', 'true') || ')',
            'still', '((' || coalesce(todo, job ->> 'where', 'false') || ') IS TRUE)');
    END IF;
    FOREACH leaf IN ARRAY CASE WHEN job ->> 'todo' IS NULL THEN leaves ELSE '{}' END LOOP
        SELECT jsonb_build_object('oid', leaf::oid::bigint, 'columns', k.columns, 'types', k.types, 'identity', k.columns, 'stripe',
                                  format('pg_catalog.hashtext(%I.%I::text)', job ->> 'alias', k.columns[1]))
        INTO axis
        FROM ({keys}) k
        WHERE NOT k.columns && array(SELECT jsonb_array_elements_text(job -> 'columns'))
        ORDER BY k.is_primary DESC, cardinality(k.columns), k.index LIMIT 1;
        IF axis IS NULL THEN
            RAISE EXCEPTION 'Nothing tells the rows of % that are done from the others, and it has no unique key '
                'without nulls (that stays as it is) to go by. Nothing was changed. Give where= a condition that a '
                'row no longer meets when it is done, like "new_column IS NULL", or the table a primary key.', leaf;
        END IF;
        axes := axes || axis;
    END LOOP;
    PERFORM set_config('lock_timeout', job ->> 'lock_timeout', false);
    COMMIT;
    IF job ->> 'todo' IS NULL THEN
        CALL pg_temp.homeops_by_keys(job, leaves, axes, total);
    ELSE
        FOREACH leaf IN ARRAY leaves LOOP
            CALL pg_temp.homeops_by_pages(job, leaf, total);
        END LOOP;
    END IF;
    RAISE INFO '%: % rows done', job ->> 'subject', total;
END $homeops$;
