"""Schema community, the marketplace: who offers what, who bought it, and what they say of it."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, currency_code, one_of, reference

MONEY = Numeric(15, 2)


class Licence(Base):
    """What a buyer may do with a listing. A list of its own, because it grows without a new version."""

    __tablename__ = "licences"
    __table_args__ = (CheckConstraint("code ~ '^[a-z][a-z_]*$'", name="code"), {"schema": "community"})

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    allows_commercial_use: Mapped[bool] = mapped_column(server_default=text("false"))
    allows_sharing: Mapped[bool] = mapped_column(server_default=text("false"))


class Profile(Keyed, Timestamped, Base):
    """A person as others in the community see them: seller, provider of services, earner of a share."""

    __tablename__ = "profiles"
    __table_args__ = (
        # Names that differ only in case would be taken for one another.
        Index("uq_profiles_name_lower", text("lower(name)"), unique=True),
        CheckConstraint("btrim(name) <> ''", name="name"),
        one_of("status", "active", "suspended", "closed"),
        {"schema": "community"},
    )

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("core.users.id", ondelete="RESTRICT"), unique=True)
    name: Mapped[str]
    biography: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")


class Listing(Keyed, Timestamped, Base):
    """Something that is offered; what is free has the price 0."""

    __tablename__ = "listings"
    __table_args__ = (
        UniqueConstraint("id", "currency"),
        UniqueConstraint("id", "profile_id", "kind"),
        Index(
            "ix_listings_kind_published_at",
            "kind",
            text("published_at DESC"),
            postgresql_where=text("status = 'published'"),
        ),
        one_of("kind", "automation", "scene", "playlist", "integration", "service"),
        one_of("status", "draft", "published", "suspended", "retired"),
        currency_code(),
        CheckConstraint("btrim(title) <> ''", name="title"),
        CheckConstraint("price >= 0 AND price <> 'NaN'", name="price"),
        CheckConstraint("status <> 'published' OR published_at IS NOT NULL", name="published_at"),
        CheckConstraint("automation_id IS NULL OR kind = 'automation'", name="automation_id"),
        CheckConstraint("scene_id IS NULL OR kind = 'scene'", name="scene_id"),
        CheckConstraint("playlist_id IS NULL OR kind = 'playlist'", name="playlist_id"),
        {"schema": "community"},
    )

    profile_id: Mapped[uuid.UUID] = reference("community.profiles.id", ondelete="RESTRICT")
    licence_code: Mapped[str] = reference("community.licences.code", ondelete="RESTRICT")
    kind: Mapped[str]
    title: Mapped[str]
    summary: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(server_default="draft")
    price: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    currency: Mapped[str] = mapped_column(server_default="USD")
    is_free: Mapped[bool] = mapped_column(Computed("price = 0", persisted=True), nullable=False)
    automation_id: Mapped[uuid.UUID | None] = reference("smart_home.automations.id", ondelete="SET NULL")
    scene_id: Mapped[uuid.UUID | None] = reference("smart_home.scenes.id", ondelete="SET NULL")
    playlist_id: Mapped[uuid.UUID | None] = reference("media.playlists.id", ondelete="SET NULL")
    published_at: Mapped[dt.datetime | None]


class ListingVersion(Keyed, Base):
    """What a buyer of a listing gets, as it was at one release."""

    __tablename__ = "listing_versions"
    __table_args__ = (
        UniqueConstraint("listing_id", "version"),
        CheckConstraint("version ~ '^[0-9]+[.][0-9]+[.][0-9]+$'", name="version"),
        CheckConstraint("jsonb_typeof(content) = 'object'", name="content"),
        {"schema": "community"},
    )

    listing_id: Mapped[uuid.UUID] = reference("community.listings.id", ondelete="CASCADE", index=False)
    version: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    notes: Mapped[str | None]
    released_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class Order(Keyed, Timestamped, Base):
    """What one person buys at once. Its total is the sum of its items, and once paid it stays as it is."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("id", "buyer_id", "currency"),
        Index("ix_orders_buyer_id_created_at", "buyer_id", text("created_at DESC")),
        one_of("status", "open", "paid", "refunded", "cancelled"),
        currency_code(),
        CheckConstraint("total >= 0 AND total <> 'NaN'", name="total"),
        CheckConstraint("(status IN ('paid', 'refunded')) = (paid_at IS NOT NULL)", name="paid_at"),
        {"schema": "community"},
    )

    buyer_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="RESTRICT", index=False)
    status: Mapped[str] = mapped_column(server_default="open")
    currency: Mapped[str] = mapped_column(server_default="USD")
    total: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    paid_at: Mapped[dt.datetime | None]
    transaction_id: Mapped[uuid.UUID | None] = reference("financial.transactions.id", ondelete="SET NULL")


class OrderItem(Keyed, Base):
    """One listing in an order, at the price of that day; buyer and currency are those of the order."""

    __tablename__ = "order_items"
    __table_args__ = (
        UniqueConstraint("order_id", "listing_id"),
        UniqueConstraint("id", "listing_id", "buyer_id"),
        ForeignKeyConstraint(
            ["order_id", "buyer_id", "currency"],
            ["community.orders.id", "community.orders.buyer_id", "community.orders.currency"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["listing_id", "currency"],
            ["community.listings.id", "community.listings.currency"],
            ondelete="RESTRICT",
        ),
        Index(None, "order_id", "buyer_id", "currency"),
        Index(None, "listing_id", "currency"),
        currency_code(),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("unit_price >= 0 AND unit_price <> 'NaN'", name="unit_price"),
        {"schema": "community"},
    )

    order_id: Mapped[uuid.UUID]
    buyer_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    currency: Mapped[str] = mapped_column(server_default="USD")
    quantity: Mapped[int] = mapped_column(server_default=text("1"))
    unit_price: Mapped[Decimal] = mapped_column(MONEY)
    amount: Mapped[Decimal] = mapped_column(
        MONEY, Computed("unit_price * quantity", persisted=True), nullable=False
    )
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class LicenceGrant(Keyed, Base):
    """The buyer's right to use what was paid for. Only the hash of the key that proves it is kept."""

    __tablename__ = "licence_grants"
    __table_args__ = (
        UniqueConstraint("id", "listing_id", "user_id"),
        ForeignKeyConstraint(
            ["order_item_id", "listing_id", "user_id"],
            [
                "community.order_items.id",
                "community.order_items.listing_id",
                "community.order_items.buyer_id",
            ],
            ondelete="RESTRICT",
        ),
        Index(None, "order_item_id", "listing_id", "user_id"),
        CheckConstraint("revoked_at >= granted_at", name="revoked_at"),
        {"schema": "community"},
    )

    order_item_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    listing_id: Mapped[uuid.UUID]
    user_id: Mapped[uuid.UUID] = mapped_column(index=True)
    licence_code: Mapped[str] = reference("community.licences.code", ondelete="RESTRICT")
    key_hash: Mapped[str | None] = mapped_column(unique=True)
    granted_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[dt.datetime | None]


class Review(Keyed, Timestamped, Base):
    """What a buyer thinks of a listing: one review each, and none without a licence that was paid for."""

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("listing_id", "reviewer_id"),
        ForeignKeyConstraint(
            ["licence_grant_id", "listing_id", "reviewer_id"],
            [
                "community.licence_grants.id",
                "community.licence_grants.listing_id",
                "community.licence_grants.user_id",
            ],
            ondelete="CASCADE",
        ),
        Index(None, "licence_grant_id", "listing_id", "reviewer_id"),
        CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
        {"schema": "community"},
    )

    licence_grant_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    reviewer_id: Mapped[uuid.UUID]
    stars: Mapped[int] = mapped_column(SmallInteger)
    title: Mapped[str | None]
    body: Mapped[str | None]


class Booking(Keyed, Timestamped, Base):
    """A service at a time. A provider has one customer at a time; what was cancelled is free again."""

    __tablename__ = "bookings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["listing_id", "profile_id", "kind"],
            ["community.listings.id", "community.listings.profile_id", "community.listings.kind"],
            ondelete="RESTRICT",
        ),
        Index(None, "listing_id", "profile_id", "kind"),
        # What is booked was bought by the customer; a booking may also stand without an order.
        ForeignKeyConstraint(
            ["order_item_id", "listing_id", "customer_id"],
            [
                "community.order_items.id",
                "community.order_items.listing_id",
                "community.order_items.buyer_id",
            ],
            ondelete="SET NULL (order_item_id)",
        ),
        Index(None, "order_item_id", "listing_id", "customer_id"),
        ExcludeConstraint(
            (text("community.uuid_range(profile_id, profile_id, '[]')"), "&&"),
            ("during", "&&"),
            name="ex_bookings_profile_id_during",
            where=text("status <> 'cancelled'"),
        ),
        one_of("kind", "service"),
        one_of("status", "requested", "confirmed", "done", "cancelled"),
        CheckConstraint(
            "NOT (isempty(during) OR lower_inf(during) OR upper_inf(during))"
            " AND isfinite(lower(during)) AND isfinite(upper(during))",
            name="during",
        ),
        {"schema": "community"},
    )

    listing_id: Mapped[uuid.UUID]
    profile_id: Mapped[uuid.UUID]
    kind: Mapped[str] = mapped_column(server_default="service")
    customer_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="RESTRICT")
    order_item_id: Mapped[uuid.UUID | None]
    during: Mapped[Range[dt.datetime]] = mapped_column(TSTZRANGE)
    status: Mapped[str] = mapped_column(server_default="requested")
    note: Mapped[str | None]
