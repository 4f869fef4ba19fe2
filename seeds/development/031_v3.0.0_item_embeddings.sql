-- Vectors of the works in the test libraries. No model made them: the hash of each word says which dimensions
-- it stretches, so works that share words and genres are near each other, as they would be by a model.
INSERT INTO ai.item_embeddings (item_id, model, content_digest, embedding)
SELECT due.item_id, due.model, due.content_digest, made.embedding::vector
FROM ai.items_to_embed due
JOIN media.items i ON i.id = due.item_id AND i.type IN ('movie', 'show', 'album', 'book', 'audiobook')
JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
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
ON CONFLICT (item_id, model) DO NOTHING;
