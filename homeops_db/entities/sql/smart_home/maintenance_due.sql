CREATE OR REPLACE VIEW smart_home.maintenance_due AS
SELECT p.device_id, d.name AS device, p.id AS plan_id, p.name AS plan, l.done_on AS last_done_on, n.due_on,
       n.due_on < current_date AS is_overdue,
       (SELECT b.during
        FROM smart_home.maintenance_bookings b
        WHERE b.plan_id = p.id AND b.state = 'booked' AND upper(b.during) > now()
        ORDER BY b.during
        LIMIT 1) AS booked_for
FROM smart_home.maintenance_plans p
JOIN smart_home.devices d ON d.id = p.device_id
LEFT JOIN LATERAL (
    SELECT r.done_on, r.used_hours
    FROM smart_home.maintenance_records r
    WHERE r.plan_id = p.id
    ORDER BY r.done_on DESC, r.created_at DESC
    LIMIT 1
) l ON true
CROSS JOIN LATERAL (
    SELECT coalesce(l.done_on, p.starts_on) AS since,
           current_date - coalesce(l.done_on, p.starts_on) AS days,
           p.used_hours - coalesce(l.used_hours, 0) AS hours
) u
CROSS JOIN LATERAL (
    -- By hours: the day on which they are full if the device goes on being used as since the last time.
    SELECT least(
               u.since + p.every_days,
               CASE
                   WHEN p.every_hours IS NULL THEN NULL
                   WHEN u.days > 0 AND u.hours > 0 THEN
                       u.since + least(ceil(p.every_hours * u.days / u.hours), 36500)::integer
                   WHEN u.hours >= p.every_hours THEN current_date
               END
           ) AS due_on
) n
WHERE p.is_active;
