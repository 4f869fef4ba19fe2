INSERT INTO core.users (id, email, password_hash, full_name, role, is_active, created_at, updated_at)
SELECT pg_temp.key('users', n),
       lower(pg_temp.first_name(h, 0) || '.' || pg_temp.last_name(h, 1)) || n || '@example.com',
       'argon2id$$' || md5(h), pg_temp.first_name(h, 0) || ' ' || pg_temp.last_name(h, 1),
       CASE n % 3 WHEN 1 THEN 'admin' WHEN 2 THEN 'user' ELSE 'guest' END, pg_temp.part(h, 2, 50) > 0,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1, pg_temp.part(h, 3, 9999999))
FROM pg_temp.rows_of('users', $core_users);

INSERT INTO core.households (id, name, currency, timezone, created_at, updated_at)
SELECT pg_temp.key('households', n), 'The ' || pg_temp.last_name(h, 0) || 's',
       pg_temp.word(h, 1, '{USD,USD,EUR,EUR,GBP,CHF,SEK}'),
       pg_temp.word(h, 1, '{America/New_York,America/Chicago,Europe/Berlin,Europe/Paris,Europe/London,Europe/Zurich,Europe/Stockholm}'),
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('households', $core_households);

INSERT INTO core.household_members (household_id, user_id, role, joined_at)
SELECT pg_temp.key('households', 1 + (n - 1) / 3), pg_temp.key('users', n),
       CASE n % 3 WHEN 1 THEN 'owner' WHEN 2 THEN 'member' ELSE 'child' END, pg_temp.moment(1, 1, n)
FROM pg_temp.rows_of('household_members', $core_household_members);

INSERT INTO core.sessions (id, user_id, token_hash, ip_address, user_agent, created_at, expires_at, revoked_at)
SELECT pg_temp.key('sessions', n), pg_temp.any_key(h, 0, 'users', $core_users), md5(h),
       ('192.168.' || pg_temp.part(h, 1, 255) || '.' || pg_temp.part(h, 2, 255))::inet,
       pg_temp.word(h, 3, '{HomeOps/1.0 (Android),HomeOps/1.0 (iOS),Mozilla/5.0 (X11)}'),
       pg_temp.moment(n, $core_sessions), pg_temp.moment(n, $core_sessions, 2592000),
       CASE WHEN pg_temp.part(h, 4, 5) = 0 THEN pg_temp.moment(n, $core_sessions, pg_temp.part(h, 5, 2592000)) END
FROM pg_temp.rows_of('sessions', $core_sessions);

INSERT INTO core.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at, updated_at)
SELECT pg_temp.key('api_keys', n), pg_temp.key('users', n), pg_temp.word(h, 0, '{Wall tablet,Script,Export,Voice}'),
       left(encode(h, 'hex'), 8), md5(h), CASE WHEN n % 2 = 0 THEN '{read}' ELSE '{read,write}' END::text[],
       pg_temp.moment(1, 1, n), pg_temp.moment(1, 1, n)
FROM pg_temp.rows_of('api_keys', $core_api_keys);

INSERT INTO core.system_config (key, value, category, description, created_at, updated_at)
SELECT 'rehearsal.setting_' || n, to_jsonb(pg_temp.part(h, 0, 1000)), 'rehearsal', 'Setting ' || n,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('system_config', $core_system_config);

INSERT INTO core.notifications (id, user_id, severity, title, body, details, created_at, read_at)
SELECT pg_temp.key('notifications', n), pg_temp.any_key(h, 0, 'users', $core_users),
       pg_temp.word(h, 1, '{info,info,info,info,warning,critical}'),
       pg_temp.word(h, 2, '{Budget nearly used,Device offline,Battery low,Large payment,New episode,Door left open}'),
       CASE WHEN pg_temp.part(h, 3, 3) > 0 THEN 'Number ' || n END,
       jsonb_build_object('source', pg_temp.word(h, 2, '{budget,device,device,transaction,media,device}'), 'number', n),
       pg_temp.moment(n, $core_notifications),
       CASE WHEN pg_temp.part(h, 4, 4) > 0
            THEN pg_temp.moment(n, $core_notifications, pg_temp.part(h, 5, 86400)) END
FROM pg_temp.rows_of('notifications', $core_notifications);

INSERT INTO core.audit_log
    (id, table_schema, table_name, row_key, operation, changed_columns, old_row, new_row, changed_at, actor, app_user)
OVERRIDING SYSTEM VALUE
SELECT n, 'financial', 'transactions', pg_temp.key('transactions', 1 + n % $financial_transactions),
       CASE n % 3 WHEN 0 THEN 'UPDATE' ELSE 'INSERT' END, CASE n % 3 WHEN 0 THEN '{description}'::text[] END,
       CASE n % 3 WHEN 0 THEN jsonb_build_object('description', NULL, 'status', 'posted') END,
       jsonb_build_object('description', 'Note ' || pg_temp.part(h, 0, 1000), 'status', 'posted'),
       pg_temp.moment(n, $core_audit_log), 'homeops', pg_temp.any_key(h, 1, 'users', $core_users)
FROM pg_temp.rows_of('audit_log', $core_audit_log);

SELECT setval(pg_get_serial_sequence('core.audit_log', 'id'), $core_audit_log);
