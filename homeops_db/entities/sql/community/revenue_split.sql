CREATE OR REPLACE FUNCTION community.revenue_split(of_listing uuid, whole_amount numeric, on_day date)
RETURNS TABLE (profile_id uuid, amount numeric)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH planned AS (
        SELECT s.profile_id, s.share_percent
        FROM community.revenue_plans p
        JOIN community.revenue_shares s ON s.plan_id = p.id
        WHERE p.listing_id = of_listing AND p.during @> on_day
    ), shared AS (
        SELECT p.profile_id, p.share_percent FROM planned p
        UNION ALL
        SELECT l.profile_id, 100
        FROM community.listings l
        WHERE l.id = of_listing AND NOT EXISTS (SELECT FROM planned)
    ), exact AS (
        -- A percent of an amount is that many cents: nothing is divided, so nothing is lost.
        SELECT s.profile_id, s.share_percent * round(abs(whole_amount), 2) AS cents FROM shared s
    ), ranked AS (
        SELECT e.profile_id,
               floor(e.cents) AS cents,
               row_number() OVER (ORDER BY e.cents - floor(e.cents) DESC, e.profile_id) AS place,
               100 * round(abs(whole_amount), 2) - sum(floor(e.cents)) OVER () AS left_over
        FROM exact e
    )
    -- What is left over goes to the largest remainders, a cent each.
    SELECT r.profile_id, sign(whole_amount) * (r.cents + (r.place <= r.left_over)::integer) * 0.01
    FROM ranked r
$$;
