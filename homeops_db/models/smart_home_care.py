"""Schema smart_home, what is learnt of the house, and what its devices need."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, TSTZRANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    MONEY,
    NOW,
    Base,
    Keyed,
    Timestamped,
    currency_code,
    one_of,
    reference,
)
from homeops_db.models.smart_home_energy import never_overlaps, within_a_day

HOURS = Numeric(9, 1)
SHARE = Numeric(4, 3)


def _plan_of_the_device() -> ForeignKeyConstraint:
    """Refer to a plan of the same device; without the plan, the device stays."""
    return ForeignKeyConstraint(
        ["plan_id", "device_id"],
        ["smart_home.maintenance_plans.id", "smart_home.maintenance_plans.device_id"],
        ondelete="SET NULL (plan_id)",
    )


class UsagePattern(Keyed, Timestamped, Base):
    """How likely a device is used in a window of a weekday (1 is Monday), as learnt from its past."""

    __tablename__ = "usage_patterns"
    __table_args__ = (
        UniqueConstraint("device_id", "weekday", "minutes"),
        CheckConstraint("weekday BETWEEN 1 AND 7", name="weekday"),
        within_a_day(),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        CheckConstraint("observations > 0", name="observations"),
        {"schema": "smart_home"},
    )

    device_id: Mapped[uuid.UUID] = reference("smart_home.devices.id", ondelete="CASCADE", index=False)
    weekday: Mapped[int] = mapped_column(SmallInteger)
    minutes: Mapped[Range[int]] = mapped_column(INT4RANGE)
    probability: Mapped[Decimal] = mapped_column(SHARE)
    observations: Mapped[int]


class AutomationSuggestion(Keyed, Timestamped, Base):
    """An automation that the house proposes, and what was decided."""

    __tablename__ = "automation_suggestions"
    __table_args__ = (
        # Nobody is asked twice at once about the same habit.
        Index(
            "uq_automation_suggestions_proposed",
            "usage_pattern_id",
            unique=True,
            postgresql_where=text("state = 'proposed'"),
        ),
        one_of("state", "proposed", "accepted", "rejected", "expired"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("jsonb_typeof(pattern) = 'object'", name="pattern"),
        CheckConstraint("(decided_by IS NULL) = (decided_at IS NULL)", name="decided_by"),
        CheckConstraint("(state IN ('accepted', 'rejected')) = (decided_at IS NOT NULL)", name="decided_at"),
        CheckConstraint("automation_id IS NULL OR state = 'accepted'", name="automation_id"),
        {"schema": "smart_home"},
    )

    usage_pattern_id: Mapped[uuid.UUID | None] = reference(
        "smart_home.usage_patterns.id", ondelete="SET NULL"
    )
    title: Mapped[str]
    pattern: Mapped[dict[str, Any]]
    confidence: Mapped[Decimal] = mapped_column(SHARE)
    state: Mapped[str] = mapped_column(server_default="proposed")
    expires_at: Mapped[dt.datetime | None]
    decided_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="RESTRICT")
    decided_at: Mapped[dt.datetime | None]
    automation_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("smart_home.automations.id", ondelete="SET NULL"), unique=True
    )


class AutomationFeedback(Keyed, Base):
    """What a user thought of one run: whether it helped, and whether they undid it."""

    __tablename__ = "automation_feedback"
    __table_args__ = (
        UniqueConstraint("run_id", "user_id"),
        CheckConstraint("is_helpful IS NOT NULL OR was_undone", name="is_helpful"),
        {"schema": "smart_home"},
    )

    run_id: Mapped[uuid.UUID] = reference("smart_home.automation_runs.id", ondelete="CASCADE", index=False)
    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    is_helpful: Mapped[bool | None]
    was_undone: Mapped[bool] = mapped_column(server_default=text("false"))
    comment: Mapped[str | None]
    given_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class MaintenancePlan(Keyed, Timestamped, Base):
    """What a device needs every so many days or hours of use, whichever comes first.

    The application keeps used_hours, counted since the plan began.
    """

    __tablename__ = "maintenance_plans"
    __table_args__ = (
        UniqueConstraint("device_id", "name"),
        # For the foreign keys that ask for a plan of the same device.
        UniqueConstraint("id", "device_id"),
        CheckConstraint("num_nonnulls(every_days, every_hours) > 0", name="every"),
        CheckConstraint("every_days BETWEEN 1 AND 36500", name="every_days"),
        CheckConstraint("every_hours > 0", name="every_hours"),
        CheckConstraint("used_hours >= 0", name="used_hours"),
        {"schema": "smart_home"},
    )

    device_id: Mapped[uuid.UUID] = reference("smart_home.devices.id", ondelete="CASCADE", index=False)
    name: Mapped[str]
    instructions: Mapped[str | None]
    every_days: Mapped[int | None]
    every_hours: Mapped[Decimal | None] = mapped_column(HOURS)
    starts_on: Mapped[dt.date] = mapped_column(server_default=text("CURRENT_DATE"))
    used_hours: Mapped[Decimal] = mapped_column(HOURS, server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))


class MaintenanceBooking(Keyed, Timestamped, Base):
    """When somebody looks after a device."""

    __tablename__ = "maintenance_bookings"
    __table_args__ = (
        never_overlaps("maintenance_bookings", "device_id", "during", where="state <> 'cancelled'"),
        _plan_of_the_device(),
        Index("ix_maintenance_bookings_plan_id_device_id", "plan_id", "device_id"),
        one_of("state", "booked", "done", "cancelled"),
        CheckConstraint(
            "NOT isempty(during) AND isfinite(lower(during)) AND isfinite(upper(during))"
            " AND lower(during) IS NOT NULL AND upper(during) IS NOT NULL",
            name="during",
        ),
        {"schema": "smart_home"},
    )

    device_id: Mapped[uuid.UUID] = reference("smart_home.devices.id", ondelete="CASCADE")
    plan_id: Mapped[uuid.UUID | None]
    booked_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    during: Mapped[Range[dt.datetime]] = mapped_column(TSTZRANGE)
    state: Mapped[str] = mapped_column(server_default="booked")
    provider: Mapped[str | None]
    notes: Mapped[str | None]


class MaintenanceRecord(Keyed, Timestamped, Base):
    """What was done to a device, and what it cost."""

    __tablename__ = "maintenance_records"
    __table_args__ = (
        _plan_of_the_device(),
        Index("ix_maintenance_records_plan_id_device_id", "plan_id", "device_id"),
        Index("ix_maintenance_records_device_id_done_on", "device_id", text("done_on DESC")),
        currency_code(),
        CheckConstraint("used_hours >= 0", name="used_hours"),
        CheckConstraint("cost >= 0 AND cost <> 'NaN'", name="cost"),
        CheckConstraint("(cost IS NULL) = (currency IS NULL)", name="cost_currency"),
        CheckConstraint("jsonb_typeof(parts) = 'array'", name="parts"),
        {"schema": "smart_home"},
    )

    device_id: Mapped[uuid.UUID] = reference("smart_home.devices.id", ondelete="CASCADE", index=False)
    plan_id: Mapped[uuid.UUID | None]
    booking_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("smart_home.maintenance_bookings.id", ondelete="SET NULL"), unique=True
    )
    done_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    done_on: Mapped[dt.date]
    work: Mapped[str]
    used_hours: Mapped[Decimal | None] = mapped_column(HOURS)
    cost: Mapped[Decimal | None] = mapped_column(MONEY)
    currency: Mapped[str | None]
    parts: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
