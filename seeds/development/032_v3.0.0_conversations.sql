-- Three conversations, one of them with a tool, with vectors made as those of the works are.
INSERT INTO ai.conversations (id, user_id, title, model)
SELECT md5('ai.conversations/' || talk.title)::uuid, u.id, talk.title, 'gpt-4'
FROM (VALUES
    ('admin@homeops.local', 'Test Heating in spring'),
    ('admin@homeops.local', 'Test Groceries of the month'),
    ('user@homeops.local', 'Test A film for tonight')
) AS talk (email, title)
JOIN core.users u ON lower(u.email) = talk.email
ON CONFLICT (id) DO NOTHING;

INSERT INTO ai.messages
    (id, conversation_id, position, role, content, tokens, prompt_tokens, tool_calls, reply_to_id)
SELECT md5('ai.messages/' || said.title || '/' || said.position)::uuid, c.id, said.position, said.role, said.content,
       -- About four characters make a token.
       1 + length(said.content) / 4, said.prompt_tokens, said.tool_calls::jsonb,
       CASE WHEN said.answers IS NOT NULL THEN md5('ai.messages/' || said.title || '/' || said.answers)::uuid END
FROM (VALUES
    ('Test Heating in spring', 1, 'system', 'You help with the house. Answer briefly.', NULL, NULL, NULL),
    ('Test Heating in spring', 2, 'user', 'When should I turn the heating down in spring?', NULL, NULL, NULL),
    ('Test Heating in spring', 3, 'assistant',
     'When nights stay above ten degrees. Lower the thermostat by one degree a week and watch the bedroom.',
     48, NULL, 2),
    ('Test Heating in spring', 4, 'user', 'And the basement?', NULL, NULL, NULL),
    ('Test Heating in spring', 5, 'assistant', 'Keep the basement above twelve degrees, so that nothing gets damp.',
     90, NULL, 4),
    ('Test Groceries of the month', 1, 'user', 'How much did we spend on groceries this month?', NULL, NULL, NULL),
    ('Test Groceries of the month', 2, 'assistant', '', 30,
     '[{"id": "call_1", "name": "spending", "arguments": {"category": "Groceries"}}]', 1),
    ('Test Groceries of the month', 3, 'tool', '{"total": 412.60, "currency": "USD"}', NULL, NULL, 2),
    ('Test Groceries of the month', 4, 'assistant', 'You spent 412.60 dollars on groceries, less than last month.',
     71, NULL, 1),
    ('Test A film for tonight', 1, 'user', 'Suggest a quiet film for tonight.', NULL, NULL, NULL),
    ('Test A film for tonight', 2, 'assistant', 'Something slow then: a drama by the sea, under two hours.', 22, NULL, 1)
) AS said (title, position, role, content, prompt_tokens, tool_calls, answers)
JOIN ai.conversations c ON c.id = md5('ai.conversations/' || said.title)::uuid
ON CONFLICT (id) DO NOTHING;

INSERT INTO ai.message_embeddings (message_id, model, content_digest, embedding)
SELECT due.message_id, due.model, due.content_digest, made.embedding::vector
FROM ai.messages_to_embed due
JOIN ai.messages m ON m.id = due.message_id
JOIN ai.conversations c ON c.id = m.conversation_id AND c.title LIKE 'Test %'
CROSS JOIN LATERAL (
    SELECT array_agg(coalesce(stretched.by, 0)::real ORDER BY dimension.number) AS embedding
    FROM generate_series(0, 383) AS dimension (number)
    LEFT JOIN (
        SELECT ('x' || substr(hash.hex, 1, 7))::bit(28)::integer % 384 AS number,
               sum(CASE WHEN substr(hash.hex, 8, 1) < '8' THEN 1 ELSE -1 END) AS by
        FROM (SELECT DISTINCT lower(word) AS word FROM regexp_split_to_table(due.content, '\W+') AS word) AS words
        CROSS JOIN generate_series(1, 24) AS touch
        CROSS JOIN LATERAL (SELECT md5(words.word || '/' || touch) AS hex) AS hash
        WHERE words.word <> ''
        GROUP BY 1
    ) AS stretched ON stretched.number = dimension.number
) AS made
ON CONFLICT (message_id, model) DO NOTHING;
