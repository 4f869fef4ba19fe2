CREATE OR REPLACE VIEW financial.portfolio_positions AS
SELECT held.account_id,
       held.kind,
       held.security_id,
       held.crypto_asset_id,
       held.wallet_id,
       held.symbol,
       held.name,
       held.quantity,
       held.currency,
       held.price,
       held.priced_on,
       round(held.quantity * held.price, 2) AS market_value,
       held.cost_basis,
       round(held.quantity * held.price, 2) - held.cost_basis AS unrealised_gain
FROM (
    SELECT h.account_id, 'security' AS kind, s.id AS security_id, NULL::uuid AS crypto_asset_id,
           NULL::uuid AS wallet_id, s.symbol, s.name, h.quantity, s.currency, last.price, last.priced_on,
           h.cost_basis
    FROM financial.holdings h
    JOIN financial.securities s ON s.id = h.security_id
    LEFT JOIN LATERAL (
        SELECT p.close AS price, p.priced_on
        FROM financial.security_prices p
        WHERE p.security_id = h.security_id
        ORDER BY p.priced_on DESC
        LIMIT 1
    ) last ON true
    UNION ALL
    SELECT w.account_id, 'crypto', NULL, c.asset_id, w.id, a.symbol, a.name, c.quantity, c.currency,
           last.price, (last.priced_at AT TIME ZONE 'UTC')::date, c.cost_basis
    FROM financial.crypto_positions c
    JOIN financial.crypto_wallets w ON w.id = c.wallet_id
    JOIN financial.crypto_assets a ON a.id = c.asset_id
    LEFT JOIN LATERAL (
        SELECT p.price, p.priced_at
        FROM financial.crypto_prices p
        WHERE p.asset_id = c.asset_id AND p.currency = c.currency
        ORDER BY p.priced_at DESC
        LIMIT 1
    ) last ON true
) held;
