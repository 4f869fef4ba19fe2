-- Models that make vectors of 384 dimensions: all but the last run at home. A default that was changed stays.
INSERT INTO ai.embedding_models (name, dimensions, distance, description) VALUES
    ('all-MiniLM-L6-v2', 384, 'cosine', 'Small and fast, for English sentences'),
    ('bge-small-en-v1.5', 384, 'cosine', 'For searching English texts'),
    ('multilingual-e5-small', 384, 'cosine', 'For searching texts of about a hundred languages'),
    ('text-embedding-3-small', 384, 'cosine', 'A service; its vectors are asked for with 384 dimensions')
ON CONFLICT (name) DO NOTHING;

UPDATE ai.embedding_models
SET is_default = true
WHERE name = 'all-MiniLM-L6-v2' AND NOT EXISTS (SELECT FROM ai.embedding_models WHERE is_default);
