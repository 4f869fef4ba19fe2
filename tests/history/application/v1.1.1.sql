-- What the application of v1.1.1 sends besides: it asks for preferences by the index, and mends what it is given.

SELECT id FROM core.users WHERE preferences @> '{"theme": "dark"}';

SELECT count(*) FROM core.users WHERE preferences ? '_stored_as';

UPDATE core.users SET preferences = core.mended_preferences('"{\"theme\": \"light\"}"')
WHERE id = '00000000-0000-4000-8000-000000000001'
RETURNING preferences;

UPDATE core.users SET preferences = preferences - '_stored_as'
WHERE id = '00000000-0000-4000-8000-000000000001';
