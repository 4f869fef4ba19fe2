INSERT INTO community.licences (code, name, description, allows_commercial_use, allows_sharing)
VALUES ('app_household', 'App household', 'For everyone in the household.', false, false);

SELECT code, name, description, allows_commercial_use, allows_sharing
FROM community.licences
WHERE code = 'app_household';

UPDATE community.licences SET description = 'For all who live there.', allows_sharing = true WHERE code = 'app_household';

INSERT INTO community.licences (code, name, description) VALUES ('app_gone', 'App gone', 'Nobody wanted it.');

DELETE FROM community.licences WHERE code = 'app_gone';

INSERT INTO community.report_reasons (code, name, description, is_urgent)
VALUES ('app_spam', 'App spam', 'Advertising.', false);

SELECT code, name, description, is_urgent
FROM community.report_reasons
WHERE code = 'app_spam';

UPDATE community.report_reasons SET is_urgent = true WHERE code = 'app_spam';

INSERT INTO community.report_reasons (code, name, description) VALUES ('app_gone', 'App gone', 'Nobody used it.');

DELETE FROM community.report_reasons WHERE code = 'app_gone';

INSERT INTO core.users (id, email, password_hash, full_name, role)
VALUES ('00000000-0000-4000-8000-000002000001', 'seller@community.example', 'x', 'Seller', 'user');

INSERT INTO core.users (id, email, password_hash, full_name, role)
VALUES ('00000000-0000-4000-8000-000002000002', 'helper@community.example', 'x', 'Helper', 'user');

INSERT INTO community.profiles (id, user_id, name, biography)
VALUES ('00000000-0000-4000-8000-000002000010', '00000000-0000-4000-8000-000002000001', 'App Seller', 'Sells automations.');

SELECT id, user_id, name, biography, status, created_at, updated_at
FROM community.profiles
WHERE id = '00000000-0000-4000-8000-000002000010';

UPDATE community.profiles SET name = 'The App Seller', status = 'active' WHERE id = '00000000-0000-4000-8000-000002000010';

INSERT INTO community.profiles (id, user_id, name) VALUES ('00000000-0000-4000-8000-000002000012', '00000000-0000-4000-8000-000000000001', 'App Short Visit');

DELETE FROM community.profiles WHERE id = '00000000-0000-4000-8000-000002000012';

INSERT INTO community.profiles (id, user_id, name) VALUES ('00000000-0000-4000-8000-000002000011', '00000000-0000-4000-8000-000002000002', 'App Helper');

INSERT INTO community.listings
    (id, profile_id, licence_code, kind, title, summary, status, price, currency, automation_id, published_at)
VALUES ('00000000-0000-4000-8000-000002000020', '00000000-0000-4000-8000-000002000010', 'app_household', 'automation', 'Lights out at ten', 'Off they go.', 'published',
        9.99, 'USD', '00000000-0000-4000-8000-00000000000b', now());

SELECT id, profile_id, licence_code, kind, title, summary, status, price, currency, is_free,
       automation_id, scene_id, playlist_id, published_at, created_at, updated_at
FROM community.listings
WHERE id = '00000000-0000-4000-8000-000002000020';

UPDATE community.listings SET price = 10.01, summary = 'Off they all go.' WHERE id = '00000000-0000-4000-8000-000002000020';

INSERT INTO community.listings (id, profile_id, licence_code, kind, title, playlist_id)
VALUES ('00000000-0000-4000-8000-000002000022', '00000000-0000-4000-8000-000002000010', 'app_household', 'playlist', 'Never finished', '00000000-0000-4000-8000-000000000010');

DELETE FROM community.listings WHERE id = '00000000-0000-4000-8000-000002000022';

INSERT INTO community.listings (id, profile_id, licence_code, kind, title, status, price, published_at)
VALUES ('00000000-0000-4000-8000-000002000021', '00000000-0000-4000-8000-000002000010', 'app_household', 'service', 'An hour of help', 'published', 40, now());

INSERT INTO community.listing_versions (id, listing_id, version, content, notes)
VALUES ('00000000-0000-4000-8000-000002000028', '00000000-0000-4000-8000-000002000020', '1.0.0', '{"actions": []}', 'First release');

SELECT id, listing_id, version, content, notes, released_at
FROM community.listing_versions
WHERE id = '00000000-0000-4000-8000-000002000028';

UPDATE community.listing_versions SET notes = 'The first release' WHERE id = '00000000-0000-4000-8000-000002000028';

INSERT INTO community.listing_versions (id, listing_id, version) VALUES ('00000000-0000-4000-8000-000002000029', '00000000-0000-4000-8000-000002000020', '1.0.1');

DELETE FROM community.listing_versions WHERE id = '00000000-0000-4000-8000-000002000029';

INSERT INTO community.revenue_plans (id, listing_id, during)
VALUES ('00000000-0000-4000-8000-000002000030', '00000000-0000-4000-8000-000002000020', '[2020-01-01,2030-01-01)');

SELECT id, listing_id, during, created_at
FROM community.revenue_plans
WHERE id = '00000000-0000-4000-8000-000002000030';

UPDATE community.revenue_plans SET during = '[2020-01-01,)' WHERE id = '00000000-0000-4000-8000-000002000030';

INSERT INTO community.revenue_plans (id, listing_id, during)
VALUES ('00000000-0000-4000-8000-000002000031', '00000000-0000-4000-8000-000002000020', '[2010-01-01,2011-01-01)');

DELETE FROM community.revenue_plans WHERE id = '00000000-0000-4000-8000-000002000031';

INSERT INTO community.revenue_shares (plan_id, profile_id, share_percent)
VALUES ('00000000-0000-4000-8000-000002000030', '00000000-0000-4000-8000-000002000010', 70), ('00000000-0000-4000-8000-000002000030', '00000000-0000-4000-8000-000002000011', 30);

SELECT plan_id, profile_id, share_percent
FROM community.revenue_shares
WHERE plan_id = '00000000-0000-4000-8000-000002000030';

UPDATE community.revenue_shares SET share_percent = 100 - share_percent WHERE plan_id = '00000000-0000-4000-8000-000002000030';

DELETE FROM community.revenue_shares WHERE plan_id = '00000000-0000-4000-8000-000002000030' AND share_percent > 100;

SELECT profile_id, amount FROM community.revenue_split('00000000-0000-4000-8000-000002000020', 10.01, current_date);

INSERT INTO community.orders (id, buyer_id, currency, total)
VALUES ('00000000-0000-4000-8000-000002000040', '00000000-0000-4000-8000-000000000001', 'USD', 0);

SELECT id, buyer_id, status, currency, total, paid_at, transaction_id, created_at, updated_at
FROM community.orders
WHERE id = '00000000-0000-4000-8000-000002000040';

INSERT INTO community.orders (id, buyer_id) VALUES ('00000000-0000-4000-8000-000002000041', '00000000-0000-4000-8000-000000000001');

DELETE FROM community.orders WHERE id = '00000000-0000-4000-8000-000002000041';

INSERT INTO community.order_items (id, order_id, buyer_id, listing_id, currency, quantity, unit_price)
VALUES ('00000000-0000-4000-8000-000002000048', '00000000-0000-4000-8000-000002000040', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000002000020', 'USD', 1, 10.01);

SELECT id, order_id, buyer_id, listing_id, currency, quantity, unit_price, amount, created_at
FROM community.order_items
WHERE order_id = '00000000-0000-4000-8000-000002000040';

INSERT INTO community.order_items (id, order_id, buyer_id, listing_id, unit_price)
VALUES ('00000000-0000-4000-8000-000002000049', '00000000-0000-4000-8000-000002000040', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000002000021', 40);

DELETE FROM community.order_items WHERE id = '00000000-0000-4000-8000-000002000049';

UPDATE community.order_items SET quantity = 2 WHERE id = '00000000-0000-4000-8000-000002000048';

UPDATE community.orders
SET total = (SELECT sum(amount) FROM community.order_items WHERE order_id = '00000000-0000-4000-8000-000002000040')
WHERE id = '00000000-0000-4000-8000-000002000040';

UPDATE community.orders SET status = 'paid', paid_at = now(), transaction_id = '00000000-0000-4000-8000-000000000007' WHERE id = '00000000-0000-4000-8000-000002000040';

SELECT community.book_order('00000000-0000-4000-8000-000002000040');

INSERT INTO community.licence_grants (id, order_item_id, listing_id, user_id, licence_code, key_hash)
VALUES ('00000000-0000-4000-8000-000002000050', '00000000-0000-4000-8000-000002000048', '00000000-0000-4000-8000-000002000020', '00000000-0000-4000-8000-000000000001', 'app_household', 'app-hash-of-a-key');

SELECT id, order_item_id, listing_id, user_id, licence_code, key_hash, granted_at, revoked_at
FROM community.licence_grants
WHERE id = '00000000-0000-4000-8000-000002000050';

UPDATE community.licence_grants SET revoked_at = NULL WHERE id = '00000000-0000-4000-8000-000002000050';

INSERT INTO community.reviews (id, licence_grant_id, listing_id, reviewer_id, stars, title, body)
VALUES ('00000000-0000-4000-8000-000002000058', '00000000-0000-4000-8000-000002000050', '00000000-0000-4000-8000-000002000020', '00000000-0000-4000-8000-000000000001', 4, 'Good', 'It does what it says.');

SELECT id, licence_grant_id, listing_id, reviewer_id, stars, title, body, created_at, updated_at
FROM community.reviews
WHERE id = '00000000-0000-4000-8000-000002000058';

UPDATE community.reviews SET stars = 5 WHERE id = '00000000-0000-4000-8000-000002000058';

DELETE FROM community.reviews WHERE stars = 5 AND body IS NULL;

DELETE FROM community.licence_grants WHERE revoked_at < now() - interval '10 years';

INSERT INTO community.bookings (id, listing_id, profile_id, customer_id, order_item_id, during, note)
VALUES ('00000000-0000-4000-8000-000002000060', '00000000-0000-4000-8000-000002000021', '00000000-0000-4000-8000-000002000010', '00000000-0000-4000-8000-000000000001', NULL, '[2026-03-01 09:00+00,2026-03-01 10:00+00)', 'Ring twice');

SELECT id, listing_id, profile_id, kind, customer_id, order_item_id, during, status, note,
       created_at, updated_at
FROM community.bookings
WHERE id = '00000000-0000-4000-8000-000002000060';

UPDATE community.bookings SET status = 'confirmed' WHERE id = '00000000-0000-4000-8000-000002000060';

INSERT INTO community.bookings (id, listing_id, profile_id, customer_id, during)
VALUES ('00000000-0000-4000-8000-000002000061', '00000000-0000-4000-8000-000002000021', '00000000-0000-4000-8000-000002000010', '00000000-0000-4000-8000-000000000001', '[2026-03-01 10:00+00,2026-03-01 11:00+00)');

DELETE FROM community.bookings WHERE id = '00000000-0000-4000-8000-000002000061';

INSERT INTO community.accounts (id, profile_id, kind, currency)
VALUES ('00000000-0000-4000-8000-000002000070', '00000000-0000-4000-8000-000002000010', 'earnings', 'EUR');

SELECT id, profile_id, kind, currency, created_at, updated_at
FROM community.accounts
WHERE profile_id = '00000000-0000-4000-8000-000002000010' AND kind = 'earnings';

UPDATE community.accounts SET updated_at = now() WHERE profile_id = '00000000-0000-4000-8000-000002000010' AND kind = 'earnings';

INSERT INTO community.accounts (id, kind, currency) VALUES ('00000000-0000-4000-8000-000002000071', 'clearing', 'EUR');

INSERT INTO community.accounts (id, profile_id, kind, currency) VALUES ('00000000-0000-4000-8000-000002000072', '00000000-0000-4000-8000-000002000011', 'earnings', 'CHF');

DELETE FROM community.accounts WHERE id = '00000000-0000-4000-8000-000002000072';

INSERT INTO community.journal (id, kind, reference, order_id, description)
VALUES ('00000000-0000-4000-8000-000002000078', 'adjustment', 'adjustment:app', NULL, 'A thank-you');

SELECT id, kind, reference, order_id, description, booked_at
FROM community.journal
WHERE id = '00000000-0000-4000-8000-000002000078';

INSERT INTO community.ledger_entries (journal_id, account_id, currency, amount)
VALUES ('00000000-0000-4000-8000-000002000078', '00000000-0000-4000-8000-000002000070', 'EUR', 30), ('00000000-0000-4000-8000-000002000078', '00000000-0000-4000-8000-000002000071', 'EUR', -30);

SELECT id, journal_id, account_id, currency, amount
FROM community.ledger_entries
WHERE journal_id = '00000000-0000-4000-8000-000002000078';

INSERT INTO community.payouts (id, account_id, profile_id, currency, amount)
VALUES ('00000000-0000-4000-8000-000002000080', '00000000-0000-4000-8000-000002000070', '00000000-0000-4000-8000-000002000010', 'EUR', 20);

SELECT id, account_id, profile_id, currency, amount, status, approved_by, paid_at, journal_id,
       transaction_id, created_at, updated_at
FROM community.payouts
WHERE id = '00000000-0000-4000-8000-000002000080';

UPDATE community.payouts SET status = 'approved', approved_by = '00000000-0000-4000-8000-000000000001' WHERE id = '00000000-0000-4000-8000-000002000080';

INSERT INTO community.payouts (id, account_id, profile_id, currency, amount)
VALUES ('00000000-0000-4000-8000-000002000081', '00000000-0000-4000-8000-000002000070', '00000000-0000-4000-8000-000002000010', 'EUR', 5);

DELETE FROM community.payouts WHERE id = '00000000-0000-4000-8000-000002000081';

SELECT community.book_payout('00000000-0000-4000-8000-000002000080', '00000000-0000-4000-8000-000000000007');

SELECT account_id, profile_id, kind, currency, balance, reserved, available FROM community.account_balances;

SELECT listing_id, reviews, average_stars, satisfied FROM community.listing_ratings;

INSERT INTO community.posts (id, author_id, listing_id, title, body, moderation_state)
VALUES ('00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000002000020', 'Lights out', 'At ten, every day.', 'visible');

SELECT id, author_id, listing_id, title, body, moderation_state, is_visible, created_at,
       updated_at
FROM community.posts
WHERE id = '00000000-0000-4000-8000-000002000090';

UPDATE community.posts SET body = 'At ten, every evening.' WHERE id = '00000000-0000-4000-8000-000002000090';

INSERT INTO community.posts (id, author_id, title) VALUES ('00000000-0000-4000-8000-000002000091', '00000000-0000-4000-8000-000000000001', 'A slip of the finger');

DELETE FROM community.posts WHERE id = '00000000-0000-4000-8000-000002000091';

INSERT INTO community.comments (id, post_id, author_id, body, moderation_state)
VALUES ('00000000-0000-4000-8000-0000020000a0', '00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-000002000001', 'Thank you!', 'visible');

SELECT id, post_id, parent_id, depth, parent_depth, author_id, body, moderation_state, is_visible,
       created_at, updated_at
FROM community.comments
WHERE post_id = '00000000-0000-4000-8000-000002000090';

INSERT INTO community.comments (id, post_id, parent_id, depth, author_id, body)
VALUES ('00000000-0000-4000-8000-0000020000a1', '00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-0000020000a0', 1, '00000000-0000-4000-8000-000000000001', 'You are welcome.');

DELETE FROM community.comments WHERE id = '00000000-0000-4000-8000-0000020000a1';

UPDATE community.comments SET body = 'Thank you all!' WHERE id = '00000000-0000-4000-8000-0000020000a0';

INSERT INTO community.attachments (id, post_id, position, item_id, file_name, media_type, size_bytes, sha256)
VALUES ('00000000-0000-4000-8000-0000020000a8', '00000000-0000-4000-8000-000002000090', 0, '00000000-0000-4000-8000-00000000000d', 'house.jpg', 'image/jpeg', 1234, repeat('0a', 32));

SELECT id, post_id, position, item_id, file_name, media_type, size_bytes, sha256
FROM community.attachments
WHERE id = '00000000-0000-4000-8000-0000020000a8';

UPDATE community.attachments SET position = 1 WHERE id = '00000000-0000-4000-8000-0000020000a8';

INSERT INTO community.attachments (id, post_id, file_name, media_type, size_bytes, sha256)
VALUES ('00000000-0000-4000-8000-0000020000a9', '00000000-0000-4000-8000-000002000090', 'again.jpg', 'image/jpeg', 1, repeat('0b', 32));

DELETE FROM community.attachments WHERE id = '00000000-0000-4000-8000-0000020000a9';

INSERT INTO community.reactions (post_id, user_id, kind)
VALUES ('00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-000002000001', 'like');

SELECT post_id, user_id, kind, created_at
FROM community.reactions
WHERE post_id = '00000000-0000-4000-8000-000002000090';

UPDATE community.reactions SET kind = 'helpful' WHERE post_id = '00000000-0000-4000-8000-000002000090';

INSERT INTO community.reactions (post_id, user_id, kind) VALUES ('00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-000000000001', 'funny');

DELETE FROM community.reactions WHERE post_id = '00000000-0000-4000-8000-000002000090' AND kind = 'funny';

INSERT INTO community.reports (id, post_id, reporter_id, reason_code, note)
VALUES ('00000000-0000-4000-8000-0000020000b0', '00000000-0000-4000-8000-000002000090', '00000000-0000-4000-8000-000002000002', 'app_spam', 'Is this an advertisement?');

SELECT id, post_id, comment_id, reporter_id, reason_code, note, status, created_at, resolved_at,
       action_id
FROM community.reports
WHERE id = '00000000-0000-4000-8000-0000020000b0';

INSERT INTO community.reports (id, comment_id, reporter_id, reason_code)
VALUES ('00000000-0000-4000-8000-0000020000b1', '00000000-0000-4000-8000-0000020000a0', '00000000-0000-4000-8000-000002000002', 'app_spam');

DELETE FROM community.reports WHERE id = '00000000-0000-4000-8000-0000020000b1';

INSERT INTO community.moderation_actions (post_id, comment_id, moderator_id, state, reason_code, note)
VALUES ('00000000-0000-4000-8000-000002000090', NULL, '00000000-0000-4000-8000-000000000001', 'visible', 'app_spam', 'It is a tip, not an advertisement.');

SELECT id, post_id, comment_id, moderator_id, state, reason_code, note, acted_at
FROM community.moderation_actions
WHERE post_id = '00000000-0000-4000-8000-000002000090';

UPDATE community.reports
SET status = 'dismissed', resolved_at = now(),
    action_id = (SELECT max(id) FROM community.moderation_actions WHERE post_id = '00000000-0000-4000-8000-000002000090')
WHERE id = '00000000-0000-4000-8000-0000020000b0';

SELECT post_id, author_id, listing_id, title, body, created_at, comments, reactions FROM community.visible_posts;

UPDATE community.orders SET status = 'refunded' WHERE id = '00000000-0000-4000-8000-000002000040';

SELECT community.book_refund('00000000-0000-4000-8000-000002000040');
