-- What is sent at every version, again and again: new rows without a literal id, and changes of old ones.

INSERT INTO financial.transactions (account_id, category_id, transaction_date, amount, merchant_name)
VALUES ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000006', '2026-01-20', -17.63, 'Corner Shop');

UPDATE financial.transactions SET amount = -amount WHERE id = '00000000-0000-4000-8000-000000000007';

UPDATE financial.accounts SET opening_balance = opening_balance + 1 WHERE id = '00000000-0000-4000-8000-000000000004';

UPDATE financial.holdings SET quantity = quantity + 0.25 WHERE id = '00000000-0000-4000-8000-00000000001a';

INSERT INTO core.notifications (user_id, title) VALUES ('00000000-0000-4000-8000-000000000001', 'Once more');

UPDATE core.users SET full_name = full_name || '.' WHERE id = '00000000-0000-4000-8000-000000000001';

INSERT INTO smart_home.device_states (device_id, recorded_at, state, reading)
VALUES ('00000000-0000-4000-8000-00000000000a', clock_timestamp(), '{"on": true}', 41.7);

UPDATE smart_home.devices SET settings = settings || '{"seen": 1}' WHERE id = '00000000-0000-4000-8000-00000000000a';

INSERT INTO media.playback_sessions (user_id, item_id, progress_percent)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000e', 12.5);

UPDATE media.items SET rating = 7.7 WHERE id = '00000000-0000-4000-8000-00000000000d';
