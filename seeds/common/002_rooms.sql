INSERT INTO smart_home.rooms (name, type, floor) VALUES
    ('Living Room', 'living_room', 1),
    ('Kitchen', 'kitchen', 1)
ON CONFLICT (name) DO NOTHING;
