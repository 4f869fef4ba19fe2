-- What a --sql script does in batches. Everything here belongs to the session, and is gone with it.
-- A job says what is done, a span where: an axis (pages, or a unique key), its end, and the position on it.

-- The value of an axis at one place, and the rows behind one place up to and with another.
CREATE OR REPLACE FUNCTION pg_temp.homeops_place(axis jsonb, place jsonb) RETURNS text LANGUAGE sql AS $homeops$
    SELECT 'ROW(' || string_agg(format('%L::%s', v.value, t.value), ', ' ORDER BY n) || ')'
    FROM jsonb_array_elements_text(axis -> 'types') WITH ORDINALITY t (value, n)
    JOIN jsonb_array_elements_text(place) WITH ORDINALITY v (value, n) USING (n)
$homeops$;
CREATE OR REPLACE FUNCTION pg_temp.homeops_columns(axis jsonb, alias text, suffix text) RETURNS text
LANGUAGE sql AS $homeops$
    SELECT string_agg(format('%I.%I%s', alias, c.value, suffix), ', ' ORDER BY n)
    FROM jsonb_array_elements_text(axis -> 'columns') WITH ORDINALITY c (value, n)
$homeops$;
CREATE OR REPLACE FUNCTION pg_temp.homeops_between(axis jsonb, alias text, low jsonb, high jsonb) RETURNS text
LANGUAGE sql AS $homeops$
    SELECT coalesce(nullif(concat_ws(' AND ', mine || ' > ' || pg_temp.homeops_place(axis, low),
                                     mine || ' <= ' || pg_temp.homeops_place(axis, high)), ''), 'true')
    FROM format('ROW(%s)', pg_temp.homeops_columns(axis, alias, '')) mine
$homeops$;

-- A number for each row, the same every time. Neighbours in a whole number are neighbours on a page: so it cuts
-- a page evenly.
CREATE OR REPLACE FUNCTION pg_temp.homeops_stripe(alias text, columns text[], types text[]) RETURNS text
LANGUAGE sql AS $homeops$
    SELECT CASE WHEN types[n] IN ('smallint', 'integer', 'bigint') THEN format('%I.%I', alias, columns[n])
                ELSE format('pg_catalog.hashtext(%I.%I::text)', alias, columns[n]) END
    FROM cardinality(columns) n
$homeops$;

-- The place of the n-th row under a condition; NULL where there are fewer.
CREATE OR REPLACE FUNCTION pg_temp.homeops_nth(
    leaf regclass, axis jsonb, alias text, condition text, direction text, n integer
) RETURNS jsonb LANGUAGE plpgsql AS $homeops$
DECLARE
    place jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(ARRAY[%s]) FROM ONLY %s AS %I WHERE %s ORDER BY %s LIMIT 1 OFFSET %s',
                   pg_temp.homeops_columns(axis, alias, '::text'), leaf, alias, condition,
                   pg_temp.homeops_columns(axis, alias, direction), n - 1) INTO place;
    RETURN place;
END $homeops$;

-- Where a batch of so many rows ends. Pages are taken whole, unless less than one is asked for.
CREATE OR REPLACE FUNCTION pg_temp.homeops_end(
    leaf regclass, axis jsonb, alias text, low jsonb, high jsonb, condition text, size integer
) RETURNS jsonb LANGUAGE plpgsql AS $homeops$
DECLARE
    per_page integer := axis ->> 'rows_per_page';
    page bigint;
BEGIN
    IF per_page IS NOT NULL THEN
        page := split_part(ltrim(low ->> 0, '('), ',', 1)::bigint + greatest(1, size / per_page);
        IF format('(%s,0)', page)::tid < (high ->> 0)::tid THEN
            high := jsonb_build_array(format('(%s,0)', page));
        END IF;
        IF size >= per_page THEN
            RETURN high;
        END IF;
    END IF;
    condition := condition || ' AND ' || pg_temp.homeops_between(axis, alias, low, high);
    RETURN coalesce(pg_temp.homeops_nth(leaf, axis, alias, condition, '', size), high);
END $homeops$;

-- One statement: does the rows under a condition, and moves the position of a span that is written down.
-- The row of that span is locked first: whoever takes the backfill over waits for the batch, or else the
-- batch finds another epoch, and does nothing.
CREATE OR REPLACE FUNCTION pg_temp.homeops_statement(
    job jsonb, leaf regclass, span jsonb, condition text, reached jsonb, is_done boolean
) RETURNS text LANGUAGE sql AS $homeops$
    SELECT CASE WHEN span ->> 'id' IS NULL
    THEN format('WITH homeops_done AS (%s) SELECT count(*), count(*) FILTER (WHERE still), ''running'' '
                'FROM homeops_done', work)
    ELSE format('WITH homeops_mine AS MATERIALIZED (SELECT id FROM migrations.backfill_ranges '
                'WHERE id = %1$s AND epoch = %2$s FOR UPDATE), homeops_done AS (%3$s), homeops_counted AS ('
                'SELECT count(*) AS rows, count(*) FILTER (WHERE still) AS unchanged FROM homeops_done) '
                'UPDATE migrations.backfill_ranges r SET position = %4$L, is_done = %5$L, '
                'share_done = greatest(r.share_done, %5$L::boolean::int), '
                'batches = r.batches + 1, rows_done = r.rows_done + c.rows, '
                'rows_unchanged = r.rows_unchanged + c.unchanged '
                'FROM homeops_counted c, migrations.backfills b '
                'WHERE r.id = %1$s AND r.epoch = %2$s AND b.id = r.backfill_id '
                'RETURNING c.rows, c.unchanged, b.state',
                span ->> 'id', span ->> 'epoch', work, reached, is_done) END
    FROM concat(job ->> 'before', leaf, job ->> 'between', condition,
                CASE WHEN span ->> 'id' IS NOT NULL THEN ' AND (SELECT true FROM homeops_mine)' END,
                job ->> 'behind', ' RETURNING ',
                CASE WHEN span ->> 'looks' = 'true' THEN job ->> 'still' ELSE 'false' END, ' AS still') work
$homeops$;

-- One batch, or nothing of it: then `state` and `message` say why. Deferred constraints are checked here,
-- where an error can be caught, and not by COMMIT. No row at all means that another run has the span.
CREATE OR REPLACE FUNCTION pg_temp.homeops_batch(
    job jsonb, leaf regclass, span jsonb, size integer, OUT reached jsonb, OUT moved jsonb, OUT condition text,
    OUT is_striped boolean, OUT row_count bigint, OUT unchanged bigint, OUT told text, OUT state text,
    OUT message text
) LANGUAGE plpgsql AS $homeops$
DECLARE
    axis CONSTANT jsonb := span -> 'axis';
    alias CONSTANT text := job ->> 'alias';
    place jsonb := span -> 'position';
    low CONSTANT jsonb := coalesce(nullif(place -> 'after', 'null'), nullif(place -> 'low', 'null'));
    high jsonb;
    is_open boolean := place ->> 'is_open';
    stripe integer := place ->> 'stripe';
    stripes integer := place ->> 'stripes';
BEGIN
    IF NOT is_open AND (span ->> 'stripes')::integer > 1 AND NOT span ? 'until' THEN
        is_open := true;
        stripe := 0;
        stripes := span ->> 'stripes';
        high := pg_temp.homeops_end(leaf, axis, alias, low, span -> 'high', 'true', size * stripes);
        place := place || jsonb_build_object('is_open', true, 'stripe', 0, 'stripes', stripes, 'high', high);
    END IF;
    is_striped := stripes > 1;
    high := coalesce(span -> 'until', CASE WHEN is_open THEN place -> 'high' ELSE span -> 'high' END);
    condition := CASE WHEN stripes = 1 THEN 'true'
                      ELSE format('(%s) & %s = %s', axis ->> 'stripe', stripes - 1, stripe) END;
    reached := CASE WHEN is_striped AND span ->> 'whole' = 'true' THEN high
                    ELSE pg_temp.homeops_end(leaf, axis, alias, low, high, condition, CASE
                        WHEN axis ? 'rows_per_page' THEN size * stripes ELSE size END) END;
    condition := pg_temp.homeops_between(axis, alias, low, reached) || ' AND ' || condition;
    moved := CASE WHEN NOT is_open THEN place || jsonb_build_object('low', reached)
                  WHEN reached <> place -> 'high' THEN place || jsonb_build_object('after', reached)
                  WHEN stripe + 1 < stripes THEN place || jsonb_build_object('stripe', stripe + 1, 'after', NULL)
                  ELSE jsonb_build_object('low', reached, 'high', NULL, 'is_open', false, 'stripe', 0,
                                          'stripes', 1, 'after', NULL) END;
    EXECUTE pg_temp.homeops_statement(
        job, leaf, span, condition, moved, moved ->> 'is_open' = 'false' AND moved -> 'low' = span -> 'high'
    ) INTO row_count, unchanged, told;
    SET CONSTRAINTS ALL IMMEDIATE;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END $homeops$;
