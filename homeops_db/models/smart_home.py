"""Schema smart_home: rooms, devices, what they report and use up, automations, scenes, maintenance."""

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
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import DATERANGE, INT4RANGE, TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, currency_code, one_of, reference

MONEY = Numeric(15, 2)
PRICE = Numeric(18, 6)
ENERGY = Numeric(15, 3)
POWER = Numeric(9, 1)
HOURS = Numeric(9, 1)
SHARE = Numeric(4, 3)


class Room(Keyed, Timestamped, Base):
    """A room of the house, or a place outside."""

    __tablename__ = "rooms"
    __table_args__ = (
        one_of(
            "type",
            *("living_room", "dining_room", "kitchen", "bedroom", "bathroom", "office", "hallway"),
            *("laundry", "garage", "basement", "attic", "storage", "utility", "outdoor", "other"),
        ),
        CheckConstraint("floor BETWEEN -10 AND 200", name="floor"),
        CheckConstraint("area_m2 > 0", name="area_m2"),
        {"schema": "smart_home"},
    )

    name: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    floor: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    area_m2: Mapped[Decimal | None] = mapped_column(Numeric(7, 2))


class Device(Keyed, Timestamped, Base):
    """A thing that reports or obeys."""

    __tablename__ = "devices"
    __table_args__ = (
        one_of(
            "type",
            *("light", "switch", "outlet", "sensor", "thermostat", "lock", "camera"),
            *("cover", "media_player", "appliance", "hub", "other"),
        ),
        one_of("protocol", "zigbee", "zwave", "thread", "matter", "bluetooth", "wifi", "ethernet", "virtual"),
        {"schema": "smart_home"},
    )

    room_id: Mapped[uuid.UUID | None] = reference("smart_home.rooms.id", ondelete="SET NULL")
    name: Mapped[str]
    type: Mapped[str]
    protocol: Mapped[str] = mapped_column(server_default="wifi")
    manufacturer: Mapped[str | None]
    model: Mapped[str | None]
    serial_number: Mapped[str | None] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    credentials: Mapped[dict[str, Any] | None]
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))


class DeviceState(Base):
    """What a device reported at one moment. A hypertable where TimescaleDB is installed."""

    __tablename__ = "device_states"
    __table_args__ = (
        CheckConstraint("battery_percent BETWEEN 0 AND 100", name="battery_percent"),
        {"schema": "smart_home"},
    )

    device_id: Mapped[uuid.UUID] = reference(
        "smart_home.devices.id", ondelete="CASCADE", index=False, primary_key=True
    )
    recorded_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW)
    state: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    reading: Mapped[float | None]
    battery_percent: Mapped[int | None] = mapped_column(SmallInteger)


class Automation(Keyed, Timestamped, Base):
    """What the house does by itself, and when."""

    __tablename__ = "automations"
    __table_args__ = (one_of("mode", "single", "restart", "queued", "parallel"), {"schema": "smart_home"})

    created_by: Mapped[uuid.UUID | None] = reference("core.users.id", ondelete="SET NULL")
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    mode: Mapped[str] = mapped_column(server_default="single")
    triggers: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    conditions: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    actions: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))


class AutomationRun(Keyed, Base):
    """One run of an automation."""

    __tablename__ = "automation_runs"
    __table_args__ = (
        Index("ix_automation_runs_automation_id_started_at", "automation_id", text("started_at DESC")),
        one_of("status", "running", "succeeded", "failed", "cancelled"),
        CheckConstraint("ended_at >= started_at", name="ended_at"),
        {"schema": "smart_home"},
    )

    automation_id: Mapped[uuid.UUID] = reference("smart_home.automations.id", ondelete="CASCADE", index=False)
    status: Mapped[str] = mapped_column(server_default="running")
    started_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[dt.datetime | None]
    error: Mapped[str | None]


class Scene(Keyed, Timestamped, Base):
    """States of several devices that belong together."""

    __tablename__ = "scenes"
    __table_args__ = ({"schema": "smart_home"},)

    room_id: Mapped[uuid.UUID | None] = reference("smart_home.rooms.id", ondelete="SET NULL")
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]


class SceneAction(Base):
    """The state that a scene gives to one device."""

    __tablename__ = "scene_actions"
    __table_args__ = (CheckConstraint("transition_ms >= 0", name="transition_ms"), {"schema": "smart_home"})

    scene_id: Mapped[uuid.UUID] = reference(
        "smart_home.scenes.id", ondelete="CASCADE", index=False, primary_key=True
    )
    device_id: Mapped[uuid.UUID] = reference("smart_home.devices.id", ondelete="CASCADE", primary_key=True)
    state: Mapped[dict[str, Any]]
    transition_ms: Mapped[int] = mapped_column(server_default=text("0"))


def _never_overlaps(table: str, thing: str, *ranges: str, where: str | None = None) -> ExcludeConstraint:
    """Let the ranges of one thing never overlap; the thing is a range of itself alone."""
    return ExcludeConstraint(
        (literal_column(f"smart_home.uuid_range({thing}, {thing}, '[]')"), "&&"),
        *((column, "&&") for column in ranges),
        name=f"ex_{table}_{'_'.join((thing, *ranges))}",
        where=text(where) if where else None,
    )


def _within_a_day() -> CheckConstraint:
    """Minutes of the day: from 0 to 1440, which is midnight."""
    return CheckConstraint("minutes <@ int4range(0, 1440) AND NOT isempty(minutes)", name="minutes")


def _plan_of_the_device() -> ForeignKeyConstraint:
    """Refer to a plan of the same device; without the plan, the device stays."""
    return ForeignKeyConstraint(
        ["plan_id", "device_id"],
        ["smart_home.maintenance_plans.id", "smart_home.maintenance_plans.device_id"],
        ondelete="SET NULL (plan_id)",
    )


class EnergyTariff(Keyed, Timestamped, Base):
    """What energy costs, or earns where it is fed in."""

    __tablename__ = "energy_tariffs"
    __table_args__ = (currency_code(), {"schema": "smart_home"})

    name: Mapped[str] = mapped_column(unique=True)
    currency: Mapped[str] = mapped_column(server_default="USD")


class EnergyTariffPeriod(Keyed, Timestamped, Base):
    """The price of one tariff on some days, at some time of the day. It may be negative."""

    __tablename__ = "energy_tariff_periods"
    __table_args__ = (
        _never_overlaps("energy_tariff_periods", "tariff_id", "valid", "minutes"),
        CheckConstraint("NOT isempty(valid)", name="valid"),
        _within_a_day(),
        CheckConstraint("price_per_kwh <> 'NaN'", name="price_per_kwh"),
        {"schema": "smart_home"},
    )

    tariff_id: Mapped[uuid.UUID] = reference("smart_home.energy_tariffs.id", ondelete="CASCADE")
    valid: Mapped[Range[dt.date]] = mapped_column(DATERANGE)
    minutes: Mapped[Range[int]] = mapped_column(INT4RANGE, server_default=text("'[0,1440)'"))
    price_per_kwh: Mapped[Decimal] = mapped_column(PRICE)


class EnergyMeter(Keyed, Timestamped, Base):
    """What is metered: a device, a room or the whole house.

    A meter in W has no counter: its energy is worked out from its power. One in Wh or kWh counts.
    """

    __tablename__ = "energy_meters"
    __table_args__ = (
        # A device with several circuits has a channel for each; none is counted twice.
        UniqueConstraint("device_id", "direction", "channel"),
        one_of("scope", "device", "room", "house"),
        one_of("direction", "import", "export", "consumption"),
        one_of("unit", "W", "Wh", "kWh"),
        CheckConstraint("(scope = 'device') = (device_id IS NOT NULL)", name="device_id"),
        CheckConstraint("(scope = 'room') = (room_id IS NOT NULL)", name="room_id"),
        CheckConstraint("direction <> 'import' OR scope = 'house'", name="import"),
        {"schema": "smart_home"},
    )

    name: Mapped[str] = mapped_column(unique=True)
    scope: Mapped[str]
    device_id: Mapped[uuid.UUID | None] = reference("smart_home.devices.id", ondelete="CASCADE", index=False)
    room_id: Mapped[uuid.UUID | None] = reference("smart_home.rooms.id", ondelete="CASCADE")
    tariff_id: Mapped[uuid.UUID | None] = reference("smart_home.energy_tariffs.id", ondelete="RESTRICT")
    direction: Mapped[str] = mapped_column(server_default="consumption")
    channel: Mapped[str] = mapped_column(server_default="")
    unit: Mapped[str] = mapped_column(server_default="kWh")


class EnergyReading(Base):
    """What a meter showed at one moment. A hypertable where TimescaleDB is installed.

    The counter is kept in Wh, whatever the meter shows; it may begin again at zero.
    """

    __tablename__ = "energy_readings"
    __table_args__ = (
        CheckConstraint("isfinite(recorded_at)", name="recorded_at"),
        CheckConstraint("power_w BETWEEN -1000000 AND 1000000", name="power_w"),
        CheckConstraint("energy_wh BETWEEN 0 AND 100000000000", name="energy_wh"),
        CheckConstraint("num_nonnulls(power_w, energy_wh) > 0", name="any"),
        {"schema": "smart_home"},
    )

    meter_id: Mapped[uuid.UUID] = reference(
        "smart_home.energy_meters.id", ondelete="CASCADE", index=False, primary_key=True
    )
    recorded_at: Mapped[dt.datetime] = mapped_column(primary_key=True, server_default=NOW)
    power_w: Mapped[Decimal | None] = mapped_column(POWER)
    energy_wh: Mapped[Decimal | None] = mapped_column(ENERGY)


class EnergyDay(Base):
    """The energy of one meter on one day of the house's time zone, by smart_home.roll_up_energy.

    A sealed day may have lost its readings and is never worked out again; its closing value stands for
    them. The cost of a lamp's day is less than a cent, so it is kept with the digits of a price.
    """

    __tablename__ = "energy_daily"
    __table_args__ = (
        CheckConstraint("energy_wh >= 0", name="energy_wh"),
        currency_code(),
        CheckConstraint("(cost IS NULL) = (currency IS NULL)", name="cost"),
        CheckConstraint("readings >= 0", name="readings"),
        CheckConstraint("resets >= 0", name="resets"),
        CheckConstraint("(closing_at IS NULL) = (closing_value IS NULL)", name="closing_value"),
        {"schema": "smart_home"},
    )

    meter_id: Mapped[uuid.UUID] = reference(
        "smart_home.energy_meters.id", ondelete="CASCADE", index=False, primary_key=True
    )
    day: Mapped[dt.date] = mapped_column(primary_key=True, index=True)
    room_id: Mapped[uuid.UUID | None] = reference("smart_home.rooms.id", ondelete="SET NULL")
    energy_wh: Mapped[Decimal] = mapped_column(ENERGY)
    peak_power_w: Mapped[Decimal | None] = mapped_column(POWER)
    cost: Mapped[Decimal | None] = mapped_column(PRICE)
    currency: Mapped[str | None]
    readings: Mapped[int]
    resets: Mapped[int] = mapped_column(server_default=text("0"))
    closing_at: Mapped[dt.datetime | None]
    closing_value: Mapped[Decimal | None] = mapped_column(ENERGY)
    is_sealed: Mapped[bool] = mapped_column(server_default=text("false"))
    rolled_up_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class UsagePattern(Keyed, Timestamped, Base):
    """How likely a device is used in a window of a weekday (1 is Monday), as learnt from its past."""

    __tablename__ = "usage_patterns"
    __table_args__ = (
        UniqueConstraint("device_id", "weekday", "minutes"),
        CheckConstraint("weekday BETWEEN 1 AND 7", name="weekday"),
        _within_a_day(),
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
        _never_overlaps("maintenance_bookings", "device_id", "during", where="state <> 'cancelled'"),
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
        CheckConstraint("cost >= 0", name="cost"),
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
