-- A month of runs, once a day each; now and then one fails.
INSERT INTO smart_home.automation_runs (id, automation_id, status, started_at, ended_at, error)
SELECT run.hash::uuid, run.automation_id,
       CASE WHEN run.chance % 100 < 4 THEN 'failed' ELSE 'succeeded' END,
       run.started_at,
       run.started_at + (200 + run.chance % 9000) * interval '1 millisecond',
       CASE WHEN run.chance % 100 < 4 THEN 'device did not answer within 10 s' END
FROM (
    SELECT a.id AS automation_id, drawn.hash, drawn.chance,
           (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - days_ago * interval '1 day' + daily.at AS started_at
    FROM (VALUES
        ('Lights off at night', interval '23 hours 30 minutes'),
        ('Blinds up in the morning', interval '7 hours'),
        ('Heat the office', interval '6 hours 30 minutes'),
        ('Charge the car', interval '1 hour'),
        ('Hallway light on motion', interval '19 hours 12 minutes')
    ) AS daily (automation, at)
    JOIN smart_home.automations a ON a.name = daily.automation
    CROSS JOIN generate_series(1, 30) AS days_ago
    CROSS JOIN core.system_config c
    CROSS JOIN LATERAL (
        SELECT md5('smart_home.automation_runs/' || a.name || '/' || days_ago) AS hash
    ) AS named
    CROSS JOIN LATERAL (
        SELECT named.hash, ('x' || substr(named.hash, 1, 7))::bit(28)::integer AS chance
    ) AS drawn
    WHERE c.key = 'development.seeded_on'
) AS run
ON CONFLICT (id) DO NOTHING;
