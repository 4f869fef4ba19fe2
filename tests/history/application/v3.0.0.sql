-- What the application of v3.0.0 sends that no version before it did: schema ai, and merchant categories.

UPDATE financial.transactions SET merchant_category = 'groceries' WHERE id = '00000000-0000-4000-8000-000000000007';

SELECT id, merchant_category FROM financial.transactions WHERE merchant_category = 'groceries';

INSERT INTO ai.embedding_models (name, dimensions, distance, description)
VALUES ('application-test', 384, 'cosine', 'Made by the application'), ('application-old', 384, 'cosine', NULL);

UPDATE ai.embedding_models SET is_default = (name = 'application-test') WHERE is_default OR name = 'application-test';

SELECT name, dimensions, distance, is_default, description, created_at, updated_at FROM ai.embedding_models;

DELETE FROM ai.embedding_models WHERE name = 'application-old';

SELECT item_id, model, content, content_digest
FROM ai.items_to_embed
WHERE item_id IN ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000e');

INSERT INTO ai.item_embeddings (item_id, model, content_digest, embedding)
SELECT item_id, model, content_digest, array_fill(0.5::real, ARRAY[384])::vector
FROM ai.items_to_embed
WHERE item_id IN ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000e');

INSERT INTO ai.item_embeddings (item_id, model, content_digest, embedding)
VALUES (
    '00000000-0000-4000-8000-00000000000e', 'application-test', repeat('0', 64),
    (array_fill(0.5::real, ARRAY[383]) || 0.1::real)::vector
)
ON CONFLICT (item_id, model) DO UPDATE
SET content_digest = excluded.content_digest, embedding = excluded.embedding, embedded_at = now();

SELECT item_id, model, content_digest, embedded_at, embedding, dimensions FROM ai.item_embeddings;

SELECT item_id, title, type, distance FROM ai.similar_items('00000000-0000-4000-8000-00000000000d', 5);

SELECT item_id, embedding <=> array_fill(0.5::real, ARRAY[384])::vector AS distance
FROM ai.item_embeddings
WHERE model = 'application-test'
ORDER BY embedding <=> array_fill(0.5::real, ARRAY[384])::vector
LIMIT 5;

DELETE FROM ai.item_embeddings
WHERE item_id = '00000000-0000-4000-8000-00000000000e' AND model = 'application-test';

INSERT INTO ai.conversations (id, user_id, title, model)
VALUES
    ('00000000-0000-4000-8000-030000000001', '00000000-0000-4000-8000-000000000001', 'Heating', 'gpt-4'),
    ('00000000-0000-4000-8000-030000000002', '00000000-0000-4000-8000-000000000001', 'A mistake', 'gpt-4');

UPDATE ai.conversations SET title = 'Heating in spring', archived_at = now()
WHERE id = '00000000-0000-4000-8000-030000000001';

SELECT id, user_id, title, model, archived_at, created_at, updated_at
FROM ai.conversations
WHERE user_id = '00000000-0000-4000-8000-000000000001'
ORDER BY created_at DESC;

DELETE FROM ai.conversations WHERE id = '00000000-0000-4000-8000-030000000002';

INSERT INTO ai.messages (id, conversation_id, position, role, content, tokens)
VALUES
    ('00000000-0000-4000-8000-030000000003', '00000000-0000-4000-8000-030000000001', 1, 'system', 'Be brief.', 3),
    ('00000000-0000-4000-8000-030000000004', '00000000-0000-4000-8000-030000000001', 2, 'user', 'How warm is it?', 5);

INSERT INTO ai.messages
    (id, conversation_id, position, role, content, tokens, prompt_tokens, tool_calls, reply_to_id)
VALUES
    ('00000000-0000-4000-8000-030000000005', '00000000-0000-4000-8000-030000000001', 3, 'assistant', '', 0, 8,
     '[{"id": "call_1", "name": "temperature"}]', '00000000-0000-4000-8000-030000000004'),
    ('00000000-0000-4000-8000-030000000006', '00000000-0000-4000-8000-030000000001', 4, 'tool', '21.5', 3, NULL,
     NULL, '00000000-0000-4000-8000-030000000005'),
    ('00000000-0000-4000-8000-030000000007', '00000000-0000-4000-8000-030000000001', 5, 'assistant', '21.5 degrees.', 4,
     12, NULL, '00000000-0000-4000-8000-030000000004'),
    ('00000000-0000-4000-8000-030000000008', '00000000-0000-4000-8000-030000000001', 6, 'user', 'Thx', 1, NULL, NULL,
     NULL);

UPDATE ai.messages SET content = 'It is 21.5 degrees.', tokens = 6 WHERE id = '00000000-0000-4000-8000-030000000007';

SELECT id, conversation_id, position, role, content, tokens, prompt_tokens, tool_calls, reply_to_id, created_at
FROM ai.messages
WHERE conversation_id = '00000000-0000-4000-8000-030000000001'
ORDER BY position;

DELETE FROM ai.messages WHERE id = '00000000-0000-4000-8000-030000000008';

SELECT message_id, position, role, content, tokens
FROM ai.conversation_context('00000000-0000-4000-8000-030000000001', 15);

SELECT message_id, model, content, content_digest FROM ai.messages_to_embed;

INSERT INTO ai.message_embeddings (message_id, model, content_digest, embedding)
SELECT message_id, model, content_digest, array_fill(0.5::real, ARRAY[384])::vector
FROM ai.messages_to_embed
WHERE message_id IN ('00000000-0000-4000-8000-030000000004', '00000000-0000-4000-8000-030000000007');

UPDATE ai.message_embeddings SET embedded_at = now() WHERE message_id = '00000000-0000-4000-8000-030000000004';

SELECT message_id, model, content_digest, embedded_at, embedding, dimensions FROM ai.message_embeddings;

SELECT message_id, conversation_id, role, content, created_at, distance
FROM ai.search_messages('00000000-0000-4000-8000-000000000001', array_fill(0.25::real, ARRAY[384]), 5);

DELETE FROM ai.message_embeddings WHERE message_id = '00000000-0000-4000-8000-030000000007';

INSERT INTO ai.prediction_models (id, kind, version, algorithm, parameters, metrics, interval_level, trained_at)
VALUES
    ('00000000-0000-4000-8000-030000000009', 'spending', 'application-1', 'average', '{"months": 6}', '{}', 0.8, now()),
    ('00000000-0000-4000-8000-03000000000a', 'maintenance', 'application-1', 'average', '{}', '{"mae": 3}', 0.8, now()),
    ('00000000-0000-4000-8000-03000000000b', 'maintenance', 'application-2', 'average', '{}', '{}', 0.9, NULL);

SELECT ai.activate_prediction_model('00000000-0000-4000-8000-030000000009');

UPDATE ai.prediction_models SET metrics = '{"mae": 2.5}' WHERE id = '00000000-0000-4000-8000-03000000000a';

SELECT id, kind, version, algorithm, parameters, metrics, interval_level, trained_at, is_active, created_at, updated_at
FROM ai.prediction_models
ORDER BY kind, version;

DELETE FROM ai.prediction_models WHERE id = '00000000-0000-4000-8000-03000000000b';

INSERT INTO ai.predictions (id, model_id, kind, user_id, category_id, made_at, target_at, unit, value, lower, upper)
VALUES
    ('00000000-0000-4000-8000-03000000000c', '00000000-0000-4000-8000-030000000009', 'spending',
     '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000006', '2026-01-01', '2026-02-01', 'USD',
     400, 350, 450),
    ('00000000-0000-4000-8000-03000000000d', '00000000-0000-4000-8000-030000000009', 'spending',
     '00000000-0000-4000-8000-000000000001', NULL, '2026-01-01', '2026-02-01', 'USD', 2000, 1800, 2200);

INSERT INTO ai.predictions (id, model_id, kind, device_id, target_at, unit, value, lower, upper)
VALUES (
    '00000000-0000-4000-8000-03000000000e', '00000000-0000-4000-8000-03000000000a', 'maintenance',
    '00000000-0000-4000-8000-00000000000a', now() + interval '30 days', 'days', 30, 20, 45
);

UPDATE ai.predictions SET upper = 500 WHERE id = '00000000-0000-4000-8000-03000000000c';

SELECT id, model_id, kind, user_id, category_id, device_id, made_at, target_at, unit, value, lower, upper
FROM ai.predictions
WHERE target_at >= '2026-01-01'
ORDER BY target_at;

INSERT INTO ai.prediction_outcomes (prediction_id, actual)
VALUES ('00000000-0000-4000-8000-03000000000c', 430), ('00000000-0000-4000-8000-03000000000d', 2600);

UPDATE ai.prediction_outcomes SET actual = 432.5 WHERE prediction_id = '00000000-0000-4000-8000-03000000000c';

SELECT prediction_id, actual, observed_at FROM ai.prediction_outcomes;

SELECT prediction_id, model_id, kind, target_at, predicted, actual, error, absolute_error, absolute_error_percent, is_within
FROM ai.prediction_errors;

SELECT model_id, kind, version, is_active, outcomes, bias, mae, mape, interval_level, coverage
FROM ai.prediction_accuracy;

SELECT ai.note_anomalies();

INSERT INTO ai.anomalies (prediction_id, severity) VALUES ('00000000-0000-4000-8000-03000000000c', 'info');

UPDATE ai.anomalies SET dismissed_at = now(), dismissed_by = '00000000-0000-4000-8000-000000000001'
WHERE prediction_id = '00000000-0000-4000-8000-03000000000d';

SELECT prediction_id, severity, noted_at, dismissed_at, dismissed_by FROM ai.anomalies WHERE dismissed_at IS NULL;

DELETE FROM ai.anomalies WHERE prediction_id = '00000000-0000-4000-8000-03000000000c';

DELETE FROM ai.prediction_outcomes WHERE prediction_id = '00000000-0000-4000-8000-03000000000c';

DELETE FROM ai.predictions WHERE id = '00000000-0000-4000-8000-03000000000e';
