CREATE OR REPLACE VIEW community.visible_posts AS
SELECT p.id AS post_id,
       p.author_id,
       p.listing_id,
       p.title,
       p.body,
       p.created_at,
       c.comments,
       r.reactions
FROM community.posts p
CROSS JOIN LATERAL (
    SELECT count(*) AS comments
    FROM community.comments answer
    WHERE answer.post_id = p.id AND answer.is_visible
) c
CROSS JOIN LATERAL (
    SELECT count(*) AS reactions FROM community.reactions reaction WHERE reaction.post_id = p.id
) r
WHERE p.is_visible;
