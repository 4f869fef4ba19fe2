CREATE OR REPLACE FUNCTION financial.portfolio_returns(
    account uuid, unit text, since timestamptz, until timestamptz
)
RETURNS TABLE (
    measured_at timestamptz, market_value numeric, cash_flow numeric,
    period_return numeric, total_return numeric
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before numeric;
    gain numeric;
    growth numeric = 1;
BEGIN
    -- Time-weighted: what is paid in or taken out doesn't count as a gain, whenever it happens.
    FOR measured_at, market_value, cash_flow IN
        SELECT p.measured_at, p.market_value, p.cash_flow
        FROM financial.portfolio_performance p
        WHERE p.account_id = account AND p.currency = unit AND p.measured_at BETWEEN since AND until
        ORDER BY p.measured_at
    LOOP
        -- Of nothing there is no return: the first measurement, and the first after an empty account.
        gain = CASE WHEN before > 0 THEN (market_value - cash_flow) / before - 1 END;
        growth = round(growth * (1 + coalesce(gain, 0)), 20);
        period_return = round(gain, 8);
        total_return = round(growth - 1, 8);
        before = market_value;
        RETURN NEXT;
    END LOOP;
END
$$;
