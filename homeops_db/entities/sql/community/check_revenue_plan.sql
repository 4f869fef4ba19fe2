CREATE OR REPLACE FUNCTION community.check_revenue_plan()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The argument of the trigger names the column that holds the plan's id.
    touched uuid[] = ARRAY[to_jsonb(OLD) ->> TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[0]];
    wrong record;
BEGIN
    -- Right without a lock: a plan is at 100 from its first commit on, so every later transaction must
    -- change the sum by nothing, and what changes it by nothing in each can't change it together.
    SELECT p.id, s.percent INTO wrong
    FROM community.revenue_plans p
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.share_percent), 0) AS percent
        FROM community.revenue_shares r
        WHERE r.plan_id = p.id
    ) s
    WHERE p.id = ANY (touched) AND s.percent <> 100
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the shares of revenue plan % add up to % percent', wrong.id, wrong.percent
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
