-- The procedures of a --sql script that decide how it is done, and keep what has to be known by another run.

-- Take the backfill over that a broken run of the same revision left, or write a new one down. NULL: such a
-- run has done all of it.
CREATE OR REPLACE PROCEDURE pg_temp.homeops_claim(job jsonb, INOUT claimed bigint, INOUT claimed_epoch bigint)
LANGUAGE plpgsql AS $homeops$
DECLARE
    tries integer := 0;
    known record;
    has_rows boolean := true;
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
    SELECT b.id, b.state, b.definition, (SELECT sum(r.rows_done) FROM migrations.backfill_ranges r
                                         WHERE r.backfill_id = b.id) AS rows_done
    INTO known FROM migrations.backfills b
    WHERE b.fingerprint = job ->> 'fingerprint' AND b.state <> 'replaced' ORDER BY b.id DESC LIMIT 1;
    IF known.rows_done > 0 AND known.state <> 'done' AND job ? 'target' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', job ->> 'target') INTO has_rows;
    END IF;
    claimed := known.id;
    IF known.definition -> 'of' <> job -> 'of' OR NOT has_rows THEN
        -- Its tables or columns were made anew since, or what it copied was taken out: it counts for nothing.
        UPDATE migrations.backfills b SET state = 'replaced', finished_at = clock_timestamp()
        WHERE b.id = known.id AND b.state <> 'done';
        claimed := NULL;
    ELSIF known.state = 'done' AND EXISTS (
        SELECT FROM migrations.schema_events e
        WHERE e.version = job ->> 'version' AND e.event = 'step'
          AND e.detail::jsonb @> jsonb_build_object('operation', job -> 'operation', 'backfill', known.id)
          AND e.id > coalesce((SELECT max(o.id) FROM migrations.schema_events o
                               WHERE o.version = e.version AND o.event IN ('finished', 'stamped')), 0)
    ) THEN
        claimed := NULL;
        RETURN;
    END IF;
    IF claimed IS NULL OR known.state = 'done' THEN
        UPDATE migrations.backfills b SET state = 'replaced', finished_at = clock_timestamp()
        WHERE b.version = job ->> 'version' AND b.operation = job ->> 'operation' AND b.relation = job ->> 'subject'
          AND b.fingerprint <> job ->> 'fingerprint' AND b.state NOT IN ('done', 'replaced');
        INSERT INTO migrations.backfills (operation, relation, version, fingerprint, definition, pace, client)
        VALUES (job ->> 'operation', job ->> 'subject', job ->> 'version', job ->> 'fingerprint',
                job -> 'definition' || jsonb_build_object('of', job -> 'of'), job -> 'pace', 'a script of --sql')
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
        PERFORM pg_advisory_unlock((job ->> 'lock')::bigint);
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
        FROM migrations.backfill_ranges r WHERE r.backfill_id = claimed AND NOT r.is_done ORDER BY r.id
    LOOP
        CALL pg_temp.homeops_walk(
            job, span.leaf, to_jsonb(span) || jsonb_build_object(
                'epoch', claimed_epoch, 'looks', true, 'stripes', coalesce(span.axis -> 'stripes', '1')),
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
    job := job || jsonb_build_object('of', ({column_numbers})
        || jsonb_build_object('table', coalesce(job ->> 'target', job ->> 'table')::regclass::oid::bigint));
    IF job ? 'target' THEN
        IF EXISTS (SELECT FROM ({tree}) s JOIN ({target_tree}) t ON t.oid = s.oid) THEN
            RAISE EXCEPTION 'Rows of % can''t be copied into it in batches: each would meet those before. Nothing was '
                'changed.', relation;
        END IF;
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
        SELECT jsonb_build_object(
                   'oid', leaf::oid::bigint, 'columns', k.columns, 'types', k.types, 'identity', k.columns,
                   'stripe', pg_temp.homeops_stripe(job ->> 'alias', k.columns, k.types), 'stripes', CASE
                       WHEN job ? 'expressions' AND abs(k.correlation) >= 0.9 AND ({pages}) >= 64 THEN 8 ELSE 1 END)
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
