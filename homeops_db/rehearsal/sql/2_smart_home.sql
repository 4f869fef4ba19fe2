INSERT INTO smart_home.rooms (id, name, type, floor, area_m2, created_at, updated_at)
SELECT pg_temp.key('rooms', n), initcap(replace(kind, '_', ' ')) || ' ' || n, kind, pg_temp.part(h, 0, 4) - 1,
       (600 + pg_temp.part(h, 1, 4000)) / 100.0, pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('rooms', $smart_home_rooms)
CROSS JOIN LATERAL (
    SELECT ('{living_room,kitchen,bedroom,bathroom,office,hallway,garage,outdoor}'::text[])[1 + n % 8] AS kind
) AS kinds;

INSERT INTO smart_home.devices
    (id, room_id, name, type, protocol, manufacturer, model, serial_number, settings, credentials, is_enabled,
     created_at, updated_at)
SELECT pg_temp.key('devices', n), pg_temp.key('rooms', 1 + n % $smart_home_rooms),
       initcap(replace(kind, '_', ' ')) || ' ' || n, kind, pg_temp.word(h, 0, '{zigbee,zwave,thread,matter,wifi}'),
       pg_temp.word(h, 1, '{Lumen,Hearth,Northlight,Quiet}'), 'M' || pg_temp.part(h, 2, 90), 'SN' || left(encode(h, 'hex'), 10) || n,
       jsonb_build_object('interval', 60 * (1 + pg_temp.part(h, 3, 10))),
       CASE WHEN n % 4 = 0 THEN jsonb_build_object('token', md5(h)) END, pg_temp.part(h, 4, 20) > 0,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('devices', $smart_home_devices)
CROSS JOIN LATERAL (
    SELECT ('{light,switch,outlet,sensor,thermostat,lock,camera,media_player}'::text[])[1 + n % 8] AS kind
) AS kinds;

INSERT INTO smart_home.device_states (device_id, recorded_at, state, reading, battery_percent)
SELECT pg_temp.any_key(h, 0, 'devices', $smart_home_devices), pg_temp.moment(n, $smart_home_device_states),
       jsonb_build_object('power', pg_temp.word(h, 1, '{on,off}'), 'level', pg_temp.part(h, 2, 101)),
       CASE WHEN pg_temp.part(h, 3, 10) > 0 THEN ((pg_temp.part(h, 4, 600) - 100) / 10.0)::double precision END,
       CASE WHEN pg_temp.part(h, 5, 3) = 0 THEN pg_temp.part(h, 6, 101) END
FROM pg_temp.rows_of('device_states', $smart_home_device_states);

INSERT INTO smart_home.automations
    (id, created_by, name, description, mode, triggers, actions, is_enabled, created_at, updated_at)
SELECT pg_temp.key('automations', n), pg_temp.any_key(h, 0, 'users', $core_users),
       pg_temp.word(h, 1, '{Lights at dusk,Heating at night,Doors at ten,Coffee at seven}') || ' ' || n,
       CASE WHEN n % 3 = 0 THEN 'Made by hand' END, pg_temp.word(h, 2, '{single,restart,queued,parallel}'),
       jsonb_build_array(jsonb_build_object('at', lpad(pg_temp.part(h, 3, 24)::text, 2, '0') || ':00')),
       jsonb_build_array(jsonb_build_object('device', pg_temp.any_key(h, 4, 'devices', $smart_home_devices))),
       pg_temp.part(h, 5, 6) > 0, pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('automations', $smart_home_automations);

INSERT INTO smart_home.automation_runs (id, automation_id, status, started_at, ended_at, error)
SELECT pg_temp.key('automation_runs', n), pg_temp.any_key(h, 0, 'automations', $smart_home_automations), outcome,
       pg_temp.moment(n, $smart_home_automation_runs),
       pg_temp.moment(n, $smart_home_automation_runs, pg_temp.part(h, 2, 40)),
       CASE WHEN outcome = 'failed' THEN 'The device did not answer' END
FROM pg_temp.rows_of('automation_runs', $smart_home_automation_runs)
CROSS JOIN LATERAL pg_temp.word(h, 1, '{succeeded,succeeded,succeeded,succeeded,failed,cancelled}') AS outcome;

INSERT INTO smart_home.scenes (id, room_id, name, description, created_at, updated_at)
SELECT pg_temp.key('scenes', n), pg_temp.any_key(h, 0, 'rooms', $smart_home_rooms),
       pg_temp.word(h, 1, '{Morning,Evening,Film,Guests,Away}') || ' ' || n, NULL,
       pg_temp.moment(1, 1), pg_temp.moment(1, 1)
FROM pg_temp.rows_of('scenes', $smart_home_scenes);

INSERT INTO smart_home.scene_actions (scene_id, device_id, state, transition_ms)
SELECT pg_temp.key('scenes', 1 + (n - 1) / 4), pg_temp.key('devices', n),
       jsonb_build_object('power', pg_temp.word(h, 0, '{on,off}')), 100 * pg_temp.part(h, 1, 20)
FROM pg_temp.rows_of('scene_actions', $smart_home_scene_actions);
