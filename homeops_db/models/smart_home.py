"""Schema smart_home: rooms, devices and what they report, automations and scenes."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Index,
    Numeric,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import (
    NOW,
    Base,
    Keyed,
    Timestamped,
    one_of,
    reference,
)


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
