"""Schema smart_home, what is used up: meters and their readings, tariffs, days added up."""

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Numeric,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import DATERANGE, INT4RANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    NOW,
    PRICE,
    Base,
    Keyed,
    Timestamped,
    currency_code,
    one_of,
    reference,
)

ENERGY = Numeric(15, 3)
POWER = Numeric(9, 1)


def never_overlaps(table: str, thing: str, *ranges: str, where: str | None = None) -> ExcludeConstraint:
    """Let the ranges of one thing never overlap; the thing is a range of itself alone."""
    return ExcludeConstraint(
        (literal_column(f"smart_home.uuid_range({thing}, {thing}, '[]')"), "&&"),
        *((column, "&&") for column in ranges),
        name=f"ex_{table}_{'_'.join((thing, *ranges))}",
        where=text(where) if where else None,
    )


def within_a_day() -> CheckConstraint:
    """Minutes of the day: from 0 to 1440, which is midnight."""
    return CheckConstraint("minutes <@ int4range(0, 1440) AND NOT isempty(minutes)", name="minutes")


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
        never_overlaps("energy_tariff_periods", "tariff_id", "valid", "minutes"),
        CheckConstraint("NOT isempty(valid)", name="valid"),
        within_a_day(),
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
