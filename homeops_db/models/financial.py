"""Schema financial: where the money is, where it goes, and what is invested."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, currency_code, one_of, reference

MONEY = Numeric(15, 2)
PRICE = Numeric(18, 6)
QUANTITY = Numeric(20, 8)
# Ether is counted in units of 10^-18, and so are most tokens; a token's price may be as small.
CRYPTO = Numeric(38, 18)
RATE = Numeric(38, 8)


def not_negative(column: str) -> CheckConstraint:
    """Refuse what is below zero, and NaN, which PostgreSQL sorts above every number."""
    return CheckConstraint(f"{column} >= 0 AND {column} <> 'NaN'", name=column)


def network_name() -> CheckConstraint:
    """Require one spelling of a network's name in the column ``network``: ``bitcoin``, ``polygon-pos``."""
    return CheckConstraint("network ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$'", name="network")


def address(column: str) -> CheckConstraint:
    """Require an address: no white space, so no seed phrase, and no extended private key.

    Where it begins with 0x, its case is a checksum at best; in small letters it is unique.
    """
    return CheckConstraint(
        f"{column} ~ '^[!-~]+$' AND {column} !~ '^[a-z]prv'"
        f" AND ({column} !~* '^0x' OR {column} = lower({column}))",
        name=column,
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


class Security(Keyed, Timestamped, Base):
    """Something that can be held in a brokerage account."""

    __tablename__ = "securities"
    __table_args__ = (
        UniqueConstraint("symbol", "exchange"),
        one_of("type", "stock", "etf", "mutual_fund", "bond", "cash", "other"),
        currency_code(),
        CheckConstraint("isin ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9]$'", name="isin"),
        {"schema": "financial"},
    )

    symbol: Mapped[str]
    exchange: Mapped[str] = mapped_column(server_default="")
    name: Mapped[str]
    type: Mapped[str]
    currency: Mapped[str] = mapped_column(server_default="USD")
    isin: Mapped[str | None] = mapped_column(unique=True)


class SecurityPrice(Base):
    """The closing price of a security on one day, and how many of it were traded."""

    __tablename__ = "security_prices"
    __table_args__ = (
        CheckConstraint("close >= 0", name="close"),
        CheckConstraint("volume >= 0", name="volume"),
        {"schema": "financial"},
    )

    security_id: Mapped[uuid.UUID] = reference(
        "financial.securities.id", ondelete="CASCADE", index=False, primary_key=True
    )
    priced_on: Mapped[dt.date] = mapped_column(primary_key=True)
    close: Mapped[Decimal] = mapped_column(PRICE)
    source: Mapped[str | None]
    volume: Mapped[int | None] = mapped_column(BigInteger)


class Holding(Keyed, Timestamped, Base):
    """How much of a security an account holds."""

    __tablename__ = "holdings"
    __table_args__ = (UniqueConstraint("account_id", "security_id"), {"schema": "financial"})

    account_id: Mapped[uuid.UUID] = reference("financial.accounts.id", ondelete="CASCADE", index=False)
    security_id: Mapped[uuid.UUID] = reference("financial.securities.id", ondelete="RESTRICT")
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    cost_basis: Mapped[Decimal | None] = mapped_column(MONEY)


class CryptoAsset(Keyed, Timestamped, Base):
    """A coin or token on one network.

    Symbols are anybody's to choose; what tells a token is its contract. A network has one coin without.
    """

    __tablename__ = "crypto_assets"
    __table_args__ = (
        UniqueConstraint("network", "contract_address", postgresql_nulls_not_distinct=True),
        # For the foreign key of positions.
        UniqueConstraint("id", "network"),
        network_name(),
        address("contract_address"),
        CheckConstraint("decimals BETWEEN 0 AND 36", name="decimals"),
        Index(None, "symbol"),
        {"schema": "financial"},
    )

    symbol: Mapped[str]
    name: Mapped[str]
    network: Mapped[str]
    contract_address: Mapped[str | None]
    decimals: Mapped[int] = mapped_column(SmallInteger)


class CryptoPrice(Base):
    """What a coin or token cost in one currency at one moment, and what was traded in the 24 hours before."""

    __tablename__ = "crypto_prices"
    __table_args__ = (
        currency_code(),
        not_negative("price"),
        not_negative("volume"),
        {"schema": "financial"},
    )

    asset_id: Mapped[uuid.UUID] = reference(
        "financial.crypto_assets.id", ondelete="CASCADE", index=False, primary_key=True
    )
    currency: Mapped[str] = mapped_column(primary_key=True)
    priced_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW)
    price: Mapped[Decimal] = mapped_column(CRYPTO)
    volume: Mapped[Decimal | None] = mapped_column(RATE)
    source: Mapped[str | None]


class CryptoWallet(Keyed, Timestamped, Base):
    """Where an account's coins lie on one network, and who can spend them. No key is kept."""

    __tablename__ = "crypto_wallets"
    __table_args__ = (
        # One wallet without an address an account and network: a second would count the same coins again.
        UniqueConstraint("account_id", "network", "address", postgresql_nulls_not_distinct=True),
        UniqueConstraint("id", "network"),
        network_name(),
        address("address"),
        one_of("custody", "self", "exchange", "custodian"),
        # Without an address nobody could look up what one holds oneself.
        CheckConstraint("address IS NOT NULL OR custody <> 'self'", name="own_address"),
        {"schema": "financial"},
    )

    account_id: Mapped[uuid.UUID] = reference("financial.accounts.id", ondelete="CASCADE", index=False)
    name: Mapped[str]
    network: Mapped[str]
    address: Mapped[str | None]
    custody: Mapped[str] = mapped_column(server_default="self")


class CryptoPosition(Keyed, Timestamped, Base):
    """How much of a coin or token lies in a wallet of its network, and what was paid in which currency."""

    __tablename__ = "crypto_positions"
    __table_args__ = (
        UniqueConstraint("wallet_id", "network", "asset_id"),
        ForeignKeyConstraint(
            ["wallet_id", "network"],
            ["financial.crypto_wallets.id", "financial.crypto_wallets.network"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["asset_id", "network"],
            ["financial.crypto_assets.id", "financial.crypto_assets.network"],
            ondelete="RESTRICT",
        ),
        Index(None, "asset_id", "network"),
        currency_code(),
        not_negative("quantity"),
        CheckConstraint("cost_basis >= 0", name="cost_basis"),
        {"schema": "financial"},
    )

    wallet_id: Mapped[uuid.UUID]
    asset_id: Mapped[uuid.UUID]
    network: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(CRYPTO)
    currency: Mapped[str] = mapped_column(server_default="USD")
    cost_basis: Mapped[Decimal | None] = mapped_column(MONEY)


class TradingAlert(Keyed, Timestamped, Base):
    """When a person wants to hear of a security or a coin.

    A coin is quoted in the alert's currency, a security in its own. The threshold is a price, a change in
    per cent over the last ``period_days``, or a volume.
    """

    __tablename__ = "trading_alerts"
    __table_args__ = (
        # The same question twice would ring twice.
        Index(
            "uq_trading_alerts_question",
            *(
                "user_id",
                "security_id",
                "crypto_asset_id",
                "currency",
                "condition",
                "threshold",
                "period_days",
            ),
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("is_active"),
        ),
        one_of("condition", "price_above", "price_below", "percent_rise", "percent_fall", "volume_above"),
        currency_code(),
        CheckConstraint("num_nonnulls(security_id, crypto_asset_id) = 1", name="subject"),
        CheckConstraint("(crypto_asset_id IS NULL) = (currency IS NULL)", name="quoted_in"),
        CheckConstraint("threshold > 0 AND threshold <> 'NaN'", name="threshold"),
        # Nothing falls by more than all of it.
        CheckConstraint("condition <> 'percent_fall' OR threshold <= 100", name="fall"),
        CheckConstraint(
            "(condition IN ('percent_rise', 'percent_fall')) = (period_days IS NOT NULL)", name="period"
        ),
        CheckConstraint("period_days BETWEEN 1 AND 366", name="period_days"),
        CheckConstraint("cooldown_minutes >= 0", name="cooldown_minutes"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        {"schema": "financial"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    security_id: Mapped[uuid.UUID | None] = reference("financial.securities.id", ondelete="CASCADE")
    crypto_asset_id: Mapped[uuid.UUID | None] = reference("financial.crypto_assets.id", ondelete="CASCADE")
    currency: Mapped[str | None]
    condition: Mapped[str]
    threshold: Mapped[Decimal] = mapped_column(CRYPTO)
    period_days: Mapped[int | None] = mapped_column(SmallInteger)
    note: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    cooldown_minutes: Mapped[int] = mapped_column(Integer, server_default=text("1440"))
    expires_at: Mapped[dt.datetime | None]
    last_fired_at: Mapped[dt.datetime | None]


class TradingAlertEvent(Base):
    """One firing of an alert: the price at that moment, and the number that met its condition."""

    __tablename__ = "trading_alert_events"
    __table_args__ = (
        not_negative("price"),
        CheckConstraint("acknowledged_at >= fired_at", name="acknowledged_at"),
        {"schema": "financial"},
    )

    alert_id: Mapped[uuid.UUID] = reference(
        "financial.trading_alerts.id", ondelete="CASCADE", index=False, primary_key=True
    )
    fired_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW)
    price: Mapped[Decimal] = mapped_column(CRYPTO)
    observed: Mapped[Decimal] = mapped_column(CRYPTO)
    notification_id: Mapped[uuid.UUID | None] = reference("core.notifications.id", ondelete="SET NULL")
    acknowledged_at: Mapped[dt.datetime | None]


class PortfolioPerformance(Base):
    """What an account's investments in one currency were worth at one moment.

    ``cash_flow`` is what was paid in (positive) or taken out since the measurement before: it is no gain.
    ``unpriced`` positions are not in the value.
    """

    __tablename__ = "portfolio_performance"
    __table_args__ = (
        currency_code(),
        CheckConstraint("unpriced >= 0", name="unpriced"),
        {"schema": "financial"},
    )

    account_id: Mapped[uuid.UUID] = reference(
        "financial.accounts.id", ondelete="CASCADE", index=False, primary_key=True
    )
    currency: Mapped[str] = mapped_column(primary_key=True)
    measured_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW)
    market_value: Mapped[Decimal] = mapped_column(MONEY)
    cost_basis: Mapped[Decimal | None] = mapped_column(MONEY)
    cash_flow: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    unpriced: Mapped[int] = mapped_column(Integer, server_default=text("0"))
