"""Schema media: what there is to watch, hear and read, and who played it."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, one_of, reference


class Library(Keyed, Timestamped, Base):
    """A folder of media of one type."""

    __tablename__ = "libraries"
    __table_args__ = (
        one_of("type", "movies", "shows", "music", "books", "photos", "mixed"),
        {"schema": "media"},
    )

    name: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    path: Mapped[str | None]


class Item(Keyed, Timestamped, Base):
    """A work, or a part of one: an episode belongs to its season, a track to its album."""

    __tablename__ = "items"
    __table_args__ = (
        Index(
            "ix_items_title_trgm", "title", postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"}
        ),
        # What only one type may have refers to both.
        UniqueConstraint("id", "type"),
        one_of(
            "type",
            *("movie", "show", "season", "episode", "album", "track"),
            *("book", "audiobook", "podcast", "photo", "video"),
        ),
        CheckConstraint("parent_id <> id", name="parent_id"),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
        CheckConstraint("rating BETWEEN 0 AND 10", name="rating"),
        {"schema": "media"},
    )

    library_id: Mapped[uuid.UUID] = reference("media.libraries.id", ondelete="CASCADE")
    parent_id: Mapped[uuid.UUID | None] = reference("media.items.id", ondelete="CASCADE")
    title: Mapped[str]
    type: Mapped[str]
    part_number: Mapped[int | None]
    released_on: Mapped[dt.date | None]
    duration_seconds: Mapped[int | None]
    rating: Mapped[Decimal | None] = mapped_column(Numeric(3, 1))
    file_path: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class Person(Keyed, Timestamped, Base):
    """Someone who took part in a work."""

    __tablename__ = "people"
    __table_args__ = (CheckConstraint("died_on >= born_on", name="died_on"), {"schema": "media"})

    name: Mapped[str] = mapped_column(index=True)
    born_on: Mapped[dt.date | None]
    died_on: Mapped[dt.date | None]
    biography: Mapped[str | None]


class Credit(Keyed, Base):
    """What a person did in a work."""

    __tablename__ = "credits"
    __table_args__ = (
        UniqueConstraint("item_id", "person_id", "role", "character_name"),
        one_of(
            "role",
            *("actor", "director", "writer", "producer"),
            *("composer", "performer", "author", "narrator", "other"),
        ),
        CheckConstraint("position >= 0", name="position"),
        {"schema": "media"},
    )

    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE", index=False)
    person_id: Mapped[uuid.UUID] = reference("media.people.id", ondelete="CASCADE")
    role: Mapped[str]
    character_name: Mapped[str] = mapped_column(server_default="")
    position: Mapped[int] = mapped_column(server_default=text("0"))


class Genre(Keyed, Base):
    """A kind of work."""

    __tablename__ = "genres"
    __table_args__ = ({"schema": "media"},)

    name: Mapped[str] = mapped_column(unique=True)


class ItemGenre(Base):
    """A work is of a genre."""

    __tablename__ = "item_genres"
    __table_args__ = ({"schema": "media"},)

    item_id: Mapped[uuid.UUID] = reference(
        "media.items.id", ondelete="CASCADE", index=False, primary_key=True
    )
    genre_id: Mapped[uuid.UUID] = reference("media.genres.id", ondelete="CASCADE", primary_key=True)


class Playlist(Keyed, Timestamped, Base):
    """A person's list of works, in order."""

    __tablename__ = "playlists"
    __table_args__ = (UniqueConstraint("user_id", "name"), {"schema": "media"})

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False)
    name: Mapped[str]
    description: Mapped[str | None]
    is_shared: Mapped[bool] = mapped_column(server_default=text("false"))


class PlaylistItem(Base):
    """One place in a playlist; a work may stand in it twice."""

    __tablename__ = "playlist_items"
    __table_args__ = (CheckConstraint("position >= 0", name="position"), {"schema": "media"})

    playlist_id: Mapped[uuid.UUID] = reference(
        "media.playlists.id", ondelete="CASCADE", index=False, primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE")
    added_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class PlaybackSession(Keyed, Base):
    """Someone plays a work, from start to end or to where they stopped."""

    __tablename__ = "playback_sessions"
    __table_args__ = (
        Index("ix_playback_sessions_user_id_started_at", "user_id", text("started_at DESC")),
        CheckConstraint("ended_at >= started_at", name="ended_at"),
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_percent"),
        {"schema": "media"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False)
    item_id: Mapped[uuid.UUID] = reference("media.items.id", ondelete="CASCADE")
    device_id: Mapped[uuid.UUID | None] = reference("smart_home.devices.id", ondelete="SET NULL")
    started_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[dt.datetime | None]
    progress_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2), server_default=text("0"))
