"""Smart home expansion: energy, what the house learns, and the care of its devices.

Only new tables, so everything runs in one transaction; foreign keys to tables in use come last, so that
their locks are held for a moment only. Readings come in every few seconds and go again
(drop_old_energy_readings); the days rolled up from them stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "v1.3.0"
down_revision = "v1.2.0"
branch_labels = None
depends_on = None
change = "minor"

JSONB = postgresql.JSONB()
TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")
ENERGY = sa.Numeric(15, 3)
POWER = sa.Numeric(9, 1)
DAY_IN_MINUTES = "minutes <@ int4range(0, 1440) AND NOT isempty(minutes)"

TABLES = (
    "smart_home.energy_tariffs",
    "smart_home.energy_tariff_periods",
    "smart_home.energy_meters",
    "smart_home.energy_readings",
    "smart_home.energy_daily",
    "smart_home.usage_patterns",
    "smart_home.automation_suggestions",
    "smart_home.automation_feedback",
    "smart_home.maintenance_plans",
    "smart_home.maintenance_bookings",
    "smart_home.maintenance_records",
)

# Table, column, what it refers to, and what happens when that goes.
OUTWARD = (
    ("automation_suggestions", "decided_by", "core.users", "RESTRICT"),
    ("automation_feedback", "user_id", "core.users", "CASCADE"),
    ("maintenance_bookings", "booked_by", "core.users", "SET NULL"),
    ("maintenance_records", "done_by", "core.users", "SET NULL"),
    ("energy_meters", "room_id", "smart_home.rooms", "CASCADE"),
    ("energy_daily", "room_id", "smart_home.rooms", "SET NULL"),
    ("automation_suggestions", "automation_id", "smart_home.automations", "SET NULL"),
    ("automation_feedback", "run_id", "smart_home.automation_runs", "CASCADE"),
    ("energy_meters", "device_id", "smart_home.devices", "CASCADE"),
    ("usage_patterns", "device_id", "smart_home.devices", "CASCADE"),
    ("maintenance_plans", "device_id", "smart_home.devices", "CASCADE"),
    ("maintenance_bookings", "device_id", "smart_home.devices", "CASCADE"),
    ("maintenance_records", "device_id", "smart_home.devices", "CASCADE"),
)

UPDATED = (
    *("smart_home.automation_suggestions", "smart_home.energy_meters", "smart_home.energy_tariff_periods"),
    *("smart_home.energy_tariffs", "smart_home.maintenance_bookings", "smart_home.maintenance_plans"),
    *("smart_home.maintenance_records", "smart_home.usage_patterns"),
)

AUDITED = (
    *("smart_home.energy_tariff_periods", "smart_home.energy_tariffs"),
    "smart_home.maintenance_records",
)

# A range of one uuid makes "the same device" a question of overlap, which GiST can answer without an
# extension.
CREATE_UUID_RANGE = """
CREATE TYPE smart_home.uuid_range AS RANGE (subtype = uuid)
"""

REVOKE_UUID_RANGE = """
REVOKE EXECUTE ON FUNCTION
    smart_home.uuid_range(uuid, uuid),
    smart_home.uuid_range(uuid, uuid, text),
    smart_home.uuid_multirange(),
    smart_home.uuid_multirange(smart_home.uuid_range),
    smart_home.uuid_multirange(smart_home.uuid_range[])
FROM PUBLIC
"""

MAKE_HYPERTABLE = """
DO $$
DECLARE
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'timescaledb');
BEGIN
    IF home IS NOT NULL THEN
        EXECUTE format(
            'SELECT %I.create_hypertable(%L, %L, create_default_indexes => false)',
            home, 'smart_home.energy_readings', 'recorded_at'
        );
    END IF;
END
$$
"""

HOUSE_TIMEZONE = """
CREATE OR REPLACE FUNCTION smart_home.house_timezone()
RETURNS text
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((SELECT c.value #>> '{}' FROM core.system_config c WHERE c.key = 'system.timezone'), 'UTC')
$$
"""

ROLL_UP_ENERGY = """
CREATE OR REPLACE FUNCTION smart_home.roll_up_energy(first_day date, last_day date)
RETURNS integer
LANGUAGE sql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
WITH span AS MATERIALIZED (
    SELECT z.zone,
           first_day::timestamp AT TIME ZONE z.zone AS starts_at,
           (last_day + 1)::timestamp AT TIME ZONE z.zone AS ends_at
    FROM (SELECT smart_home.house_timezone() AS zone) z
),
-- Each meter's values in the span, with the last one before it and the first one behind it. Sealed days
-- may have lost their readings: their closing value stands for them.
points AS MATERIALIZED (
    SELECT m.id AS meter_id, m.unit, m.tariff_id, p.at, p.value, p.power_w, p.is_reading
    FROM span s
    CROSS JOIN smart_home.energy_meters m
    CROSS JOIN LATERAL (
        (SELECT b.at, b.value, NULL::numeric AS power_w, false AS is_reading
         FROM (
             (SELECT r.recorded_at AS at,
                     CASE m.unit WHEN 'W' THEN greatest(r.power_w, 0) ELSE r.energy_wh END AS value
              FROM smart_home.energy_readings r
              WHERE r.meter_id = m.id AND r.recorded_at < s.starts_at
                AND CASE m.unit WHEN 'W' THEN r.power_w ELSE r.energy_wh END IS NOT NULL
              ORDER BY r.recorded_at DESC
              LIMIT 1)
             UNION ALL
             (SELECT d.closing_at, d.closing_value
              FROM smart_home.energy_daily d
              WHERE d.meter_id = m.id AND d.is_sealed AND d.closing_at < s.starts_at
              ORDER BY d.day DESC
              LIMIT 1)
         ) b
         ORDER BY b.at DESC
         LIMIT 1)
        UNION ALL
        SELECT r.recorded_at,
               CASE
                   WHEN m.unit <> 'W' THEN r.energy_wh
                   WHEN r.power_w IS NOT NULL THEN greatest(r.power_w, 0)
               END,
               r.power_w, true
        FROM smart_home.energy_readings r
        WHERE r.meter_id = m.id AND r.recorded_at >= s.starts_at AND r.recorded_at < s.ends_at
        UNION ALL
        SELECT d.closing_at, d.closing_value, NULL, false
        FROM smart_home.energy_daily d
        WHERE d.meter_id = m.id AND d.is_sealed AND d.closing_at >= s.starts_at AND d.closing_at < s.ends_at
          AND NOT EXISTS (
              SELECT FROM smart_home.energy_readings r
              WHERE r.meter_id = m.id AND r.recorded_at = d.closing_at
          )
        UNION ALL
        (SELECT r.recorded_at,
                CASE m.unit WHEN 'W' THEN greatest(r.power_w, 0) ELSE r.energy_wh END,
                NULL, false
         FROM smart_home.energy_readings r
         WHERE r.meter_id = m.id AND r.recorded_at >= s.ends_at
           AND CASE m.unit WHEN 'W' THEN r.power_w ELSE r.energy_wh END IS NOT NULL
         ORDER BY r.recorded_at
         LIMIT 1)
    ) p
),
-- What flowed between two values. A counter that fell was reset and began again at zero; power says nothing
-- about a gap of more than an hour.
flows AS (
    SELECT v.meter_id, v.tariff_id, v.since, v.until,
           extract(epoch FROM v.until - v.since) AS seconds,
           v.unit <> 'W' AND v.value < v.value_before AS is_reset,
           CASE
               WHEN v.unit = 'W' THEN
                   (v.value_before + v.value) / 2 * extract(epoch FROM v.until - v.since) / 3600
               WHEN v.value < v.value_before THEN v.value
               ELSE v.value - v.value_before
           END AS energy_wh
    FROM (
        SELECT p.meter_id, p.unit, p.tariff_id, p.at AS until, p.value,
               lag(p.at) OVER w AS since, lag(p.value) OVER w AS value_before
        FROM points p
        WHERE p.value IS NOT NULL
        WINDOW w AS (PARTITION BY p.meter_id ORDER BY p.at)
    ) v
    WHERE v.since < v.until AND (v.unit <> 'W' OR v.until - v.since <= interval '1 hour')
),
-- Spread evenly over the time between the values, so that midnight and a change of price divide it.
slices AS (
    SELECT f.meter_id, g.day::date AS day, f.energy_wh, f.seconds, f.tariff_id,
           greatest(f.since, d.starts_at) AS since,
           least(f.until, d.ends_at) AS until,
           f.is_reset AND f.until <= d.ends_at AS is_reset
    FROM flows f
    CROSS JOIN span s
    CROSS JOIN LATERAL generate_series(
        greatest((f.since AT TIME ZONE s.zone)::date, first_day)::timestamp,
        least((f.until AT TIME ZONE s.zone)::date, last_day)::timestamp,
        interval '1 day'
    ) AS g (day)
    CROSS JOIN LATERAL (
        SELECT g.day AT TIME ZONE s.zone AS starts_at,
               (g.day + interval '1 day') AT TIME ZONE s.zone AS ends_at
    ) d
    WHERE greatest(f.since, d.starts_at) < least(f.until, d.ends_at)
),
totals AS (
    SELECT l.meter_id, l.day,
           round(sum(l.energy_wh * extract(epoch FROM l.until - l.since) / l.seconds), 3) AS energy_wh,
           round(sum(c.cost), 6) AS cost,
           count(*) FILTER (WHERE l.is_reset) AS resets
    FROM slices l
    CROSS JOIN span s
    CROSS JOIN LATERAL (
        SELECT sum(
                   l.energy_wh * t.price_per_kwh / 1000 / l.seconds
                   * extract(epoch FROM least(l.until, w.ends_at) - greatest(l.since, w.starts_at))
               ) AS cost
        FROM smart_home.energy_tariff_periods t
        CROSS JOIN LATERAL (
            SELECT (l.day + make_interval(mins => lower(t.minutes))) AT TIME ZONE s.zone AS starts_at,
                   (l.day + make_interval(mins => upper(t.minutes))) AT TIME ZONE s.zone AS ends_at
        ) w
        WHERE t.tariff_id = l.tariff_id AND t.valid @> l.day
          AND greatest(l.since, w.starts_at) < least(l.until, w.ends_at)
    ) c
    GROUP BY l.meter_id, l.day
),
seen AS (
    SELECT p.meter_id, (p.at AT TIME ZONE s.zone)::date AS day,
           count(*) FILTER (WHERE p.is_reading) AS readings,
           max(p.power_w) AS peak_power_w,
           max(p.at) FILTER (WHERE p.value IS NOT NULL) AS closing_at
    FROM points p
    CROSS JOIN span s
    WHERE p.at >= s.starts_at AND p.at < s.ends_at
    GROUP BY p.meter_id, (p.at AT TIME ZONE s.zone)::date
),
written AS (
    INSERT INTO smart_home.energy_daily AS d
        (meter_id, day, room_id, energy_wh, peak_power_w, cost, currency,
         readings, resets, closing_at, closing_value)
    SELECT m.id, day, coalesce(m.room_id, v.room_id), coalesce(t.energy_wh, 0), e.peak_power_w, t.cost,
           CASE WHEN t.cost IS NOT NULL THEN f.currency END,
           coalesce(e.readings, 0), coalesce(t.resets, 0), e.closing_at, p.value
    FROM totals t
    FULL JOIN seen e USING (meter_id, day)
    JOIN smart_home.energy_meters m ON m.id = coalesce(t.meter_id, e.meter_id)
    LEFT JOIN smart_home.devices v ON v.id = m.device_id
    LEFT JOIN smart_home.energy_tariffs f ON f.id = m.tariff_id
    LEFT JOIN points p ON p.meter_id = m.id AND p.at = e.closing_at
    ORDER BY m.id, day
    -- The room of the first time stays: a device that moves doesn't take its past along.
    ON CONFLICT (meter_id, day) DO UPDATE
    SET energy_wh = excluded.energy_wh, peak_power_w = excluded.peak_power_w, cost = excluded.cost,
        currency = excluded.currency, readings = excluded.readings, resets = excluded.resets,
        closing_at = excluded.closing_at, closing_value = excluded.closing_value, rolled_up_at = now()
    WHERE NOT d.is_sealed
      AND (d.energy_wh, d.peak_power_w, d.cost, d.currency,
           d.readings, d.resets, d.closing_at, d.closing_value)
          IS DISTINCT FROM
          (excluded.energy_wh, excluded.peak_power_w, excluded.cost, excluded.currency,
           excluded.readings, excluded.resets, excluded.closing_at, excluded.closing_value)
    RETURNING 1
)
SELECT count(*)::integer FROM written
$$
"""

DROP_OLD_ENERGY_READINGS = """
CREATE OR REPLACE FUNCTION smart_home.drop_old_energy_readings(older_than interval)
RETURNS TABLE (dropped text, readings bigint)
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text = smart_home.house_timezone();
    home name = (SELECT n.nspname
                 FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'timescaledb');
    is_hypertable boolean = false;
    first_day date;
    kept_day date;
    kept_from timestamptz;
BEGIN
    -- With less, the youngest day to drop could still be running.
    IF older_than IS NULL OR older_than < interval '2 days' THEN
        RAISE EXCEPTION 'readings are kept for at least 2 days, not for %', coalesce(older_than::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT * FROM smart_home.drop_old_energy_readings(''90 days'')';
    END IF;
    kept_day = ((now() - older_than) AT TIME ZONE zone)::date;
    kept_from = kept_day::timestamp AT TIME ZONE zone;
    SELECT (min(f.recorded_at) AT TIME ZONE zone)::date INTO first_day
    FROM smart_home.energy_meters m
    CROSS JOIN LATERAL (
        SELECT r.recorded_at
        FROM smart_home.energy_readings r
        WHERE r.meter_id = m.id
        ORDER BY r.recorded_at
        LIMIT 1
    ) f;
    IF first_day IS NULL OR first_day >= kept_day THEN
        RETURN;
    END IF;

    -- Rolled up here, not refused: a nightly job that was missed once must not let the disk fill up.
    PERFORM smart_home.roll_up_energy(first_day, kept_day - 1);
    UPDATE smart_home.energy_daily d SET is_sealed = true WHERE d.day < kept_day AND NOT d.is_sealed;

    IF home IS NOT NULL THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM timescaledb_information.hypertables'
            ' WHERE hypertable_schema = ''smart_home'' AND hypertable_name = ''energy_readings'')'
        INTO is_hypertable;
    END IF;
    IF NOT is_hypertable THEN
        dropped = 'smart_home.energy_readings';
        DELETE FROM smart_home.energy_readings r WHERE r.recorded_at < kept_from;
        GET DIAGNOSTICS readings = ROW_COUNT;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Only whole chunks go, so the youngest of these days may stay a while.
    FOR dropped IN
        EXECUTE format('SELECT %I.show_chunks(%L, older_than => $1)', home, 'smart_home.energy_readings')
        USING kept_from
    LOOP
        EXECUTE format('SELECT count(*) FROM %s', dropped) INTO readings;
        RETURN NEXT;
    END LOOP;
    EXECUTE format('SELECT %I.drop_chunks(%L, older_than => $1)', home, 'smart_home.energy_readings')
    USING kept_from;
END
$$
"""

ROOM_ENERGY_DAILY = """
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
GROUP BY e.day, e.room_id, r.name
"""

MAINTENANCE_DUE = """
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
WHERE p.is_active
"""

DESCRIBE_DROP = """
COMMENT ON FUNCTION smart_home.drop_old_energy_readings(interval) IS
'An operator''s job, run once a day as the owner of the tables (drop_chunks asks for that):
SELECT * FROM smart_home.drop_old_energy_readings(''90 days'').
What is about to go is rolled up and its days are sealed first, so nothing has to run before it. Returns
what was dropped, a row for each chunk, and how many readings it held.'
"""

# The groups get every new function by default; this one isn't for them.
KEEP_DROP_FOR_OPERATORS = """
DO $$
DECLARE
    member text;
BEGIN
    FOREACH member IN ARRAY ARRAY['homeops_app', 'homeops_readonly'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = member) THEN
            EXECUTE format(
                'REVOKE EXECUTE ON FUNCTION smart_home.drop_old_energy_readings(interval) FROM %I', member
            );
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute(CREATE_UUID_RANGE)
    op.execute(REVOKE_UUID_RANGE)
    _create_energy()
    _create_learning()
    _create_maintenance()
    _create_functions()
    _refer_to_tables_in_use()


def downgrade() -> None:
    op.execute("DROP VIEW smart_home.maintenance_due, smart_home.room_energy_daily")
    op.execute(
        "DROP FUNCTION smart_home.drop_old_energy_readings(interval),"
        " smart_home.roll_up_energy(date, date), smart_home.house_timezone()"
    )
    for path in reversed(TABLES):
        schema, _, name = path.partition(".")
        op.drop_table(name, schema=schema)
    op.execute("DROP TYPE smart_home.uuid_range")


def _create_energy() -> None:
    _table(
        "smart_home.energy_tariffs",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        *_timestamps(),
        unique=["name"],
        checks={"currency": "currency ~ '^[A-Z]{3}$'"},
    )
    _table(
        "smart_home.energy_tariff_periods",
        _key(),
        _reference("tariff_id", "smart_home.energy_tariffs.id", "CASCADE"),
        sa.Column("valid", postgresql.DATERANGE(), nullable=False),
        sa.Column("minutes", postgresql.INT4RANGE(), server_default=sa.text("'[0,1440)'"), nullable=False),
        sa.Column("price_per_kwh", sa.Numeric(18, 6), nullable=False),
        *_timestamps(),
        checks={
            "valid": "NOT isempty(valid)",
            "minutes": DAY_IN_MINUTES,
            "price_per_kwh": "price_per_kwh <> 'NaN'",
        },
        indexes=["tariff_id"],
    )
    _exclude("energy_tariff_periods", "tariff_id", "valid", "minutes")
    _table(
        "smart_home.energy_meters",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Uuid()),
        sa.Column("room_id", sa.Uuid()),
        _reference("tariff_id", "smart_home.energy_tariffs.id", "RESTRICT", nullable=True),
        sa.Column("direction", sa.Text(), server_default="consumption", nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("unit", sa.Text(), server_default="kWh", nullable=False),
        *_timestamps(),
        unique=["name", "device_id, direction, channel"],
        choices={
            "scope": "device room house",
            "direction": "import export consumption",
            "unit": "W Wh kWh",
        },
        checks={
            "device_id": "(scope = 'device') = (device_id IS NOT NULL)",
            "room_id": "(scope = 'room') = (room_id IS NOT NULL)",
            "import": "direction <> 'import' OR scope = 'house'",
        },
        indexes=["room_id", "tariff_id"],
    )
    _table(
        "smart_home.energy_readings",
        _reference("meter_id", "smart_home.energy_meters.id", "CASCADE", primary_key=True),
        sa.Column("recorded_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("power_w", POWER),
        sa.Column("energy_wh", ENERGY),
        checks={
            "recorded_at": "isfinite(recorded_at)",
            "power_w": "power_w BETWEEN -1000000 AND 1000000",
            "energy_wh": "energy_wh BETWEEN 0 AND 100000000000",
            "any": "num_nonnulls(power_w, energy_wh) > 0",
        },
    )
    op.execute(MAKE_HYPERTABLE)
    _table(
        "smart_home.energy_daily",
        _reference("meter_id", "smart_home.energy_meters.id", "CASCADE", primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("room_id", sa.Uuid()),
        sa.Column("energy_wh", ENERGY, nullable=False),
        sa.Column("peak_power_w", POWER),
        sa.Column("cost", sa.Numeric(18, 6)),
        sa.Column("currency", sa.Text()),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("resets", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closing_at", TIMESTAMPTZ),
        sa.Column("closing_value", ENERGY),
        sa.Column("is_sealed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rolled_up_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={
            "energy_wh": "energy_wh >= 0",
            "currency": "currency ~ '^[A-Z]{3}$'",
            "cost": "(cost IS NULL) = (currency IS NULL)",
            "readings": "readings >= 0",
            "resets": "resets >= 0",
            "closing_value": "(closing_at IS NULL) = (closing_value IS NULL)",
        },
        indexes=["room_id", "day"],
    )


def _create_learning() -> None:
    _table(
        "smart_home.usage_patterns",
        _key(),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("weekday", sa.SmallInteger(), nullable=False),
        sa.Column("minutes", postgresql.INT4RANGE(), nullable=False),
        sa.Column("probability", sa.Numeric(4, 3), nullable=False),
        sa.Column("observations", sa.Integer(), nullable=False),
        *_timestamps(),
        unique=["device_id, weekday, minutes"],
        checks={
            "weekday": "weekday BETWEEN 1 AND 7",
            "minutes": DAY_IN_MINUTES,
            "probability": "probability BETWEEN 0 AND 1",
            "observations": "observations > 0",
        },
    )
    _table(
        "smart_home.automation_suggestions",
        _key(),
        _reference("usage_pattern_id", "smart_home.usage_patterns.id", "SET NULL", nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("pattern", JSONB, nullable=False),
        sa.Column("confidence", sa.Numeric(4, 3), nullable=False),
        sa.Column("state", sa.Text(), server_default="proposed", nullable=False),
        sa.Column("expires_at", TIMESTAMPTZ),
        sa.Column("decided_by", sa.Uuid()),
        sa.Column("decided_at", TIMESTAMPTZ),
        sa.Column("automation_id", sa.Uuid()),
        *_timestamps(),
        unique=["automation_id"],
        choices={"state": "proposed accepted rejected expired"},
        checks={
            "confidence": "confidence BETWEEN 0 AND 1",
            "pattern": "jsonb_typeof(pattern) = 'object'",
            "decided_by": "(decided_by IS NULL) = (decided_at IS NULL)",
            "decided_at": "(state IN ('accepted', 'rejected')) = (decided_at IS NOT NULL)",
            "automation_id": "automation_id IS NULL OR state = 'accepted'",
        },
        indexes=["decided_by", "usage_pattern_id"],
    )
    op.create_index(
        op.f("uq_automation_suggestions_proposed"),
        "automation_suggestions",
        ["usage_pattern_id"],
        schema="smart_home",
        unique=True,
        postgresql_where=sa.text("state = 'proposed'"),
    )
    _table(
        "smart_home.automation_feedback",
        _key(),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("is_helpful", sa.Boolean()),
        sa.Column("was_undone", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("given_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        unique=["run_id, user_id"],
        checks={"is_helpful": "is_helpful IS NOT NULL OR was_undone"},
        indexes=["user_id"],
    )


def _create_maintenance() -> None:
    _table(
        "smart_home.maintenance_plans",
        _key(),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("instructions", sa.Text()),
        sa.Column("every_days", sa.Integer()),
        sa.Column("every_hours", sa.Numeric(9, 1)),
        sa.Column("starts_on", sa.Date(), server_default=sa.text("CURRENT_DATE"), nullable=False),
        sa.Column("used_hours", sa.Numeric(9, 1), server_default=sa.text("0"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *_timestamps(),
        unique=["device_id, name", "id, device_id"],
        checks={
            "every": "num_nonnulls(every_days, every_hours) > 0",
            "every_days": "every_days BETWEEN 1 AND 36500",
            "every_hours": "every_hours > 0",
            "used_hours": "used_hours >= 0",
        },
    )
    _table(
        "smart_home.maintenance_bookings",
        _key(),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid()),
        sa.Column("booked_by", sa.Uuid()),
        sa.Column("during", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("state", sa.Text(), server_default="booked", nullable=False),
        sa.Column("provider", sa.Text()),
        sa.Column("notes", sa.Text()),
        *_timestamps(),
        _plan_of_the_device("maintenance_bookings"),
        choices={"state": "booked done cancelled"},
        checks={
            "during": "NOT isempty(during) AND isfinite(lower(during)) AND isfinite(upper(during))"
            " AND lower(during) IS NOT NULL AND upper(during) IS NOT NULL"
        },
        indexes=["booked_by", "device_id", "plan_id, device_id"],
    )
    _exclude("maintenance_bookings", "device_id", "during", where="state <> 'cancelled'")
    _table(
        "smart_home.maintenance_records",
        _key(),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid()),
        _reference("booking_id", "smart_home.maintenance_bookings.id", "SET NULL", nullable=True),
        sa.Column("done_by", sa.Uuid()),
        sa.Column("done_on", sa.Date(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("used_hours", sa.Numeric(9, 1)),
        sa.Column("cost", sa.Numeric(15, 2)),
        sa.Column("currency", sa.Text()),
        sa.Column("parts", JSONB, server_default=sa.text("'[]'"), nullable=False),
        *_timestamps(),
        _plan_of_the_device("maintenance_records"),
        unique=["booking_id"],
        checks={
            "used_hours": "used_hours >= 0",
            "cost": "cost >= 0 AND cost <> 'NaN'",
            "cost_currency": "(cost IS NULL) = (currency IS NULL)",
            "currency": "currency ~ '^[A-Z]{3}$'",
            "parts": "jsonb_typeof(parts) = 'array'",
        },
        indexes=["device_id, done_on DESC", "done_by", "plan_id, device_id"],
    )


def _create_functions() -> None:
    op.execute(HOUSE_TIMEZONE)
    op.execute(ROLL_UP_ENERGY)
    op.execute(DROP_OLD_ENERGY_READINGS)
    op.execute(DESCRIBE_DROP)
    op.execute(
        "REVOKE EXECUTE ON FUNCTION smart_home.house_timezone(), smart_home.roll_up_energy(date, date),"
        " smart_home.drop_old_energy_readings(interval) FROM PUBLIC"
    )
    op.execute(KEEP_DROP_FOR_OPERATORS)
    op.execute(ROOM_ENERGY_DAILY)
    op.execute(MAINTENANCE_DUE)
    for view in ("room_energy_daily", "maintenance_due"):
        op.execute(f"ALTER VIEW smart_home.{view} SET (security_invoker = true)")
    for path in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {path}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
        )
    for path in AUDITED:
        op.execute(
            f"CREATE TRIGGER record_audit AFTER INSERT OR DELETE OR UPDATE ON {path}"
            " FOR EACH ROW EXECUTE FUNCTION core.record_audit()"
        )


def _refer_to_tables_in_use() -> None:
    for table, column, target, ondelete in OUTWARD:
        schema, _, name = target.partition(".")
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            name,
            [column],
            ["id"],
            source_schema="smart_home",
            referent_schema=schema,
            ondelete=ondelete,
        )


def _table(
    path: str,
    *terms: sa.Column[Any] | sa.ForeignKeyConstraint,
    unique: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table whose constraints and indexes carry the project's names."""
    schema, _, table = path.partition(".")
    columns = [term for term in terms if isinstance(term, sa.Column)]
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *terms,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(_unique(table, listed.split(", ")) for listed in unique),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        schema=schema,
    )
    for listed in indexes:
        names = "_".join(listed.replace(" DESC", "").split(", "))
        op.create_index(
            op.f(f"ix_{table}_{names}"),
            table,
            [sa.text(term) for term in listed.split(", ")],
            schema=schema,
        )


def _exclude(table: str, thing: str, *ranges: str, where: str = "") -> None:
    """Let the ranges of one thing never overlap."""
    overlaps = ", ".join(f"{column} WITH &&" for column in ranges)
    op.execute(
        f"ALTER TABLE smart_home.{table} ADD CONSTRAINT ex_{table}_{'_'.join((thing, *ranges))}"
        f" EXCLUDE USING gist (smart_home.uuid_range({thing}, {thing}, '[]') WITH &&, {overlaps})"
        + (f" WHERE ({where})" if where else "")
    )


def _unique(table: str, columns: Sequence[str]) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()"))


def _reference(
    name: str, target: str, ondelete: str, *, nullable: bool = False, primary_key: bool = False
) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.Uuid(), key, nullable=nullable, primary_key=primary_key)


def _plan_of_the_device(table: str) -> sa.ForeignKeyConstraint:
    """Refer to a plan of the same device; without the plan, the device stays."""
    return sa.ForeignKeyConstraint(
        ["plan_id", "device_id"],
        ["smart_home.maintenance_plans.id", "smart_home.maintenance_plans.device_id"],
        name=op.f(f"fk_{table}_plan_id_device_id"),
        ondelete="SET NULL (plan_id)",
    )


def _timestamps() -> tuple[sa.Column[Any], ...]:
    return tuple(
        sa.Column(name, TIMESTAMPTZ, server_default=NOW, nullable=False)
        for name in ("created_at", "updated_at")
    )
