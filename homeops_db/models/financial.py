"""Schema financial: where the money is, and where it goes."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    MONEY,
    Base,
    Keyed,
    Timestamped,
    currency_code,
    one_of,
    reference,
)


class Institution(Keyed, Timestamped, Base):
    """A bank, a broker, or a service that speaks for them."""

    __tablename__ = "institutions"
    __table_args__ = (
        UniqueConstraint("name", "type"),
        one_of(
            "type",
            "bank",
            "broker",
            "aggregator",
            "credit_union",
            "card_issuer",
            "lender",
            "insurer",
            "other",
        ),
        {"schema": "financial"},
    )

    name: Mapped[str]
    type: Mapped[str]
    website: Mapped[str | None]
    api_config: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class Account(Keyed, Timestamped, Base):
    """An account of one person, shared with a household where it names one."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("institution_id", "external_id"),
        one_of(
            "account_type",
            *("checking", "savings", "credit_card", "cash"),
            *("brokerage", "retirement", "loan", "mortgage", "other"),
        ),
        currency_code(),
        CheckConstraint("closed_on >= opened_on", name="closed_on"),
        Index("ix_accounts_user_id_account_type", "user_id", "account_type"),
        {"schema": "financial"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="RESTRICT", index=False)
    household_id: Mapped[uuid.UUID | None] = reference("core.households.id", ondelete="SET NULL")
    institution_id: Mapped[uuid.UUID | None] = reference(
        "financial.institutions.id", ondelete="RESTRICT", index=False
    )
    name: Mapped[str]
    account_type: Mapped[str]
    currency: Mapped[str] = mapped_column(server_default="USD")
    opening_balance: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    external_id: Mapped[str | None]
    opened_on: Mapped[dt.date | None]
    closed_on: Mapped[dt.date | None]


class Category(Keyed, Timestamped, Base):
    """What money is earned by or spent on; categories form a tree."""

    __tablename__ = "categories"
    __table_args__ = (
        # Two roots of one name would be as wrong as two siblings.
        UniqueConstraint("parent_id", "name", postgresql_nulls_not_distinct=True),
        one_of("kind", "income", "expense", "transfer"),
        CheckConstraint("parent_id <> id", name="parent_id"),
        {"schema": "financial"},
    )

    parent_id: Mapped[uuid.UUID | None] = reference(
        "financial.categories.id", ondelete="RESTRICT", index=False
    )
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="expense")


class RecurringTransaction(Keyed, Timestamped, Base):
    """A payment or income that comes again."""

    __tablename__ = "recurring_transactions"
    __table_args__ = (
        one_of("frequency", "daily", "weekly", "monthly", "quarterly", "yearly"),
        CheckConstraint("ends_on >= starts_on", name="ends_on"),
        {"schema": "financial"},
    )

    account_id: Mapped[uuid.UUID] = reference("financial.accounts.id", ondelete="CASCADE")
    category_id: Mapped[uuid.UUID | None] = reference("financial.categories.id", ondelete="SET NULL")
    description: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(MONEY)
    frequency: Mapped[str]
    starts_on: Mapped[dt.date]
    ends_on: Mapped[dt.date | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))


class Transaction(Keyed, Timestamped, Base):
    """Money in (positive) or out (negative) of an account; a transfer names the other account too.

    The currency is the account's where none is given: the trigger fill_currency sees to it.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        Index("ix_transactions_account_id_transaction_date", "account_id", text("transaction_date DESC")),
        UniqueConstraint("account_id", "external_id"),
        one_of("status", "pending", "posted", "void"),
        currency_code(),
        CheckConstraint("counter_account_id <> account_id", name="counter_account_id"),
        {"schema": "financial"},
    )

    account_id: Mapped[uuid.UUID] = reference("financial.accounts.id", ondelete="RESTRICT", index=False)
    category_id: Mapped[uuid.UUID | None] = reference("financial.categories.id", ondelete="SET NULL")
    recurring_transaction_id: Mapped[uuid.UUID | None] = reference(
        "financial.recurring_transactions.id", ondelete="SET NULL"
    )
    transaction_date: Mapped[dt.date]
    amount: Mapped[Decimal] = mapped_column(MONEY)
    currency: Mapped[str]
    counter_account_id: Mapped[uuid.UUID | None] = reference("financial.accounts.id", ondelete="SET NULL")
    description: Mapped[str | None]
    merchant_name: Mapped[str | None]
    merchant_category: Mapped[str | None] = mapped_column(String(100), index=True)
    status: Mapped[str] = mapped_column(server_default="posted")
    external_id: Mapped[str | None]


class Budget(Keyed, Timestamped, Base):
    """A limit for spending on one category."""

    __tablename__ = "budgets"
    __table_args__ = (
        one_of("period", "weekly", "monthly", "quarterly", "yearly"),
        currency_code(),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("alert_percent BETWEEN 1 AND 100", name="alert_percent"),
        CheckConstraint("ends_on >= starts_on", name="ends_on"),
        {"schema": "financial"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    household_id: Mapped[uuid.UUID | None] = reference("core.households.id", ondelete="SET NULL")
    category_id: Mapped[uuid.UUID] = reference("financial.categories.id", ondelete="RESTRICT")
    name: Mapped[str]
    period: Mapped[str] = mapped_column(server_default="monthly")
    amount: Mapped[Decimal] = mapped_column(MONEY)
    currency: Mapped[str] = mapped_column(server_default="USD")
    alert_percent: Mapped[int] = mapped_column(SmallInteger, server_default=text("80"))
    starts_on: Mapped[dt.date]
    ends_on: Mapped[dt.date | None]
