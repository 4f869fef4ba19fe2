CREATE OR REPLACE VIEW media.viewing_history AS
SELECT s.user_id,
       s.item_id,
       e.session_id,
       e.occurred_at,
       e.type,
       e.device_id,
       e.position_seconds,
       e.watched_seconds
FROM media.viewing_events e
JOIN media.playback_sessions s ON s.id = e.session_id;
