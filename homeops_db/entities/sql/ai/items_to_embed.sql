CREATE OR REPLACE VIEW ai.items_to_embed AS
SELECT i.id AS item_id, d.name AS model, described.content, digested.content_digest
FROM media.items i
CROSS JOIN ai.embedding_models d
CROSS JOIN LATERAL (
    SELECT concat_ws(
        E'\n',
        i.title,
        i.type,
        (SELECT string_agg(g.name, ', ' ORDER BY g.name COLLATE "C")
         FROM media.item_genres ig
         JOIN media.genres g ON g.id = ig.genre_id
         WHERE ig.item_id = i.id),
        i.details ->> 'description'
    ) AS content
) AS described
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(described.content, 'UTF8')), 'hex') AS content_digest
) AS digested
WHERE d.is_default
  AND NOT EXISTS (
      SELECT FROM ai.item_embeddings e
      WHERE e.item_id = i.id AND e.model = d.name AND e.content_digest = digested.content_digest
  );
