-- What the player reported of the test playback: a start, a pause for tea, and an end.
INSERT INTO media.viewing_events (session_id, occurred_at, type, device_id, position_seconds, watched_seconds)
SELECT s.id, s.started_at + event.share * (s.ended_at - s.started_at), event.type, s.device_id,
       round(event.share * played.seconds), round(event.share * played.seconds) - round(event.before * played.seconds)
FROM media.playback_sessions s
JOIN media.items i ON i.id = s.item_id
JOIN media.libraries l ON l.id = i.library_id AND l.name LIKE 'Test %'
CROSS JOIN LATERAL (SELECT extract(epoch FROM s.ended_at - s.started_at) AS seconds) AS played
CROSS JOIN LATERAL (VALUES
    ('play', 0.0, 0.0), ('pause', 0.4, 0.0), ('play', 0.41, 0.41),
    (CASE WHEN s.progress_percent = 100 THEN 'finish' ELSE 'stop' END, 1.0, 0.41)
) AS event (type, share, before)
WHERE s.ended_at IS NOT NULL
ON CONFLICT (session_id, occurred_at, type) DO NOTHING;

-- Once: a roll-up notes its time, and a seed changes nothing the second time.
SELECT media.roll_up_viewing(span.first_day, span.last_day)
FROM (
    SELECT min(occurred_at AT TIME ZONE 'UTC')::date AS first_day, max(occurred_at AT TIME ZONE 'UTC')::date AS last_day
    FROM media.viewing_events
) AS span
WHERE NOT EXISTS (SELECT FROM media.viewing_rollups r WHERE r.viewed_on = span.last_day);
