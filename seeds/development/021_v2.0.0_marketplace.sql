INSERT INTO community.profiles (id, user_id, name, biography)
SELECT md5('community.profiles/' || profile.name)::uuid, u.id, profile.name, profile.biography
FROM (VALUES
    ('admin@homeops.local', 'House of Switches', 'Automations for people who forget the lights.'),
    ('user@homeops.local', 'Quiet Rooms', 'Scenes and playlists for the evening.')
) AS profile (email, name, biography)
JOIN core.users u ON lower(u.email) = profile.email
ON CONFLICT DO NOTHING;

INSERT INTO community.listings (id, profile_id, licence_code, kind, title, summary, status, price, published_at)
SELECT md5('community.listings/' || listing.title)::uuid, p.id, listing.licence, listing.kind, listing.title,
       listing.summary, listing.status, listing.price,
       CASE WHEN listing.status = 'published' THEN made.at END
FROM (VALUES
    ('House of Switches', 'household', 'automation', 'Lights Follow You', 'Rooms light up as you enter.', 'published', 9.90),
    ('House of Switches', 'open', 'integration', 'Boiler Bridge', 'Reads old boilers over a serial line.', 'published', 0),
    ('House of Switches', 'service', 'service', 'An Hour of Set-up', 'Somebody comes and sets it up.', 'published', 60),
    ('House of Switches', 'personal', 'automation', 'Winter Watch', 'Warns before pipes freeze.', 'draft', 4.50),
    ('Quiet Rooms', 'household', 'scene', 'Reading Corner', 'Warm light at the chair, none elsewhere.', 'published', 2.50),
    ('Quiet Rooms', 'personal', 'playlist', 'Rain on a Tin Roof', 'Two hours to fall asleep to.', 'published', 1.00)
) AS listing (profile, licence, kind, title, summary, status, price)
JOIN community.profiles p ON p.id = md5('community.profiles/' || listing.profile)::uuid
CROSS JOIN (
    SELECT (value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - interval '90 days' AS at
    FROM core.system_config
    WHERE key = 'development.seeded_on'
) AS made
ON CONFLICT (id) DO NOTHING;

INSERT INTO community.listing_versions (listing_id, version, content, notes, released_at)
SELECT l.id, release.version, jsonb_build_object('format', 1, 'title', l.title), release.notes, l.published_at
FROM community.listings l
CROSS JOIN (VALUES ('1.0.0', 'First release'), ('1.1.0', 'Fewer surprises')) AS release (version, notes)
WHERE l.id IN (md5('community.listings/Lights Follow You')::uuid, md5('community.listings/Boiler Bridge')::uuid)
  AND l.published_at IS NOT NULL
ON CONFLICT (listing_id, version) DO NOTHING;

-- A plan and its shares in one statement: they must add up whenever a transaction ends.
WITH plan AS (
    INSERT INTO community.revenue_plans (id, listing_id, during)
    SELECT md5('community.revenue_plans/Lights Follow You')::uuid, l.id,
           daterange((l.published_at AT TIME ZONE 'UTC')::date, NULL)
    FROM community.listings l
    WHERE l.id = md5('community.listings/Lights Follow You')::uuid AND l.published_at IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO community.revenue_shares (plan_id, profile_id, share_percent)
SELECT plan.id, p.id, share.percent
FROM plan
CROSS JOIN (VALUES ('House of Switches', 66.67), ('Quiet Rooms', 33.33)) AS share (profile, percent)
JOIN community.profiles p ON p.id = md5('community.profiles/' || share.profile)::uuid;
