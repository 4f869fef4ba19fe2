INSERT INTO smart_home.rooms (name, type, floor, area_m2) VALUES
    ('Hallway', 'hallway', 1, 9.5),
    ('Dining Room', 'dining_room', 1, 16.0),
    ('Garage', 'garage', 1, 24.0),
    ('Main Bedroom', 'bedroom', 2, 18.5),
    ('Guest Bedroom', 'bedroom', 2, 13.0),
    ('Bathroom', 'bathroom', 2, 8.0),
    ('Office', 'office', 2, 12.0),
    ('Basement', 'basement', -1, 40.0),
    ('Garden', 'outdoor', 1, 220.0)
ON CONFLICT (name) DO NOTHING;

-- serial_number names a device in every file that follows.
INSERT INTO smart_home.devices (room_id, name, type, protocol, manufacturer, model, serial_number, settings)
SELECT r.id, device.name, device.type, device.protocol, 'Example Devices', device.model, device.serial_number,
       device.settings
FROM (VALUES
    ('Living Room', 'Living Room Ceiling Light', 'light', 'zigbee', 'EX-L1', 'TEST-LGT-1', '{"dimmable": true}'::jsonb),
    ('Living Room', 'Living Room Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-1', '{"unit": "°C"}'),
    ('Living Room', 'Living Room TV', 'media_player', 'wifi', 'EX-M1', 'TEST-TV-1', '{}'),
    ('Living Room', 'Living Room Blinds', 'cover', 'zwave', 'EX-B1', 'TEST-COV-1', '{"open_seconds": 21}'),
    ('Kitchen', 'Kitchen Light', 'light', 'zigbee', 'EX-L1', 'TEST-LGT-2', '{"dimmable": false}'),
    ('Kitchen', 'Kitchen Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-2', '{"unit": "°C"}'),
    ('Kitchen', 'Kitchen Leak Sensor', 'sensor', 'zigbee', 'EX-W1', 'TEST-LEK-1', '{}'),
    ('Kitchen', 'Dishwasher Outlet', 'outlet', 'matter', 'EX-P1', 'TEST-PWR-1', '{"unit": "W"}'),
    ('Hallway', 'Front Door Lock', 'lock', 'zwave', 'EX-K1', 'TEST-LCK-1', '{"auto_lock_seconds": 120}'),
    ('Hallway', 'Hallway Thermostat', 'thermostat', 'matter', 'EX-T1', 'TEST-THM-1', '{"unit": "°C"}'),
    ('Hallway', 'Hub', 'hub', 'ethernet', 'EX-H1', 'TEST-HUB-1', '{}'),
    ('Main Bedroom', 'Bedroom Light', 'light', 'zigbee', 'EX-L1', 'TEST-LGT-3', '{"dimmable": true}'),
    ('Main Bedroom', 'Bedroom Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-3', '{"unit": "°C"}'),
    ('Guest Bedroom', 'Guest Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-4', '{"unit": "°C"}'),
    ('Bathroom', 'Bathroom Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-5', '{"unit": "°C"}'),
    ('Office', 'Office Climate Sensor', 'sensor', 'thread', 'EX-C2', 'TEST-CLI-6', '{"unit": "°C"}'),
    ('Office', 'Desk Outlet', 'outlet', 'matter', 'EX-P1', 'TEST-PWR-2', '{"unit": "W"}'),
    ('Garage', 'Garage Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-7', '{"unit": "°C"}'),
    ('Garage', 'Car Charger', 'outlet', 'wifi', 'EX-P2', 'TEST-PWR-3', '{"unit": "W"}'),
    ('Basement', 'Basement Climate Sensor', 'sensor', 'zigbee', 'EX-C1', 'TEST-CLI-8', '{"unit": "°C"}'),
    ('Basement', 'House Meter', 'sensor', 'ethernet', 'EX-E1', 'TEST-PWR-4', '{"unit": "W"}'),
    ('Garden', 'Garden Climate Sensor', 'sensor', 'bluetooth', 'EX-C3', 'TEST-CLI-9', '{"unit": "°C"}'),
    ('Garden', 'Garden Camera', 'camera', 'wifi', 'EX-V1', 'TEST-CAM-1', '{"motion_detection": true}')
) AS device (room, name, type, protocol, model, serial_number, settings)
JOIN smart_home.rooms r ON r.name = device.room
ON CONFLICT (serial_number) DO NOTHING;

INSERT INTO smart_home.scenes (room_id, name, description)
SELECT r.id, scene.name, scene.description
FROM (VALUES
    ('Living Room', 'Movie Night', 'Dim light, blinds down, television on'),
    ('Main Bedroom', 'Good Night', 'Everything off, door locked'),
    ('Kitchen', 'Cooking', 'Bright light in the kitchen')
) AS scene (room, name, description)
JOIN smart_home.rooms r ON r.name = scene.room
ON CONFLICT (name) DO NOTHING;

INSERT INTO smart_home.scene_actions (scene_id, device_id, state, transition_ms)
SELECT s.id, d.id, action.state, action.transition_ms
FROM (VALUES
    ('Movie Night', 'TEST-LGT-1', '{"on": true, "brightness": 15}'::jsonb, 3000),
    ('Movie Night', 'TEST-COV-1', '{"position": 0}', 0),
    ('Movie Night', 'TEST-TV-1', '{"on": true}', 0),
    ('Good Night', 'TEST-LGT-1', '{"on": false}', 1000),
    ('Good Night', 'TEST-LGT-2', '{"on": false}', 1000),
    ('Good Night', 'TEST-LGT-3', '{"on": false}', 5000),
    ('Good Night', 'TEST-LCK-1', '{"locked": true}', 0),
    ('Cooking', 'TEST-LGT-2', '{"on": true, "brightness": 100}', 500)
) AS action (scene, serial_number, state, transition_ms)
JOIN smart_home.scenes s ON s.name = action.scene
JOIN smart_home.devices d ON d.serial_number = action.serial_number
ON CONFLICT (scene_id, device_id) DO NOTHING;

INSERT INTO smart_home.automations (created_by, name, description, mode, triggers, conditions, actions)
SELECT u.id, automation.name, automation.description, automation.mode, automation.triggers,
       automation.conditions, automation.actions
FROM (VALUES
    ('Lights off at night', 'Runs the scene Good Night', 'single',
     '[{"at": "23:30"}]'::jsonb, '[]'::jsonb, '[{"scene": "Good Night"}]'::jsonb),
    ('Blinds up in the morning', 'Opens the blinds on working days', 'single',
     '[{"at": "07:00"}]', '[{"weekday": ["mon", "tue", "wed", "thu", "fri"]}]',
     '[{"device": "TEST-COV-1", "state": {"position": 100}}]'),
    ('Leak alarm', 'Warns when the kitchen gets wet', 'restart',
     '[{"device": "TEST-LEK-1", "state": {"wet": true}}]', '[]', '[{"notify": "critical"}]'),
    ('Heat the office', 'Warms the office before work', 'queued',
     '[{"at": "06:30"}]', '[{"device": "TEST-CLI-6", "below": 18}]',
     '[{"device": "TEST-THM-1", "state": {"target": 21}}]'),
    ('Charge the car', 'Charges while power is cheap', 'single',
     '[{"at": "01:00"}]', '[]', '[{"device": "TEST-PWR-3", "state": {"on": true}}]'),
    ('Hallway light on motion', 'Lights the way', 'parallel',
     '[{"device": "TEST-CAM-1", "state": {"motion": true}}]', '[{"after": "sunset"}]',
     '[{"device": "TEST-LGT-2", "state": {"on": true}}]')
) AS automation (name, description, mode, triggers, conditions, actions)
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
ON CONFLICT (name) DO NOTHING;
