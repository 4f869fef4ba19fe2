"""Schema community, what people write: posts, comments, reports, and what moderators decide."""

import datetime as dt
import uuid

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, one_of, reference


class Moderated:
    """A state that the newest moderation action gives, by trigger, and what follows from it."""

    moderation_state: Mapped[str] = mapped_column(server_default="visible", sort_order=90)
    is_visible: Mapped[bool] = mapped_column(
        Computed("moderation_state = 'visible'", persisted=True), nullable=False, sort_order=91
    )


class Post(Keyed, Moderated, Timestamped, Base):
    """Something that a person shows the community, about a listing or about anything."""

    __tablename__ = "posts"
    __table_args__ = (
        Index("ix_posts_created_at", text("created_at DESC"), postgresql_where=text("is_visible")),
        CheckConstraint("btrim(title) <> ''", name="title"),
        one_of("moderation_state", "pending", "visible", "hidden", "removed"),
        {"schema": "community"},
    )

    author_id: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    listing_id: Mapped[uuid.UUID | None] = reference("community.listings.id", ondelete="SET NULL")
    title: Mapped[str]
    body: Mapped[str] = mapped_column(server_default="")


class Comment(Keyed, Moderated, Timestamped, Base):
    """An answer to a post, or to another comment of the same post.

    A comment is one deeper than its parent, so there are no circles, and no tree grows without end.
    """

    __tablename__ = "comments"
    __table_args__ = (
        UniqueConstraint("id", "post_id", "depth"),
        ForeignKeyConstraint(
            ["parent_id", "post_id", "parent_depth"],
            ["community.comments.id", "community.comments.post_id", "community.comments.depth"],
            ondelete="CASCADE",
        ),
        Index(None, "parent_id", "post_id", "parent_depth"),
        CheckConstraint("depth BETWEEN 0 AND 20", name="depth"),
        CheckConstraint("(depth = 0) = (parent_id IS NULL)", name="parent_id"),
        CheckConstraint("btrim(body) <> ''", name="body"),
        one_of("moderation_state", "pending", "visible", "hidden", "removed"),
        {"schema": "community"},
    )

    post_id: Mapped[uuid.UUID] = reference("community.posts.id", ondelete="CASCADE")
    parent_id: Mapped[uuid.UUID | None]
    depth: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    parent_depth: Mapped[int] = mapped_column(
        SmallInteger, Computed("depth - 1", persisted=True), nullable=False
    )
    author_id: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    body: Mapped[str]


class Attachment(Keyed, Base):
    """A file at a post, or a work of the media library."""

    __tablename__ = "attachments"
    __table_args__ = (
        UniqueConstraint("post_id", "position"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("media_type ~ '^[a-z]+/[^ ]+$'", name="media_type"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        {"schema": "community"},
    )

    post_id: Mapped[uuid.UUID] = reference("community.posts.id", ondelete="CASCADE", index=False)
    position: Mapped[int] = mapped_column(server_default=text("0"))
    item_id: Mapped[uuid.UUID | None] = reference("media.items.id", ondelete="SET NULL")
    file_name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]


class Reaction(Base):
    """What a person feels about a post, in one word."""

    __tablename__ = "reactions"
    __table_args__ = (one_of("kind", "like", "love", "helpful", "funny"), {"schema": "community"})

    post_id: Mapped[uuid.UUID] = reference(
        "community.posts.id", ondelete="CASCADE", index=False, primary_key=True
    )
    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class ReportReason(Base):
    """Why something is reported or taken away. A list of its own: it grows without a new version."""

    __tablename__ = "report_reasons"
    __table_args__ = (CheckConstraint("code ~ '^[a-z][a-z_]*$'", name="code"), {"schema": "community"})

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    is_urgent: Mapped[bool] = mapped_column(server_default=text("false"))


class ModerationAction(Base):
    """What a moderator decided about a post or a comment, when and why. It stays as it is."""

    __tablename__ = "moderation_actions"
    __table_args__ = (
        CheckConstraint("num_nonnulls(post_id, comment_id) = 1", name="subject"),
        CheckConstraint("btrim(note) <> ''", name="note"),
        one_of("state", "visible", "hidden", "removed"),
        {"schema": "community"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    post_id: Mapped[uuid.UUID | None] = reference("community.posts.id", ondelete="RESTRICT")
    comment_id: Mapped[uuid.UUID | None] = reference("community.comments.id", ondelete="RESTRICT")
    moderator_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="RESTRICT")
    state: Mapped[str]
    reason_code: Mapped[str | None] = reference("community.report_reasons.code", ondelete="RESTRICT")
    note: Mapped[str]
    acted_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class Report(Keyed, Base):
    """A person tells the moderators of a post or a comment, once each."""

    __tablename__ = "reports"
    __table_args__ = (
        UniqueConstraint("post_id", "reporter_id"),
        UniqueConstraint("comment_id", "reporter_id"),
        CheckConstraint("num_nonnulls(post_id, comment_id) = 1", name="subject"),
        one_of("status", "open", "upheld", "dismissed"),
        CheckConstraint("(status = 'open') = (resolved_at IS NULL)", name="resolved_at"),
        {"schema": "community"},
    )

    post_id: Mapped[uuid.UUID | None] = reference("community.posts.id", ondelete="CASCADE", index=False)
    comment_id: Mapped[uuid.UUID | None] = reference("community.comments.id", ondelete="CASCADE", index=False)
    reporter_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    reason_code: Mapped[str] = reference("community.report_reasons.code", ondelete="RESTRICT")
    note: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="open")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    resolved_at: Mapped[dt.datetime | None]
    action_id: Mapped[int | None] = reference("community.moderation_actions.id", ondelete="SET NULL")
