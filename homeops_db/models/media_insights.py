"""Schema media, what is learned of its works: what is heard in them, who watched them, what to offer."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, one_of, reference

SCORE: Final = Numeric(5, 4)
"""A share from 0 to 1. Exact, so that equal scores stand in the same order everywhere."""


def score(column: str) -> CheckConstraint:
    """Keep a column between 0 and 1."""
    return CheckConstraint(f"{column} BETWEEN 0 AND 1", name=column)


def after_shown(column: str) -> CheckConstraint:
    """Let a moment come only after shown_at, which then must be there."""
    return CheckConstraint(
        f"{column} IS NULL OR (shown_at IS NOT NULL AND {column} >= shown_at)", name=column
    )


class RecommendationModel(Keyed, Timestamped, Base):
    """A way to find what a person may like, in one version. One version of a name is active."""

    __tablename__ = "recommendation_models"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index(
            "uq_recommendation_models_name_active", "name", unique=True, postgresql_where=text("is_active")
        ),
        one_of("algorithm", "collaborative", "content", "popularity", "hybrid"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("NOT is_active OR trained_at IS NOT NULL", name="is_active"),
        {"schema": "media"},
    )

    name: Mapped[str]
    version: Mapped[int]
    algorithm: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    is_active: Mapped[bool] = mapped_column(server_default=text("false"))
    trained_at: Mapped[dt.datetime | None]


class Recommendation(Keyed, Timestamped, Base):
    """A model offers a work to a person, and what became of it."""

    __tablename__ = "recommendations"
    __table_args__ = (
        UniqueConstraint("user_id", "item_id", "model_id"),
        score("score"),
        CheckConstraint("rank > 0", name="rank"),
        CheckConstraint("shown_at >= created_at", name="shown_at"),
        after_shown("clicked_at"),
        after_shown("dismissed_at"),
        {"schema": "media"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False)
    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE")
    model_id: Mapped[uuid.UUID] = reference("media.recommendation_models.id", ondelete="CASCADE")
    score: Mapped[Decimal] = mapped_column(SCORE)
    rank: Mapped[int]
    reason: Mapped[str | None]
    shown_at: Mapped[dt.datetime | None]
    clicked_at: Mapped[dt.datetime | None]
    dismissed_at: Mapped[dt.datetime | None]


class ItemSimilarity(Base):
    """How alike two works are. A pair stands here once, the smaller id first."""

    __tablename__ = "item_similarities"
    __table_args__ = (
        CheckConstraint("first_item_id < second_item_id", name="second_item_id"),
        score("score"),
        {"schema": "media"},
    )

    first_item_id: Mapped[uuid.UUID] = reference(
        "media.items.id", ondelete="CASCADE", index=False, primary_key=True
    )
    second_item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE", primary_key=True)
    score: Mapped[Decimal] = mapped_column(SCORE)
    computed_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class Rating(Timestamped, Base):
    """What a person thinks of a work."""

    __tablename__ = "ratings"
    __table_args__ = (CheckConstraint("rating BETWEEN 0 AND 10", name="rating"), {"schema": "media"})

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False, primary_key=True)
    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE", primary_key=True)
    rating: Mapped[Decimal] = mapped_column(Numeric(3, 1))
    comment: Mapped[str | None]


class ViewingEvent(Base):
    """What a player reports. Whose session it is, and of which work, stands in playback_sessions."""

    __tablename__ = "viewing_events"
    __table_args__ = (
        one_of("type", "play", "pause", "seek", "progress", "stop", "finish"),
        CheckConstraint("position_seconds >= 0", name="position_seconds"),
        CheckConstraint("watched_seconds BETWEEN 0 AND 86400", name="watched_seconds"),
        {"schema": "media"},
    )

    session_id: Mapped[uuid.UUID] = reference(
        "media.playback_sessions.id", ondelete="CASCADE", index=False, primary_key=True
    )
    occurred_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW, index=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[uuid.UUID | None] = reference("smart_home.devices.id", ondelete="SET NULL")
    position_seconds: Mapped[int]
    # Played since the session's event before this one: a leap forward is not watched, a repeat is.
    watched_seconds: Mapped[int] = mapped_column(server_default=text("0"))


class ViewingDay(Base):
    """What a person watched of a work on one day (UTC); written by media.roll_up_viewing."""

    __tablename__ = "viewing_daily"
    __table_args__ = (
        CheckConstraint("seconds_watched >= 0", name="seconds_watched"),
        CheckConstraint("sessions > 0", name="sessions"),
        CheckConstraint("completions BETWEEN 0 AND sessions", name="completions"),
        {"schema": "media"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False, primary_key=True)
    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE", primary_key=True)
    viewed_on: Mapped[dt.date] = mapped_column(primary_key=True, index=True)
    seconds_watched: Mapped[int] = mapped_column(BigInteger)
    sessions: Mapped[int]
    completions: Mapped[int]


class ViewingRollup(Base):
    """When a day was last rolled up. Its row is also where roll-ups of the same day queue."""

    __tablename__ = "viewing_rollups"
    __table_args__ = ({"schema": "media"},)

    viewed_on: Mapped[dt.date] = mapped_column(primary_key=True)
    rolled_up_at: Mapped[dt.datetime]


class Mood(Keyed, Base):
    """What music feels like, and where that usually lies between calm and lively, sad and happy."""

    __tablename__ = "moods"
    __table_args__ = (score("energy"), score("valence"), {"schema": "media"})

    name: Mapped[str] = mapped_column(unique=True)
    energy: Mapped[Decimal] = mapped_column(SCORE)
    valence: Mapped[Decimal] = mapped_column(SCORE)


class TrackAnalysis(Base):
    """What was heard in a track."""

    __tablename__ = "track_analysis"
    __table_args__ = (
        # With item_type fixed, only a track can have an analysis, and it stays one as long as it has.
        ForeignKeyConstraint(
            ["item_id", "item_type"], ["media.items.id", "media.items.type"], ondelete="CASCADE"
        ),
        Index(None, "item_id", "item_type"),
        one_of("musical_key", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"),
        CheckConstraint(
            "mode IS NULL OR (mode IN ('major', 'minor') AND musical_key IS NOT NULL)", name="mode"
        ),
        CheckConstraint("tempo_bpm > 0 AND tempo_bpm < 1000", name="tempo_bpm"),
        *(score(column) for column in ("energy", "valence", "danceability")),
        {"schema": "media"},
    )

    item_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    item_type: Mapped[str] = mapped_column(Computed("'track'::text", persisted=True))
    tempo_bpm: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    musical_key: Mapped[str | None]
    mode: Mapped[str | None]
    energy: Mapped[Decimal | None] = mapped_column(SCORE)
    valence: Mapped[Decimal | None] = mapped_column(SCORE)
    danceability: Mapped[Decimal | None] = mapped_column(SCORE)
    analyzer: Mapped[str]
    analyzed_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class TrackMood(Base):
    """How much of a mood is in an analyzed track."""

    __tablename__ = "track_moods"
    __table_args__ = (CheckConstraint("weight > 0 AND weight <= 1", name="weight"), {"schema": "media"})

    item_id: Mapped[uuid.UUID] = reference(
        "media.track_analysis.item_id", ondelete="CASCADE", index=False, primary_key=True
    )
    mood_id: Mapped[uuid.UUID] = reference("media.moods.id", ondelete="RESTRICT", primary_key=True)
    weight: Mapped[Decimal] = mapped_column(SCORE)


class GenreScore(Base):
    """How sure an analysis is that a work is of a genre. What was decided stands in item_genres."""

    __tablename__ = "genre_scores"
    __table_args__ = (score("confidence"), {"schema": "media"})

    item_id: Mapped[uuid.UUID] = reference(
        "media.items.id", ondelete="CASCADE", index=False, primary_key=True
    )
    genre_id: Mapped[uuid.UUID] = reference("media.genres.id", ondelete="CASCADE", primary_key=True)
    confidence: Mapped[Decimal] = mapped_column(SCORE)
    analyzer: Mapped[str]
    analyzed_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
