CREATE OR REPLACE VIEW community.account_balances AS
SELECT a.id AS account_id,
       a.profile_id,
       a.kind,
       a.currency,
       e.balance,
       p.reserved,
       e.balance - p.reserved AS available
FROM community.accounts a
CROSS JOIN LATERAL (
    SELECT coalesce(sum(entry.amount), 0) AS balance
    FROM community.ledger_entries entry
    WHERE entry.account_id = a.id
) e
CROSS JOIN LATERAL (
    SELECT coalesce(sum(payout.amount), 0) AS reserved
    FROM community.payouts payout
    WHERE payout.account_id = a.id AND payout.status IN ('requested', 'approved')
) p;
