"""Schema financial, what is watched: alerts on prices, and when they rang."""

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    NOW,
    Base,
    Keyed,
    Timestamped,
    currency_code,
    one_of,
    reference,
)
from homeops_db.models.financial_investments import CRYPTO, not_negative


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
