"""Advanced media features: recommendations, viewing history, moods and genres of music.

What a track's analysis refers to is the pair (id, type) of its item, so the items get a unique constraint
on that first, while they are in use. Everything else is new, and made in one transaction; foreign keys to
tables in use come last, so that their locks are held for a moment only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from homeops_db import online

revision = "v1.2.0"
down_revision = "v1.1.1"
branch_labels = None
depends_on = None
change = "minor"

TIMESTAMPTZ = sa.DateTime(timezone=True)
NOW = sa.text("now()")
SCORE = sa.Numeric(5, 4)

TABLES = (
    "recommendation_models",
    "recommendations",
    "item_similarities",
    "ratings",
    "viewing_events",
    "viewing_daily",
    "viewing_rollups",
    "moods",
    "track_analysis",
    "track_moods",
    "genre_scores",
)

# Table, column, what it refers to, and what happens when that goes.
OUTWARD = (
    ("recommendations", "user_id", "core.users", "CASCADE"),
    ("ratings", "user_id", "core.users", "CASCADE"),
    ("viewing_daily", "user_id", "core.users", "CASCADE"),
    ("viewing_events", "session_id", "media.playback_sessions", "CASCADE"),
    ("viewing_events", "device_id", "smart_home.devices", "SET NULL"),
    ("genre_scores", "genre_id", "media.genres", "CASCADE"),
    ("recommendations", "item_id", "media.items", "CASCADE"),
    ("item_similarities", "first_item_id", "media.items", "CASCADE"),
    ("item_similarities", "second_item_id", "media.items", "CASCADE"),
    ("ratings", "item_id", "media.items", "CASCADE"),
    ("viewing_daily", "item_id", "media.items", "CASCADE"),
    ("genre_scores", "item_id", "media.items", "CASCADE"),
)

UPDATED = ("ratings", "recommendation_models", "recommendations")

# The extension may live in another schema than public. Few chunks: each has foreign keys of its own.
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
            'SELECT %I.create_hypertable(%L, %L, chunk_time_interval => interval %L,'
            ' create_default_indexes => false)',
            home, 'media.viewing_events', 'occurred_at', '30 days'
        );
    END IF;
END
$$
"""

ROLL_UP_VIEWING = """
CREATE OR REPLACE FUNCTION media.roll_up_viewing(from_day date, to_day date)
RETURNS bigint
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF (isfinite(from_day) AND isfinite(to_day) AND from_day <= to_day) IS NOT TRUE THEN
        RAISE EXCEPTION 'there are no days from % to %', from_day, to_day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever wants one of these days waits here, and reads the events only then. A transaction whose
    -- snapshot is older than the other's work fails here (40001) instead of writing old numbers.
    INSERT INTO media.viewing_rollups AS r (viewed_on, rolled_up_at)
    SELECT from_day + n, clock_timestamp()
    FROM generate_series(0, to_day - from_day) AS n
    ORDER BY n
    ON CONFLICT (viewed_on) DO UPDATE SET rolled_up_at = clock_timestamp();

    WITH fresh AS MATERIALIZED (
        SELECT s.user_id,
               s.item_id,
               (e.occurred_at AT TIME ZONE 'UTC')::date AS viewed_on,
               sum(e.watched_seconds) AS seconds_watched,
               count(DISTINCT e.session_id) AS sessions,
               count(DISTINCT e.session_id) FILTER (WHERE e.type = 'finish') AS completions
        FROM media.viewing_events e
        JOIN media.playback_sessions s ON s.id = e.session_id
        WHERE e.occurred_at >= from_day::timestamp AT TIME ZONE 'UTC'
          AND e.occurred_at < (to_day + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY s.user_id, s.item_id, viewed_on
    ),
    gone AS (
        DELETE FROM media.viewing_daily d
        WHERE d.viewed_on BETWEEN from_day AND to_day
          AND NOT EXISTS (
              SELECT FROM fresh f
              WHERE f.user_id = d.user_id AND f.item_id = d.item_id AND f.viewed_on = d.viewed_on
          )
        RETURNING 1
    ),
    put AS (
        INSERT INTO media.viewing_daily AS d
            (user_id, item_id, viewed_on, seconds_watched, sessions, completions)
        SELECT f.user_id, f.item_id, f.viewed_on, f.seconds_watched, f.sessions, f.completions
        FROM fresh f
        ON CONFLICT (user_id, item_id, viewed_on) DO UPDATE
        SET seconds_watched = excluded.seconds_watched,
            sessions = excluded.sessions,
            completions = excluded.completions
        WHERE (d.seconds_watched, d.sessions, d.completions)
            IS DISTINCT FROM (excluded.seconds_watched, excluded.sessions, excluded.completions)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM put) INTO written;
    RETURN written;
END
$$
"""

SIMILAR_ITEMS = """
CREATE OR REPLACE FUNCTION media.similar_items(item uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, score numeric)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- Each part is what both have of what either has, 0 to 1.
    WITH genres AS (
        SELECT theirs.item_id,
               count(*)::numeric / (
                   SELECT count(DISTINCT g.genre_id)
                   FROM media.item_genres g
                   WHERE g.item_id IN (similar_items.item, theirs.item_id)
               ) AS part
        FROM media.item_genres mine
        JOIN media.item_genres theirs ON theirs.genre_id = mine.genre_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    moods AS (
        SELECT theirs.item_id,
               sum(least(mine.weight, theirs.weight)) / (
                   (SELECT sum(m.weight) FROM media.track_moods m WHERE m.item_id = similar_items.item)
                   + (SELECT sum(m.weight) FROM media.track_moods m WHERE m.item_id = theirs.item_id)
                   - sum(least(mine.weight, theirs.weight))
               ) AS part
        FROM media.track_moods mine
        JOIN media.track_moods theirs ON theirs.mood_id = mine.mood_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    people AS (
        SELECT theirs.item_id,
               count(DISTINCT mine.person_id)::numeric / (
                   SELECT count(DISTINCT c.person_id)
                   FROM media.credits c
                   WHERE c.item_id IN (similar_items.item, theirs.item_id)
               ) AS part
        FROM media.credits mine
        JOIN media.credits theirs ON theirs.person_id = mine.person_id AND theirs.item_id <> mine.item_id
        WHERE mine.item_id = similar_items.item
        GROUP BY theirs.item_id
    ),
    parts AS (
        SELECT s.second_item_id AS item_id, 0.40 * s.score AS part
        FROM media.item_similarities s
        WHERE s.first_item_id = similar_items.item
        UNION ALL
        SELECT s.first_item_id, 0.40 * s.score
        FROM media.item_similarities s
        WHERE s.second_item_id = similar_items.item
        UNION ALL
        SELECT genres.item_id, 0.25 * genres.part FROM genres
        UNION ALL
        SELECT moods.item_id, 0.20 * moods.part FROM moods
        UNION ALL
        SELECT people.item_id, 0.15 * people.part FROM people
    )
    SELECT parts.item_id, round(sum(parts.part), 4) AS score
    FROM parts
    GROUP BY parts.item_id
    HAVING round(sum(parts.part), 4) > 0
    ORDER BY round(sum(parts.part), 4) DESC, parts.item_id
    LIMIT similar_items.wanted
$$
"""

RECOMMENDED_FOR = """
CREATE OR REPLACE FUNCTION media.recommended_for(for_user uuid, wanted integer DEFAULT 10)
RETURNS TABLE (item_id uuid, score numeric, reason text)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH best AS (
        SELECT DISTINCT ON (r.item_id) r.item_id, r.score, r.reason
        FROM media.recommendations r
        JOIN media.recommendation_models m ON m.id = r.model_id AND m.is_active
        WHERE r.user_id = recommended_for.for_user
        ORDER BY r.item_id, r.score DESC, r.rank, r.model_id
    ),
    limits AS (
        SELECT coalesce(
            (SELECT CASE jsonb_typeof(c.value) WHEN 'number' THEN (c.value #>> '{}')::numeric END
             FROM core.system_config c
             WHERE c.key = 'media.watched_percent'),
            90
        ) AS watched_percent
    ),
    done AS (
        -- Dismissed is dismissed, whichever model it came from.
        SELECT d.item_id
        FROM media.recommendations d
        WHERE d.user_id = recommended_for.for_user AND d.dismissed_at IS NOT NULL
        UNION ALL
        SELECT s.item_id
        FROM media.playback_sessions s, limits
        WHERE s.user_id = recommended_for.for_user AND s.progress_percent >= limits.watched_percent
        UNION ALL
        SELECT s.item_id
        FROM media.playback_sessions s
        JOIN media.viewing_events e ON e.session_id = s.id AND e.type = 'finish'
        WHERE s.user_id = recommended_for.for_user
        UNION ALL
        -- Days stay when their sessions and events are thrown away.
        SELECT v.item_id
        FROM media.viewing_daily v
        WHERE v.user_id = recommended_for.for_user AND v.completions > 0
    )
    SELECT best.item_id, best.score, best.reason
    FROM best
    WHERE NOT EXISTS (SELECT FROM done WHERE done.item_id = best.item_id)
    ORDER BY best.score DESC, best.item_id
    LIMIT recommended_for.wanted
$$
"""

VIEWING_HISTORY = """
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
JOIN media.playback_sessions s ON s.id = e.session_id
"""

VIEWING_STATISTICS = """
CREATE OR REPLACE VIEW media.viewing_statistics AS
SELECT u.id AS user_id,
       count(DISTINCT d.viewed_on) AS days,
       count(DISTINCT d.item_id) AS items,
       coalesce(sum(d.sessions), 0) AS sessions,
       coalesce(sum(d.completions), 0) AS completions,
       coalesce(sum(d.seconds_watched), 0)::bigint AS seconds_watched,
       min(d.viewed_on) AS first_viewed_on,
       max(d.viewed_on) AS last_viewed_on,
       (SELECT g.name
        FROM media.viewing_daily f
        JOIN media.item_genres i ON i.item_id = f.item_id
        JOIN media.genres g ON g.id = i.genre_id
        WHERE f.user_id = u.id
        GROUP BY g.name
        ORDER BY sum(f.seconds_watched) DESC, g.name
        LIMIT 1) AS favourite_genre
FROM core.users u
LEFT JOIN media.viewing_daily d ON d.user_id = u.id
GROUP BY u.id
"""


def upgrade() -> None:
    online.create_unique_constraint("uq_items_id_type", "items", ["id", "type"], schema="media")
    _create_recommendations()
    _create_viewing()
    _create_music()
    _create_functions()
    _refer_to_tables_in_use()


def downgrade() -> None:
    # The analyses, which refer to it, go in the transaction below: until then they do without.
    online.drop_constraint(
        "fk_track_analysis_item_id_item_type", "track_analysis", schema="media", type_="foreignkey"
    )
    online.drop_constraint("uq_items_id_type", "items", schema="media", type_="unique")
    op.execute("DROP VIEW media.viewing_statistics, media.viewing_history")
    op.execute(
        "DROP FUNCTION media.recommended_for(uuid, integer), media.similar_items(uuid, integer),"
        " media.roll_up_viewing(date, date)"
    )
    for table in reversed(TABLES):
        op.drop_table(table, schema="media")


def _create_recommendations() -> None:
    _table(
        "recommendation_models",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trained_at", TIMESTAMPTZ),
        *_timestamps(),
        unique=["name, version"],
        choices={"algorithm": "collaborative content popularity hybrid"},
        checks={"version": "version > 0", "is_active": "NOT is_active OR trained_at IS NOT NULL"},
    )
    op.create_index(
        op.f("uq_recommendation_models_name_active"),
        "recommendation_models",
        ["name"],
        unique=True,
        schema="media",
        postgresql_where=sa.text("is_active"),
    )
    _table(
        "recommendations",
        _key(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        _reference("model_id", "media.recommendation_models.id", "CASCADE"),
        sa.Column("score", SCORE, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("shown_at", TIMESTAMPTZ),
        sa.Column("clicked_at", TIMESTAMPTZ),
        sa.Column("dismissed_at", TIMESTAMPTZ),
        *_timestamps(),
        unique=["user_id, item_id, model_id"],
        checks={
            "score": "score BETWEEN 0 AND 1",
            "rank": "rank > 0",
            "shown_at": "shown_at >= created_at",
            "clicked_at": "clicked_at IS NULL OR (shown_at IS NOT NULL AND clicked_at >= shown_at)",
            "dismissed_at": "dismissed_at IS NULL OR (shown_at IS NOT NULL AND dismissed_at >= shown_at)",
        },
        indexes=["item_id", "model_id"],
    )
    _table(
        "item_similarities",
        sa.Column("first_item_id", sa.Uuid(), primary_key=True),
        sa.Column("second_item_id", sa.Uuid(), primary_key=True),
        sa.Column("score", SCORE, nullable=False),
        sa.Column("computed_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"second_item_id": "first_item_id < second_item_id", "score": "score BETWEEN 0 AND 1"},
        indexes=["second_item_id"],
    )
    _table(
        "ratings",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("item_id", sa.Uuid(), primary_key=True),
        sa.Column("rating", sa.Numeric(3, 1), nullable=False),
        sa.Column("comment", sa.Text()),
        *_timestamps(),
        checks={"rating": "rating BETWEEN 0 AND 10"},
        indexes=["item_id"],
    )


def _create_viewing() -> None:
    _table(
        "viewing_events",
        sa.Column("session_id", sa.Uuid(), primary_key=True),
        sa.Column("occurred_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
        sa.Column("type", sa.Text(), primary_key=True),
        sa.Column("device_id", sa.Uuid()),
        sa.Column("position_seconds", sa.Integer(), nullable=False),
        sa.Column("watched_seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        choices={"type": "play pause seek progress stop finish"},
        checks={
            "position_seconds": "position_seconds >= 0",
            "watched_seconds": "watched_seconds BETWEEN 0 AND 86400",
        },
        indexes=["device_id", "occurred_at"],
    )
    op.execute(MAKE_HYPERTABLE)
    _table(
        "viewing_daily",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("item_id", sa.Uuid(), primary_key=True),
        sa.Column("viewed_on", sa.Date(), primary_key=True),
        sa.Column("seconds_watched", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("completions", sa.Integer(), nullable=False),
        checks={
            "seconds_watched": "seconds_watched >= 0",
            "sessions": "sessions > 0",
            "completions": "completions BETWEEN 0 AND sessions",
        },
        indexes=["item_id", "viewed_on"],
    )
    _table(
        "viewing_rollups",
        sa.Column("viewed_on", sa.Date(), primary_key=True),
        sa.Column("rolled_up_at", TIMESTAMPTZ, nullable=False),
    )


def _create_music() -> None:
    _table(
        "moods",
        _key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("energy", SCORE, nullable=False),
        sa.Column("valence", SCORE, nullable=False),
        unique=["name"],
        checks={"energy": "energy BETWEEN 0 AND 1", "valence": "valence BETWEEN 0 AND 1"},
    )
    _table(
        "track_analysis",
        sa.Column("item_id", sa.Uuid(), primary_key=True),
        sa.Column("item_type", sa.Text(), sa.Computed("'track'::text", persisted=True), nullable=False),
        sa.Column("tempo_bpm", sa.Numeric(5, 2)),
        sa.Column("musical_key", sa.Text()),
        sa.Column("mode", sa.Text()),
        sa.Column("energy", SCORE),
        sa.Column("valence", SCORE),
        sa.Column("danceability", SCORE),
        sa.Column("analyzer", sa.Text(), nullable=False),
        sa.Column("analyzed_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        choices={"musical_key": "C C# D D# E F F# G G# A A# B"},
        checks={
            "mode": "mode IS NULL OR (mode IN ('major', 'minor') AND musical_key IS NOT NULL)",
            "tempo_bpm": "tempo_bpm > 0 AND tempo_bpm < 1000",
            "energy": "energy BETWEEN 0 AND 1",
            "valence": "valence BETWEEN 0 AND 1",
            "danceability": "danceability BETWEEN 0 AND 1",
        },
        indexes=["item_id, item_type"],
    )
    _table(
        "track_moods",
        _reference("item_id", "media.track_analysis.item_id", "CASCADE", primary_key=True),
        _reference("mood_id", "media.moods.id", "RESTRICT", primary_key=True),
        sa.Column("weight", SCORE, nullable=False),
        checks={"weight": "weight > 0 AND weight <= 1"},
        indexes=["mood_id"],
    )
    _table(
        "genre_scores",
        sa.Column("item_id", sa.Uuid(), primary_key=True),
        sa.Column("genre_id", sa.Uuid(), primary_key=True),
        sa.Column("confidence", SCORE, nullable=False),
        sa.Column("analyzer", sa.Text(), nullable=False),
        sa.Column("analyzed_at", TIMESTAMPTZ, server_default=NOW, nullable=False),
        checks={"confidence": "confidence BETWEEN 0 AND 1"},
        indexes=["genre_id"],
    )


def _create_functions() -> None:
    for body in (ROLL_UP_VIEWING, SIMILAR_ITEMS, RECOMMENDED_FOR, VIEWING_HISTORY, VIEWING_STATISTICS):
        op.execute(body)
    op.execute(
        "REVOKE EXECUTE ON FUNCTION media.roll_up_viewing(date, date),"
        " media.similar_items(uuid, integer), media.recommended_for(uuid, integer) FROM PUBLIC"
    )
    for view in ("viewing_history", "viewing_statistics"):
        op.execute(f"ALTER VIEW media.{view} SET (security_invoker = true)")
    for table in UPDATED:
        op.execute(
            f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON media.{table}"
            " FOR EACH ROW EXECUTE FUNCTION core.set_updated_at()"
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
            source_schema="media",
            referent_schema=schema,
            ondelete=ondelete,
        )
    op.create_foreign_key(
        op.f("fk_track_analysis_item_id_item_type"),
        "track_analysis",
        "items",
        ["item_id", "item_type"],
        ["id", "type"],
        source_schema="media",
        referent_schema="media",
        ondelete="CASCADE",
    )


def _table(
    table: str,
    *columns: sa.Column[Any],
    unique: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table of the schema media whose constraints and indexes carry the project's names.

    op.f() keeps a naming convention of the environment from changing them.
    """
    for column in columns:
        for key in column.foreign_keys:
            key.name = op.f(f"fk_{table}_{column.name}")
    op.create_table(
        table,
        *columns,
        sa.PrimaryKeyConstraint(*(c.name for c in columns if c.primary_key), name=op.f(f"pk_{table}")),
        *(_unique(table, terms.split(", ")) for terms in unique),
        *(
            _check(table, name, f"{name} IN {tuple(listed.split())}")
            for name, listed in (choices or {}).items()
        ),
        *(_check(table, name, condition) for name, condition in (checks or {}).items()),
        schema="media",
    )
    for terms in indexes:
        columns_of_it = terms.split(", ")
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns_of_it)}"), table, columns_of_it, schema="media")


def _unique(table: str, columns: Sequence[str]) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()"))


def _reference(name: str, target: str, ondelete: str, *, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.Uuid(), key, nullable=False, primary_key=primary_key)


def _timestamps() -> tuple[sa.Column[Any], ...]:
    return tuple(
        sa.Column(name, TIMESTAMPTZ, server_default=NOW, nullable=False)
        for name in ("created_at", "updated_at")
    )
