"""Schema community, the money: who shares a listing's revenue, the ledger, and payouts."""

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import DATERANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, currency_code, one_of, reference

MONEY = Numeric(15, 2)


class RevenuePlan(Keyed, Base):
    """The days on which a listing's revenue is shared in one way. Without a plan, all is the seller's."""

    __tablename__ = "revenue_plans"
    __table_args__ = (
        ExcludeConstraint(
            (text("community.uuid_range(listing_id, listing_id, '[]')"), "&&"),
            ("during", "&&"),
            name="ex_revenue_plans_listing_id_during",
        ),
        CheckConstraint("NOT isempty(during)", name="during"),
        {"schema": "community"},
    )

    listing_id: Mapped[uuid.UUID] = reference("community.listings.id", ondelete="CASCADE")
    during: Mapped[Range[dt.date]] = mapped_column(DATERANGE)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class RevenueShare(Base):
    """One profile's part of a plan; the parts of a plan add up to 100 percent."""

    __tablename__ = "revenue_shares"
    __table_args__ = (
        CheckConstraint("share_percent > 0 AND share_percent <= 100", name="share_percent"),
        {"schema": "community"},
    )

    plan_id: Mapped[uuid.UUID] = reference(
        "community.revenue_plans.id", ondelete="CASCADE", index=False, primary_key=True
    )
    profile_id: Mapped[uuid.UUID] = reference("community.profiles.id", ondelete="RESTRICT", primary_key=True)
    share_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2))


class LedgerAccount(Keyed, Timestamped, Base):
    """Where the ledger puts money: what a profile has earned, what buyers paid, what was paid out."""

    __tablename__ = "accounts"
    __table_args__ = (
        # A second clearing account of one currency would be as wrong as a profile's second account.
        UniqueConstraint("profile_id", "kind", "currency", postgresql_nulls_not_distinct=True),
        UniqueConstraint("id", "currency"),
        UniqueConstraint("id", "profile_id", "currency"),
        one_of("kind", "earnings", "clearing", "payouts"),
        currency_code(),
        CheckConstraint("(kind = 'earnings') = (profile_id IS NOT NULL)", name="profile_id"),
        {"schema": "community"},
    )

    profile_id: Mapped[uuid.UUID | None] = reference(
        "community.profiles.id", ondelete="RESTRICT", index=False
    )
    kind: Mapped[str]
    currency: Mapped[str] = mapped_column(server_default="USD")


class JournalRow(Keyed, Base):
    """One business event. Its reference is unique, so that nothing is booked twice."""

    __tablename__ = "journal"
    __table_args__ = (
        one_of("kind", "sale", "refund", "payout", "adjustment"),
        CheckConstraint("(kind IN ('sale', 'refund')) = (order_id IS NOT NULL)", name="order_id"),
        {"schema": "community"},
    )

    kind: Mapped[str]
    business_reference: Mapped[str] = mapped_column("reference", unique=True)
    order_id: Mapped[uuid.UUID | None] = reference("community.orders.id", ondelete="RESTRICT")
    description: Mapped[str | None]
    booked_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class LedgerEntry(Base):
    """Money that an event adds to an account or takes from it; those of an event add up to zero."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "currency"],
            ["community.accounts.id", "community.accounts.currency"],
            ondelete="RESTRICT",
        ),
        Index(None, "account_id", "currency"),
        currency_code(),
        CheckConstraint("amount <> 0 AND amount <> 'NaN'", name="amount"),
        {"schema": "community"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    journal_id: Mapped[uuid.UUID] = reference("community.journal.id", ondelete="RESTRICT")
    account_id: Mapped[uuid.UUID]
    currency: Mapped[str] = mapped_column(server_default="USD")
    amount: Mapped[Decimal] = mapped_column(MONEY)


class Payout(Keyed, Timestamped, Base):
    """Earnings on their way to a person: requested, approved, paid. Never more than there is."""

    __tablename__ = "payouts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "profile_id", "currency"],
            ["community.accounts.id", "community.accounts.profile_id", "community.accounts.currency"],
            ondelete="RESTRICT",
        ),
        Index(None, "account_id", "profile_id", "currency"),
        one_of("status", "requested", "approved", "paid", "failed", "cancelled"),
        currency_code(),
        CheckConstraint("amount > 0 AND amount <> 'NaN'", name="amount"),
        CheckConstraint("(status = 'paid') = (journal_id IS NOT NULL)", name="journal_id"),
        CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid_at"),
        {"schema": "community"},
    )

    account_id: Mapped[uuid.UUID]
    profile_id: Mapped[uuid.UUID]
    currency: Mapped[str] = mapped_column(server_default="USD")
    amount: Mapped[Decimal] = mapped_column(MONEY)
    status: Mapped[str] = mapped_column(server_default="requested")
    approved_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    paid_at: Mapped[dt.datetime | None]
    journal_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("community.journal.id", ondelete="RESTRICT"), unique=True
    )
    transaction_id: Mapped[uuid.UUID | None] = reference("financial.transactions.id", ondelete="SET NULL")
