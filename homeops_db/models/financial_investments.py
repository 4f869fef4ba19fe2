"""Schema financial, what is invested: securities and crypto assets, and what they are worth."""

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    MONEY,
    NOW,
    PRICE,
    Base,
    Keyed,
    Timestamped,
    currency_code,
    one_of,
    reference,
)

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
        CheckConstraint("cost_basis >= 0 AND cost_basis <> 'NaN'", name="cost_basis"),
        {"schema": "financial"},
    )

    wallet_id: Mapped[uuid.UUID]
    asset_id: Mapped[uuid.UUID]
    network: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(CRYPTO)
    currency: Mapped[str] = mapped_column(server_default="USD")
    cost_basis: Mapped[Decimal | None] = mapped_column(MONEY)


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
