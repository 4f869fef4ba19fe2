CREATE OR REPLACE VIEW ai.messages_to_embed AS
SELECT m.id AS message_id, d.name AS model, m.content, digested.content_digest
FROM ai.messages m
CROSS JOIN ai.embedding_models d
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(m.content, 'UTF8')), 'hex') AS content_digest
) AS digested
WHERE d.is_default
  AND m.role IN ('user', 'assistant')
  AND m.content <> ''
  AND NOT EXISTS (
      SELECT FROM ai.message_embeddings e
      WHERE e.message_id = m.id AND e.model = d.name AND e.content_digest = digested.content_digest
  );
