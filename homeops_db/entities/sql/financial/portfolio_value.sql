CREATE OR REPLACE FUNCTION financial.portfolio_value(account uuid, on_day date)
RETURNS TABLE (currency text, market_value numeric, cost_basis numeric, positions bigint, unpriced bigint)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- One row a currency, for sums of different ones mean nothing. A price is the last one of that day or
    -- before, in UTC; quantities are those of now: what was held earlier is in portfolio_performance.
    SELECT held.currency,
           coalesce(sum(round(held.quantity * held.price, 2)), 0),
           CASE WHEN count(held.cost_basis) = count(*) THEN sum(held.cost_basis) END,
           count(*),
           count(*) FILTER (WHERE held.price IS NULL)
    FROM (
        SELECT s.currency, h.quantity, h.cost_basis, last.price
        FROM financial.holdings h
        JOIN financial.securities s ON s.id = h.security_id
        LEFT JOIN LATERAL (
            SELECT p.close AS price
            FROM financial.security_prices p
            WHERE p.security_id = h.security_id AND p.priced_on <= on_day
            ORDER BY p.priced_on DESC
            LIMIT 1
        ) last ON true
        WHERE h.account_id = account
        UNION ALL
        SELECT c.currency, c.quantity, c.cost_basis, last.price
        FROM financial.crypto_wallets w
        JOIN financial.crypto_positions c ON c.wallet_id = w.id
        LEFT JOIN LATERAL (
            SELECT p.price
            FROM financial.crypto_prices p
            WHERE p.asset_id = c.asset_id AND p.currency = c.currency
              AND p.priced_at < (on_day + 1)::timestamp AT TIME ZONE 'UTC'
            ORDER BY p.priced_at DESC
            LIMIT 1
        ) last ON true
        WHERE w.account_id = account
    ) held
    GROUP BY held.currency
    ORDER BY held.currency
$$;
