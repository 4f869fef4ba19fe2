"""Community platform: a marketplace, its revenue, and what people write; the type change ends.

From here on the amounts in double precision are gone: there is no lossless way back below v1.5.0, which is
what makes this version major. Preferences must be objects from here on too.

Texts and names are frozen, as in v1.0.0. What is new refers to tables in use by foreign keys that come last,
so that their locks are held for a moment only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from homeops_db import online

revision = "v2.0.0"
down_revision = "v1.5.0"
branch_labels = None
depends_on = None
change = "major"

JSONB = postgresql.JSONB()
MONEY = sa.Numeric(15, 2)
TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")

TABLES = (
    *("licences", "report_reasons", "profiles", "listings", "listing_versions"),
    *("orders", "order_items", "licence_grants", "reviews", "bookings"),
    *("revenue_plans", "revenue_shares", "accounts", "journal", "ledger_entries", "payouts"),
    *("posts", "comments", "attachments", "reactions", "moderation_actions", "reports"),
)

# Table, column, what it refers to, and what happens when that goes.
OUTWARD = (
    ("profiles", "user_id", "core.users", "RESTRICT"),
    ("orders", "buyer_id", "core.users", "RESTRICT"),
    ("bookings", "customer_id", "core.users", "RESTRICT"),
    ("payouts", "approved_by", "core.users", "SET NULL"),
    ("posts", "author_id", "core.users", "SET NULL"),
    ("comments", "author_id", "core.users", "SET NULL"),
    ("reactions", "user_id", "core.users", "CASCADE"),
    ("moderation_actions", "moderator_id", "core.users", "RESTRICT"),
    ("reports", "reporter_id", "core.users", "CASCADE"),
    ("orders", "transaction_id", "financial.transactions", "SET NULL"),
    ("payouts", "transaction_id", "financial.transactions", "SET NULL"),
    ("listings", "playlist_id", "media.playlists", "SET NULL"),
    ("attachments", "item_id", "media.items", "SET NULL"),
    ("listings", "automation_id", "smart_home.automations", "SET NULL"),
    ("listings", "scene_id", "smart_home.scenes", "SET NULL"),
)

UPDATED = (
    *("accounts", "bookings", "comments", "listings", "orders", "payouts", "posts", "profiles", "reviews"),
)

# Table, and the call that names its secret columns.
AUDITED = {
    "licence_grants": "core.record_audit('key_hash')",
    "listings": "core.record_audit()",
    "orders": "core.record_audit()",
    "payouts": "core.record_audit()",
    "profiles": "core.record_audit()",
    "revenue_plans": "core.record_audit()",
    "revenue_shares": "core.record_audit()",
}

CHANGED = "BEFORE INSERT OR DELETE OR UPDATE"

# Table, event and call; the trigger is called as its function.
GUARDS = (
    ("orders", CHANGED, "guard_order()"),
    ("order_items", CHANGED, "guard_order_item()"),
    ("licence_grants", "BEFORE INSERT OR UPDATE", "guard_licence_grant()"),
    ("payouts", CHANGED, "guard_payout()"),
    ("moderation_actions", "AFTER INSERT", "apply_moderation()"),
    ("posts", "BEFORE INSERT OR UPDATE", "guard_moderation('post_id')"),
    ("comments", "BEFORE INSERT OR UPDATE", "guard_moderation('comment_id')"),
)

# Sums that balance when a transaction ends.
AT_COMMIT = (
    ("orders", "check_order_total('id')"),
    ("order_items", "check_order_total('order_id')"),
    ("revenue_plans", "check_revenue_plan('id')"),
    ("revenue_shares", "check_revenue_plan('plan_id')"),
    ("ledger_entries", "check_journal_balance()"),
)

CHECK_ORDER_TOTAL = """
CREATE OR REPLACE FUNCTION community.check_order_total()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The argument of the trigger names the column that holds the order's id.
    touched uuid[] = ARRAY[to_jsonb(OLD) ->> TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[0]];
    wrong record;
BEGIN
    -- Right without a lock: whoever changes the sum must change the total too, and the row of the order
    -- lets only one do so at a time.
    SELECT o.id, o.total, s.amount INTO wrong
    FROM community.orders o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(i.amount), 0) AS amount FROM community.order_items i WHERE i.order_id = o.id
    ) s
    WHERE o.id = ANY (touched) AND o.total <> s.amount
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the items of order % add up to %, its total is %',
            wrong.id, wrong.amount, wrong.total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$
"""

GUARD_ORDER = """
CREATE OR REPLACE FUNCTION community.guard_order()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' THEN
            RAISE EXCEPTION 'an order begins as open, not as %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.status IN ('paid', 'refunded') THEN
            RAISE EXCEPTION 'order % is %, and stays', OLD.id, OLD.status USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.status <> OLD.status
        AND (OLD.status, NEW.status) NOT IN (('open', 'paid'), ('open', 'cancelled'), ('paid', 'refunded'))
    THEN
        RAISE EXCEPTION 'order % is %, and can''t become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status <> 'open'
        AND (OLD.id, OLD.buyer_id, OLD.currency, OLD.total, OLD.paid_at)
            IS DISTINCT FROM (NEW.id, NEW.buyer_id, NEW.currency, NEW.total, NEW.paid_at)
    THEN
        RAISE EXCEPTION 'order % is %, and doesn''t change', OLD.id, OLD.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'open' AND NEW.status = 'paid'
        AND NOT EXISTS (SELECT FROM community.order_items i WHERE i.order_id = OLD.id)
    THEN
        RAISE EXCEPTION 'order % has no items, so there is nothing to pay', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

GUARD_ORDER_ITEM = """
CREATE OR REPLACE FUNCTION community.guard_order_item()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ordered record;
BEGIN
    -- The lock makes a payment under way come first, or wait for this item.
    FOR ordered IN
        SELECT o.id, o.status
        FROM community.orders o
        WHERE o.id IN (OLD.order_id, NEW.order_id)
        ORDER BY o.id
        FOR NO KEY UPDATE
    LOOP
        IF ordered.status <> 'open' THEN
            RAISE EXCEPTION 'order % is %, and its items don''t change', ordered.id, ordered.status
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$
"""

GUARD_LICENCE_GRANT = """
CREATE OR REPLACE FUNCTION community.guard_licence_grant()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    state text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.order_item_id = OLD.order_item_id THEN
        RETURN NEW;
    END IF;
    -- The lock makes a refund under way come first, or wait.
    SELECT o.status INTO state
    FROM community.order_items i
    JOIN community.orders o ON o.id = i.order_id
    WHERE i.id = NEW.order_item_id
    FOR SHARE OF o;
    IF state <> 'paid' THEN
        RAISE EXCEPTION 'order item % is of an order that is %: a licence is granted for a paid one',
            NEW.order_item_id, state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

CHECK_REVENUE_PLAN = """
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
$$
"""

CHECK_JOURNAL_BALANCE = """
CREATE OR REPLACE FUNCTION community.check_journal_balance()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched uuid[] = ARRAY[to_jsonb(OLD) ->> 'journal_id', to_jsonb(NEW) ->> 'journal_id'];
    wrong record;
BEGIN
    -- Right without a lock: what adds up to zero in each of two transactions does so in both together.
    SELECT e.journal_id, e.currency, sum(e.amount) AS amount INTO wrong
    FROM community.ledger_entries e
    WHERE e.journal_id = ANY (touched)
    GROUP BY e.journal_id, e.currency
    HAVING sum(e.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the entries of journal % add up to % %, not to zero',
            wrong.journal_id, wrong.amount, wrong.currency
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$
"""

GUARD_PAYOUT = """
CREATE OR REPLACE FUNCTION community.guard_payout()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stands record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status = 'paid' THEN
            RAISE EXCEPTION 'payout % is paid, and stays', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'requested' THEN
            RAISE EXCEPTION 'a payout begins as requested, not as %', NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        IF (OLD.id, OLD.account_id, OLD.profile_id, OLD.currency, OLD.amount)
            IS DISTINCT FROM (NEW.id, NEW.account_id, NEW.profile_id, NEW.currency, NEW.amount)
            OR OLD.status = 'paid'
            AND (OLD.journal_id, OLD.paid_at) IS DISTINCT FROM (NEW.journal_id, NEW.paid_at)
        THEN
            RAISE EXCEPTION 'payout % doesn''t change its account, its amount or its booking', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status <> OLD.status
            AND (OLD.status, NEW.status) NOT IN (
                ('requested', 'approved'), ('requested', 'cancelled'),
                ('approved', 'paid'), ('approved', 'failed'), ('approved', 'cancelled')
            )
        THEN
            RAISE EXCEPTION 'payout % is %, and can''t become %', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status = OLD.status OR NEW.status <> 'paid' THEN
            RETURN NEW;
        END IF;
    END IF;

    -- Payouts of an account come one after the other. A real update, because in REPEATABLE READ a lock
    -- alone would let the second one go on with an older snapshot.
    UPDATE community.accounts SET updated_at = now() WHERE id = NEW.account_id;
    SELECT b.balance, b.available INTO stands
    FROM community.account_balances b
    WHERE b.account_id = NEW.account_id;
    IF NEW.status = 'requested' AND NEW.amount > stands.available THEN
        RAISE EXCEPTION 'account % has % available, less than the % of the payout',
            NEW.account_id, stands.available, NEW.amount
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'paid' THEN
        -- The booking came first, so the balance is already the one after it.
        IF stands.balance < 0 THEN
            RAISE EXCEPTION 'account % would be at % after the payout', NEW.account_id, stands.balance
                USING ERRCODE = 'check_violation';
        END IF;
        IF NOT EXISTS (
            SELECT FROM community.ledger_entries e
            WHERE e.journal_id = NEW.journal_id AND e.account_id = NEW.account_id AND e.amount = -NEW.amount
        ) THEN
            RAISE EXCEPTION 'payout % isn''t booked by journal %', NEW.id, NEW.journal_id
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$
"""

APPLY_MODERATION = """
CREATE OR REPLACE FUNCTION community.apply_moderation()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Locked before it is read which action is the newest: two moderators may be at work.
    PERFORM FROM community.posts p WHERE p.id = NEW.post_id FOR NO KEY UPDATE;
    PERFORM FROM community.comments c WHERE c.id = NEW.comment_id FOR NO KEY UPDATE;
    UPDATE community.posts p
    SET moderation_state = (
        SELECT a.state FROM community.moderation_actions a WHERE a.post_id = p.id ORDER BY a.id DESC LIMIT 1
    )
    WHERE p.id = NEW.post_id;
    UPDATE community.comments c
    SET moderation_state = (
        SELECT a.state
        FROM community.moderation_actions a
        WHERE a.comment_id = c.id
        ORDER BY a.id DESC
        LIMIT 1
    )
    WHERE c.id = NEW.comment_id;
    RETURN NULL;
END
$$
"""

GUARD_MODERATION = """
CREATE OR REPLACE FUNCTION community.guard_moderation()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    latest text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.moderation_state NOT IN ('pending', 'visible') THEN
            RAISE EXCEPTION '% needs a moderation action', NEW.moderation_state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.moderation_state IS NOT DISTINCT FROM OLD.moderation_state THEN
        RETURN NEW;
    END IF;
    -- The argument of the trigger names the column by which actions refer to this table.
    SELECT a.state INTO latest
    FROM community.moderation_actions a
    WHERE CASE TG_ARGV[0] WHEN 'post_id' THEN a.post_id = NEW.id ELSE a.comment_id = NEW.id END
    ORDER BY a.id DESC
    LIMIT 1;
    IF latest IS DISTINCT FROM NEW.moderation_state THEN
        RAISE EXCEPTION '% % becomes % by a moderation action alone',
            TG_TABLE_NAME, NEW.id, NEW.moderation_state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

REVENUE_SPLIT = """
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
$$
"""

BOOK_ORDER = """
CREATE OR REPLACE FUNCTION community.book_order(of_order uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sold community.orders;
    booked uuid;
BEGIN
    SELECT o.* INTO sold FROM community.orders o WHERE o.id = of_order FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no order %', of_order USING ERRCODE = 'no_data_found';
    END IF;
    SELECT j.id INTO booked FROM community.journal j WHERE j.reference = 'sale:' || of_order;
    IF FOUND THEN
        RETURN booked;
    END IF;
    IF sold.status <> 'paid' THEN
        RAISE EXCEPTION 'order % is %: only a paid one is booked', of_order, sold.status
            USING ERRCODE = 'check_violation';
    END IF;

    -- ON CONFLICT, because a transaction with an older snapshot can't see that it was booked meanwhile.
    INSERT INTO community.journal (kind, reference, order_id, description)
    VALUES ('sale', 'sale:' || of_order, of_order, 'Sale')
    ON CONFLICT (reference) DO NOTHING
    RETURNING id INTO STRICT booked;

    INSERT INTO community.accounts (profile_id, kind, currency)
    SELECT earner.profile_id, earner.kind, sold.currency
    FROM (
        SELECT split.profile_id, 'earnings' AS kind
        FROM community.order_items i
        CROSS JOIN LATERAL community.revenue_split(
            i.listing_id, i.amount, (sold.paid_at AT TIME ZONE 'UTC')::date
        ) split
        WHERE i.order_id = of_order
        UNION
        SELECT NULL, 'clearing'
    ) earner
    ORDER BY earner.profile_id
    ON CONFLICT (profile_id, kind, currency) DO NOTHING;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, a.id, a.currency, part.amount
    FROM (
        SELECT split.profile_id, 'earnings' AS kind, sum(split.amount) AS amount
        FROM community.order_items i
        CROSS JOIN LATERAL community.revenue_split(
            i.listing_id, i.amount, (sold.paid_at AT TIME ZONE 'UTC')::date
        ) split
        WHERE i.order_id = of_order
        GROUP BY split.profile_id
        UNION ALL
        SELECT NULL, 'clearing', -sold.total
    ) part
    JOIN community.accounts a
        ON a.profile_id IS NOT DISTINCT FROM part.profile_id
        AND a.kind = part.kind AND a.currency = sold.currency
    WHERE part.amount <> 0;
    RETURN booked;
END
$$
"""

BOOK_REFUND = """
CREATE OR REPLACE FUNCTION community.book_refund(of_order uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refunded community.orders;
    sale uuid;
    booked uuid;
BEGIN
    SELECT o.* INTO refunded FROM community.orders o WHERE o.id = of_order FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no order %', of_order USING ERRCODE = 'no_data_found';
    END IF;
    SELECT j.id INTO booked FROM community.journal j WHERE j.reference = 'refund:' || of_order;
    IF FOUND THEN
        RETURN booked;
    END IF;
    SELECT j.id INTO sale FROM community.journal j WHERE j.reference = 'sale:' || of_order;
    IF refunded.status <> 'refunded' OR sale IS NULL THEN
        RAISE EXCEPTION 'order % is no booked sale that was refunded', of_order
            USING ERRCODE = 'check_violation';
    END IF;

    INSERT INTO community.journal (kind, reference, order_id, description)
    VALUES ('refund', 'refund:' || of_order, of_order, 'Refund')
    ON CONFLICT (reference) DO NOTHING
    RETURNING id INTO STRICT booked;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, e.account_id, e.currency, -sum(e.amount)
    FROM community.ledger_entries e
    WHERE e.journal_id = sale
    GROUP BY e.account_id, e.currency
    HAVING sum(e.amount) <> 0;
    RETURN booked;
END
$$
"""

BOOK_PAYOUT = """
CREATE OR REPLACE FUNCTION community.book_payout(of_payout uuid, by_transaction uuid)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due community.payouts;
    booked uuid;
BEGIN
    SELECT p.* INTO due FROM community.payouts p WHERE p.id = of_payout FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no payout %', of_payout USING ERRCODE = 'no_data_found';
    END IF;
    IF due.status = 'paid' THEN
        RETURN due.journal_id;
    END IF;

    INSERT INTO community.journal (kind, reference, description)
    VALUES ('payout', 'payout:' || of_payout, 'Payout')
    RETURNING id INTO booked;

    INSERT INTO community.accounts (kind, currency)
    VALUES ('payouts', due.currency)
    ON CONFLICT (profile_id, kind, currency) DO NOTHING;

    INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
    SELECT booked, a.id, a.currency, CASE WHEN a.id = due.account_id THEN -due.amount ELSE due.amount END
    FROM community.accounts a
    WHERE a.id = due.account_id
       OR a.profile_id IS NULL AND a.kind = 'payouts' AND a.currency = due.currency;

    -- Refused by guard_payout where it isn't approved, or where there is less.
    UPDATE community.payouts
    SET status = 'paid', paid_at = now(), journal_id = booked, transaction_id = by_transaction
    WHERE id = of_payout;
    RETURN booked;
END
$$
"""

ACCOUNT_BALANCES = """
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
) p
"""

LISTING_RATINGS = """
CREATE OR REPLACE VIEW community.listing_ratings AS
SELECT l.id AS listing_id,
       count(r.id) AS reviews,
       round(avg(r.stars), 2) AS average_stars,
       count(r.id) FILTER (WHERE r.stars >= 4) AS satisfied
FROM community.listings l
LEFT JOIN community.reviews r ON r.listing_id = l.id
GROUP BY l.id
"""

VISIBLE_POSTS = """
CREATE OR REPLACE VIEW community.visible_posts AS
SELECT p.id AS post_id,
       p.author_id,
       p.listing_id,
       p.title,
       p.body,
       p.created_at,
       c.comments,
       r.reactions
FROM community.posts p
CROSS JOIN LATERAL (
    SELECT count(*) AS comments
    FROM community.comments answer
    WHERE answer.post_id = p.id AND answer.is_visible
) c
CROSS JOIN LATERAL (
    SELECT count(*) AS reactions FROM community.reactions reaction WHERE reaction.post_id = p.id
) r
WHERE p.is_visible
"""

FUNCTIONS = (
    *(CHECK_ORDER_TOTAL, GUARD_ORDER, GUARD_ORDER_ITEM, GUARD_LICENCE_GRANT),
    *(CHECK_REVENUE_PLAN, CHECK_JOURNAL_BALANCE, GUARD_PAYOUT),
    *(APPLY_MODERATION, GUARD_MODERATION, REVENUE_SPLIT, BOOK_ORDER, BOOK_REFUND, BOOK_PAYOUT),
)

VIEWS = (ACCOUNT_BALANCES, LISTING_RATINGS, VISIBLE_POSTS)

DROP_FUNCTIONS = """
DROP FUNCTION
    community.check_order_total(), community.guard_order(), community.guard_order_item(),
    community.guard_licence_grant(), community.check_revenue_plan(), community.check_journal_balance(),
    community.guard_payout(), community.apply_moderation(), community.guard_moderation(),
    community.revenue_split(uuid, numeric, date), community.book_order(uuid), community.book_refund(uuid),
    community.book_payout(uuid, uuid)
"""

GRANT_APP = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_app') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA community TO homeops_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA community TO homeops_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA community TO homeops_app;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA community TO homeops_app;
    -- What is booked or decided stays; a mistake is corrected by another row.
    REVOKE UPDATE, DELETE ON community.journal, community.ledger_entries, community.moderation_actions
        FROM homeops_app;

    ALTER DEFAULT PRIVILEGES IN SCHEMA community
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA community GRANT USAGE ON SEQUENCES TO homeops_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA community GRANT EXECUTE ON FUNCTIONS TO homeops_app;
END
$$
"""

GRANT_READONLY = """
DO $$
DECLARE
    columns text = (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = 'community.licence_grants'::regclass
          AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'key_hash'
    );
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'homeops_readonly') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA community TO homeops_readonly;
    GRANT SELECT ON ALL TABLES IN SCHEMA community TO homeops_readonly;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA community TO homeops_readonly;
    -- A grant on a table covers all its columns: the one with a secret is granted column by column.
    REVOKE SELECT ON community.licence_grants FROM homeops_readonly;
    EXECUTE format('GRANT SELECT (%s) ON community.licence_grants TO homeops_readonly', columns);

    ALTER DEFAULT PRIVILEGES IN SCHEMA community GRANT SELECT ON TABLES TO homeops_readonly;
    ALTER DEFAULT PRIVILEGES IN SCHEMA community GRANT EXECUTE ON FUNCTIONS TO homeops_readonly;
END
$$
"""

amount = online.TypeChange(
    "transactions",
    "amount",
    sa.Numeric(15, 2),
    schema="financial",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)


def upgrade() -> None:
    amount.contract()
    # NOT VALID first, so that no client stores another form behind the backfill's back.
    online.create_check_constraint(
        "ck_users_preferences",
        "users",
        "jsonb_typeof(preferences) = 'object'",
        schema="core",
        postgresql_not_valid=True,
    )
    online.backfill(
        "users",
        {"preferences": "core.mended_preferences(preferences)"},
        schema="core",
        where="jsonb_typeof(preferences) <> 'object'",
    )
    online.validate_constraint("ck_users_preferences", "users", schema="core")
    op.execute("CREATE SCHEMA community")
    op.execute("CREATE TYPE community.uuid_range AS RANGE (subtype = uuid)")
    _create_marketplace()
    _create_orders()
    _create_revenue()
    _create_content()
    _create_functions()
    op.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA community FROM PUBLIC")
    op.execute(GRANT_APP)
    op.execute(GRANT_READONLY)
    _refer_to_tables_in_use()


def downgrade() -> None:
    online.drop_constraint("ck_users_preferences", "users", schema="core", type_="check")
    amount.undo_contract()
    # Dropping a table locks what it refers to until the commit, reads too.
    for table, column, _, _ in OUTWARD:
        online.drop_constraint(f"fk_{table}_{column}", table, schema="community", type_="foreignkey")
    op.execute("DROP VIEW community.account_balances, community.listing_ratings, community.visible_posts")
    for table in reversed(TABLES):
        op.drop_table(table, schema="community")
    op.execute(DROP_FUNCTIONS)
    op.execute("DROP TYPE community.uuid_range")
    # Without CASCADE: what others put there is not ours to drop.
    op.execute("DROP SCHEMA community")


def _create_marketplace() -> None:
    for table, extra in (
        ("licences", ("allows_commercial_use", "allows_sharing")),
        ("report_reasons", ("is_urgent",)),
    ):
        _table(
            table,
            sa.Column("code", sa.Text(), primary_key=True),
            sa.Column("name", sa.Text(), nullable=False),
            sa.Column("description", sa.Text(), nullable=False),
            *(
                sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
                for name in extra
            ),
            unique=["name"],
            checks={"code": "code ~ '^[a-z][a-z_]*$'"},
        )
    _table(
        "profiles",
        _key(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("biography", sa.Text()),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        *_timestamps(),
        unique=["user_id"],
        choices={"status": "active suspended closed"},
        checks={"name": "btrim(name) <> ''"},
    )
    op.create_index(
        op.f("uq_profiles_name_lower"), "profiles", [sa.text("lower(name)")], unique=True, schema="community"
    )
    _table(
        "listings",
        _key(),
        _reference("profile_id", "profiles.id", "RESTRICT"),
        _reference("licence_code", "licences.code", "RESTRICT", type_=sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("price", MONEY, server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("is_free", sa.Boolean(), sa.Computed("price = 0", persisted=True), nullable=False),
        sa.Column("automation_id", sa.Uuid()),
        sa.Column("scene_id", sa.Uuid()),
        sa.Column("playlist_id", sa.Uuid()),
        sa.Column("published_at", TIMESTAMPTZ),
        *_timestamps(),
        unique=["id, currency", "id, profile_id, kind"],
        choices={
            "kind": "automation scene playlist integration service",
            "status": "draft published suspended retired",
        },
        checks={
            "currency": "currency ~ '^[A-Z]{3}$'",
            "title": "btrim(title) <> ''",
            "price": "price >= 0 AND price <> 'NaN'",
            "published_at": "status <> 'published' OR published_at IS NOT NULL",
            "automation_id": "automation_id IS NULL OR kind = 'automation'",
            "scene_id": "scene_id IS NULL OR kind = 'scene'",
            "playlist_id": "playlist_id IS NULL OR kind = 'playlist'",
        },
        indexes=["profile_id", "licence_code", "automation_id", "scene_id", "playlist_id"],
    )
    op.create_index(
        op.f("ix_listings_kind_published_at"),
        "listings",
        ["kind", sa.text("published_at DESC")],
        schema="community",
        postgresql_where=sa.text("status = 'published'"),
    )
    _table(
        "listing_versions",
        _key(),
        _reference("listing_id", "listings.id", "CASCADE"),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("content", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("released_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        unique=["listing_id, version"],
        checks={
            "version": "version ~ '^[0-9]+[.][0-9]+[.][0-9]+$'",
            "content": "jsonb_typeof(content) = 'object'",
        },
    )


def _create_orders() -> None:
    _table(
        "orders",
        _key(),
        sa.Column("buyer_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("total", MONEY, server_default=sa.text("0"), nullable=False),
        sa.Column("paid_at", TIMESTAMPTZ),
        sa.Column("transaction_id", sa.Uuid()),
        *_timestamps(),
        unique=["id, buyer_id, currency"],
        choices={"status": "open paid refunded cancelled"},
        checks={
            "currency": "currency ~ '^[A-Z]{3}$'",
            "total": "total >= 0 AND total <> 'NaN'",
            "paid_at": "(status IN ('paid', 'refunded')) = (paid_at IS NOT NULL)",
        },
        indexes=["buyer_id, created_at DESC", "transaction_id"],
    )
    _table(
        "order_items",
        _key(),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_id", sa.Uuid(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("quantity", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("unit_price", MONEY, nullable=False),
        sa.Column("amount", MONEY, sa.Computed("unit_price * quantity", persisted=True), nullable=False),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        unique=["order_id, listing_id", "id, listing_id, buyer_id"],
        checks={
            "currency": "currency ~ '^[A-Z]{3}$'",
            "quantity": "quantity > 0",
            "unit_price": "unit_price >= 0 AND unit_price <> 'NaN'",
        },
        keys=[
            ("order_id, buyer_id, currency", "orders", "id, buyer_id, currency", "CASCADE"),
            ("listing_id, currency", "listings", "id, currency", "RESTRICT"),
        ],
        indexes=["order_id, buyer_id, currency", "listing_id, currency"],
    )
    _table(
        "licence_grants",
        _key(),
        sa.Column("order_item_id", sa.Uuid(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _reference("licence_code", "licences.code", "RESTRICT", type_=sa.Text()),
        sa.Column("key_hash", sa.Text()),
        sa.Column("granted_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("revoked_at", TIMESTAMPTZ),
        unique=["order_item_id", "key_hash", "id, listing_id, user_id"],
        checks={"revoked_at": "revoked_at >= granted_at"},
        keys=[("order_item_id, listing_id, user_id", "order_items", "id, listing_id, buyer_id", "RESTRICT")],
        indexes=["order_item_id, listing_id, user_id", "user_id", "licence_code"],
    )
    _table(
        "reviews",
        _key(),
        sa.Column("licence_grant_id", sa.Uuid(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("reviewer_id", sa.Uuid(), nullable=False),
        sa.Column("stars", sa.SmallInteger(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("body", sa.Text()),
        *_timestamps(),
        unique=["listing_id, reviewer_id"],
        checks={"stars": "stars BETWEEN 1 AND 5"},
        keys=[
            (
                "licence_grant_id, listing_id, reviewer_id",
                "licence_grants",
                "id, listing_id, user_id",
                "CASCADE",
            )
        ],
        indexes=["licence_grant_id, listing_id, reviewer_id"],
    )
    _table(
        "bookings",
        _key(),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="service", nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_item_id", sa.Uuid()),
        sa.Column("during", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("status", sa.Text(), server_default="requested", nullable=False),
        sa.Column("note", sa.Text()),
        *_timestamps(),
        choices={"status": "requested confirmed done cancelled"},
        checks={
            "kind": "kind IN ('service')",
            "during": "NOT (isempty(during) OR lower_inf(during) OR upper_inf(during))"
            " AND isfinite(lower(during)) AND isfinite(upper(during))",
        },
        keys=[
            ("listing_id, profile_id, kind", "listings", "id, profile_id, kind", "RESTRICT"),
            (
                "order_item_id, listing_id, customer_id",
                "order_items",
                "id, listing_id, buyer_id",
                "SET NULL (order_item_id)",
            ),
        ],
        indexes=["listing_id, profile_id, kind", "customer_id", "order_item_id, listing_id, customer_id"],
        alone=("profile_id", "status <> 'cancelled'"),
    )


def _create_revenue() -> None:
    _table(
        "revenue_plans",
        _key(),
        _reference("listing_id", "listings.id", "CASCADE"),
        sa.Column("during", postgresql.DATERANGE(), nullable=False),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"during": "NOT isempty(during)"},
        indexes=["listing_id"],
        alone=("listing_id", None),
    )
    _table(
        "revenue_shares",
        _reference("plan_id", "revenue_plans.id", "CASCADE", primary_key=True),
        _reference("profile_id", "profiles.id", "RESTRICT", primary_key=True),
        sa.Column("share_percent", sa.Numeric(5, 2), nullable=False),
        checks={"share_percent": "share_percent > 0 AND share_percent <= 100"},
        indexes=["profile_id"],
    )
    _table(
        "accounts",
        _key(),
        _reference("profile_id", "profiles.id", "RESTRICT", nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        *_timestamps(),
        unique=["id, currency", "id, profile_id, currency"],
        choices={"kind": "earnings clearing payouts"},
        checks={
            "currency": "currency ~ '^[A-Z]{3}$'",
            "profile_id": "(kind = 'earnings') = (profile_id IS NOT NULL)",
        },
    )
    op.create_unique_constraint(
        op.f("uq_accounts_profile_id_kind_currency"),
        "accounts",
        ["profile_id", "kind", "currency"],
        schema="community",
        postgresql_nulls_not_distinct=True,
    )
    _table(
        "journal",
        _key(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        _reference("order_id", "orders.id", "RESTRICT", nullable=True),
        sa.Column("description", sa.Text()),
        sa.Column("booked_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        unique=["reference"],
        choices={"kind": "sale refund payout adjustment"},
        checks={"order_id": "(kind IN ('sale', 'refund')) = (order_id IS NOT NULL)"},
        indexes=["order_id"],
    )
    _table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        _reference("journal_id", "journal.id", "RESTRICT"),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        checks={"currency": "currency ~ '^[A-Z]{3}$'", "amount": "amount <> 0 AND amount <> 'NaN'"},
        keys=[("account_id, currency", "accounts", "id, currency", "RESTRICT")],
        indexes=["journal_id", "account_id, currency"],
    )
    _table(
        "payouts",
        _key(),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        sa.Column("status", sa.Text(), server_default="requested", nullable=False),
        sa.Column("approved_by", sa.Uuid()),
        sa.Column("paid_at", TIMESTAMPTZ),
        _reference("journal_id", "journal.id", "RESTRICT", nullable=True),
        sa.Column("transaction_id", sa.Uuid()),
        *_timestamps(),
        unique=["journal_id"],
        choices={"status": "requested approved paid failed cancelled"},
        checks={
            "currency": "currency ~ '^[A-Z]{3}$'",
            "amount": "amount > 0 AND amount <> 'NaN'",
            "journal_id": "(status = 'paid') = (journal_id IS NOT NULL)",
            "paid_at": "(status = 'paid') = (paid_at IS NOT NULL)",
        },
        keys=[("account_id, profile_id, currency", "accounts", "id, profile_id, currency", "RESTRICT")],
        indexes=["account_id, profile_id, currency", "approved_by", "transaction_id"],
    )


def _create_content() -> None:
    _table(
        "posts",
        _key(),
        sa.Column("author_id", sa.Uuid()),
        _reference("listing_id", "listings.id", "SET NULL", nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        *_moderated(),
        *_timestamps(),
        choices={"moderation_state": "pending visible hidden removed"},
        checks={"title": "btrim(title) <> ''"},
        indexes=["author_id", "listing_id"],
    )
    op.create_index(
        op.f("ix_posts_created_at"),
        "posts",
        [sa.text("created_at DESC")],
        schema="community",
        postgresql_where=sa.text("is_visible"),
    )
    _table(
        "comments",
        _key(),
        _reference("post_id", "posts.id", "CASCADE"),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("depth", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "parent_depth", sa.SmallInteger(), sa.Computed("depth - 1", persisted=True), nullable=False
        ),
        sa.Column("author_id", sa.Uuid()),
        sa.Column("body", sa.Text(), nullable=False),
        *_moderated(),
        *_timestamps(),
        unique=["id, post_id, depth"],
        choices={"moderation_state": "pending visible hidden removed"},
        checks={
            "depth": "depth BETWEEN 0 AND 20",
            "parent_id": "(depth = 0) = (parent_id IS NULL)",
            "body": "btrim(body) <> ''",
        },
        keys=[("parent_id, post_id, parent_depth", "comments", "id, post_id, depth", "CASCADE")],
        indexes=["post_id", "parent_id, post_id, parent_depth", "author_id"],
    )
    _table(
        "attachments",
        _key(),
        _reference("post_id", "posts.id", "CASCADE"),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("item_id", sa.Uuid()),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        unique=["post_id, position"],
        checks={
            "position": "position >= 0",
            "media_type": "media_type ~ '^[a-z]+/[^ ]+$'",
            "size_bytes": "size_bytes >= 0",
            "sha256": "sha256 ~ '^[0-9a-f]{64}$'",
        },
        indexes=["item_id"],
    )
    _table(
        "reactions",
        _reference("post_id", "posts.id", "CASCADE", primary_key=True),
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        choices={"kind": "like love helpful funny"},
        indexes=["user_id"],
    )
    _table(
        "moderation_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        _reference("post_id", "posts.id", "RESTRICT", nullable=True),
        _reference("comment_id", "comments.id", "RESTRICT", nullable=True),
        sa.Column("moderator_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _reference("reason_code", "report_reasons.code", "RESTRICT", type_=sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("acted_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        choices={"state": "visible hidden removed"},
        checks={"subject": "num_nonnulls(post_id, comment_id) = 1", "note": "btrim(note) <> ''"},
        indexes=["post_id", "comment_id", "moderator_id", "reason_code"],
    )
    _table(
        "reports",
        _key(),
        _reference("post_id", "posts.id", "CASCADE", nullable=True),
        _reference("comment_id", "comments.id", "CASCADE", nullable=True),
        sa.Column("reporter_id", sa.Uuid(), nullable=False),
        _reference("reason_code", "report_reasons.code", "RESTRICT", type_=sa.Text()),
        sa.Column("note", sa.Text()),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("created_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        sa.Column("resolved_at", TIMESTAMPTZ),
        _reference("action_id", "moderation_actions.id", "SET NULL", type_=sa.BigInteger(), nullable=True),
        unique=["post_id, reporter_id", "comment_id, reporter_id"],
        choices={"status": "open upheld dismissed"},
        checks={
            "subject": "num_nonnulls(post_id, comment_id) = 1",
            "resolved_at": "(status = 'open') = (resolved_at IS NULL)",
        },
        indexes=["reporter_id", "reason_code", "action_id"],
    )


def _create_functions() -> None:
    for body in (*FUNCTIONS, *VIEWS):
        op.execute(body)
    # A view reads with its owner's rights unless it is told to use the reader's.
    for view in ("account_balances", "listing_ratings", "visible_posts"):
        op.execute(f"ALTER VIEW community.{view} SET (security_invoker = true)")
    for table in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON community.{table}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
        )
    for table, call in AUDITED.items():
        op.execute(
            f"CREATE TRIGGER record_audit AFTER INSERT OR DELETE OR UPDATE ON community.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION {call}"
        )
    for table, event, call in GUARDS:
        op.execute(
            f"CREATE TRIGGER {call.partition('(')[0]} {event} ON community.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION community.{call}"
        )
    for table, call in AT_COMMIT:
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {call.partition('(')[0]} AFTER INSERT OR DELETE OR UPDATE"
            f" ON community.{table} DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW EXECUTE FUNCTION community.{call}"
        )


def _refer_to_tables_in_use() -> None:
    for table, column, target, ondelete in OUTWARD:
        schema, _, name = target.partition(".")
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            name,
            [column],
            ["id"],
            source_schema="community",
            referent_schema=schema,
            ondelete=ondelete,
        )


def _table(
    table: str,
    *columns: sa.Column[Any],
    unique: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    keys: Sequence[tuple[str, str, str, str]] = (),
    indexes: Sequence[str] = (),
    alone: tuple[str, str | None] | None = None,
) -> None:
    """Create a table whose constraints and indexes carry the project's names.

    Args:
        table: Its name.
        columns: Its columns; foreign keys of one column stand there.
        unique: Columns of each unique constraint.
        choices: Column, and the words that it may hold.
        checks: Last part of the name, and the condition.
        keys: Foreign keys of several columns: they, the table, its columns, and what happens on delete.
        indexes: Columns of each index.
        alone: A column whose rows may not overlap in ``during``, and the condition for it.
    """
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *columns,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(
            sa.UniqueConstraint(*terms.split(", "), name=op.f(f"uq_{table}_{terms.replace(', ', '_')}"))
            for terms in unique
        ),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        *(_foreign_key(table, *key) for key in keys),
        schema="community",
    )
    for terms in indexes:
        names = "_".join(terms.replace(" DESC", "").split(", "))
        op.create_index(op.f(f"ix_{table}_{names}"), table, [sa.text(terms)], schema="community")
    if alone is not None:
        _keep_apart(table, *alone)


def _keep_apart(table: str, column: str, where: str | None) -> None:
    condition = f" WHERE ({where})" if where else ""
    op.execute(
        f"ALTER TABLE community.{table} ADD CONSTRAINT ex_{table}_{column}_during EXCLUDE USING gist"
        f" (community.uuid_range({column}, {column}, '[]') WITH &&, during WITH &&){condition}"
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _foreign_key(table: str, columns: str, target: str, there: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        columns.split(", "),
        [f"community.{target}.{column}" for column in there.split(", ")],
        name=op.f(f"fk_{table}_{columns.replace(', ', '_')}"),
        ondelete=ondelete,
    )


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()"))


def _reference(
    name: str,
    target: str,
    ondelete: str,
    *,
    type_: Any = None,
    nullable: bool = False,
    primary_key: bool = False,
) -> sa.Column[Any]:
    key = sa.ForeignKey(f"community.{target}", ondelete=ondelete)
    return sa.Column(name, type_ or sa.Uuid(), key, nullable=nullable, primary_key=primary_key)


def _moderated() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("moderation_state", sa.Text(), server_default="visible", nullable=False),
        sa.Column(
            "is_visible",
            sa.Boolean(),
            sa.Computed("moderation_state = 'visible'", persisted=True),
            nullable=False,
        ),
    )


def _timestamps() -> tuple[sa.Column[Any], ...]:
    return tuple(
        sa.Column(name, TIMESTAMPTZ, server_default=NOW, nullable=False)
        for name in ("created_at", "updated_at")
    )
