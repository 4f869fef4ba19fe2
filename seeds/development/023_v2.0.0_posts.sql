INSERT INTO community.posts (id, author_id, listing_id, title, body, created_at)
SELECT md5('community.posts/' || post.title)::uuid, u.id, l.id, post.title, post.body,
       (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - post.days_ago * interval '1 day'
FROM (VALUES
    ('user@homeops.local', 'Lights Follow You', 'Cats and motion sensors', 'The cat has the lights on all night.', 25),
    ('admin@homeops.local', NULL, 'Show your fuse box', 'Labels, please. Mine has none.', 15),
    ('user@homeops.local', NULL, 'Cheap gadgets here', 'Buy now.', 5)
) AS post (author, listing, title, body, days_ago)
JOIN core.users u ON lower(u.email) = post.author
LEFT JOIN community.listings l ON l.id = md5('community.listings/' || post.listing)::uuid
JOIN core.system_config c ON c.key = 'development.seeded_on'
ON CONFLICT (id) DO NOTHING;

INSERT INTO community.comments (id, post_id, parent_id, depth, author_id, body, created_at)
SELECT md5('community.comments/' || said.body)::uuid, p.id, parent.id, said.depth, u.id, said.body,
       p.created_at + (said.depth + 1) * interval '1 hour'
FROM (VALUES
    ('admin@homeops.local', 'Cats and motion sensors', NULL, 0, 'Turn the sensor upside down.'),
    ('user@homeops.local', 'Cats and motion sensors', 'Turn the sensor upside down.', 1, 'The cat liked that even more.'),
    ('user@homeops.local', 'Show your fuse box', NULL, 0, 'Mine says: kitchen?')
) AS said (author, post, parent, depth, body)
JOIN community.posts p ON p.id = md5('community.posts/' || said.post)::uuid
JOIN core.users u ON lower(u.email) = said.author
CROSS JOIN LATERAL (SELECT md5('community.comments/' || said.parent)::uuid AS id) AS parent
ORDER BY said.depth
ON CONFLICT (id) DO NOTHING;

INSERT INTO community.reactions (post_id, user_id, kind)
SELECT p.id, u.id, 'funny'
FROM community.posts p
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
WHERE p.id = md5('community.posts/Cats and motion sensors')::uuid
ON CONFLICT DO NOTHING;

INSERT INTO community.reports (id, post_id, reporter_id, reason_code)
SELECT md5('community.reports/' || p.id)::uuid, p.id, u.id, 'spam'
FROM community.posts p
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
WHERE p.id = md5('community.posts/Cheap gadgets here')::uuid
ON CONFLICT DO NOTHING;

INSERT INTO community.moderation_actions (post_id, moderator_id, state, reason_code, note)
SELECT p.id, u.id, 'hidden', 'spam', 'Advertising without a word about the house.'
FROM community.posts p
JOIN core.users u ON lower(u.email) = 'admin@homeops.local'
WHERE p.id = md5('community.posts/Cheap gadgets here')::uuid
  AND NOT EXISTS (SELECT FROM community.moderation_actions a WHERE a.post_id = p.id);

UPDATE community.reports r
SET status = 'upheld', resolved_at = a.acted_at, action_id = a.id
FROM community.moderation_actions a
WHERE a.post_id = r.post_id AND r.id = md5('community.reports/' || r.post_id)::uuid AND r.status = 'open';
