CREATE OR REPLACE VIEW smart_home.room_energy_daily AS
SELECT e.day, e.room_id, r.name AS room, sum(e.energy_wh) AS energy_wh,
       CASE WHEN count(DISTINCT e.currency) = 1 THEN sum(e.cost) END AS cost,
       CASE WHEN count(DISTINCT e.currency) = 1 THEN min(e.currency) END AS currency
FROM (
    SELECT d.day, d.room_id, d.energy_wh, d.cost, d.currency,
           m.scope = 'room' AS is_whole,
           bool_or(m.scope = 'room') OVER (PARTITION BY d.day, d.room_id) AS has_whole
    FROM smart_home.energy_daily d
    JOIN smart_home.energy_meters m ON m.id = d.meter_id
    WHERE m.direction = 'consumption' AND m.scope <> 'house'
) e
LEFT JOIN smart_home.rooms r ON r.id = e.room_id
-- A meter of the whole room has counted its devices already.
WHERE e.is_whole = e.has_whole
GROUP BY e.day, e.room_id, r.name;
