"""Schema core: people, their access, settings, notifications, and the audit trail."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from homeops_db.models.base import NOW, Base, Keyed, Timestamped, currency_code, one_of, reference


class User(Keyed, Timestamped, Base):
    """A person who signs in."""

    __tablename__ = "users"
    __table_args__ = (
        # Addresses that differ only in case reach the same mailbox.
        Index("uq_users_email_lower", text("lower(email)"), unique=True),
        CheckConstraint("position('@' in email) > 1", name="email"),
        one_of("role", "admin", "user", "guest"),
        CheckConstraint("jsonb_typeof(preferences) = 'object'", name="preferences"),
        # The default operator class: preferences are asked for by `?` too, which jsonb_path_ops can't.
        Index(None, "preferences", postgresql_using="gin"),
        {"schema": "core"},
    )

    email: Mapped[str]
    password_hash: Mapped[str]
    full_name: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    preferences: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class Household(Keyed, Timestamped, Base):
    """People who share accounts and budgets."""

    __tablename__ = "households"
    __table_args__ = (currency_code(), {"schema": "core"})

    name: Mapped[str]
    currency: Mapped[str] = mapped_column(server_default="USD")
    timezone: Mapped[str] = mapped_column(server_default="UTC")


class HouseholdMember(Base):
    """One person's place in a household."""

    __tablename__ = "household_members"
    __table_args__ = (one_of("role", "owner", "member", "child"), {"schema": "core"})

    household_id: Mapped[uuid.UUID] = reference(
        "core.households.id", ondelete="CASCADE", index=False, primary_key=True
    )
    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", primary_key=True)
    role: Mapped[str] = mapped_column(server_default="member")
    joined_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)


class Session(Keyed, Base):
    """A signed-in browser or app. Only the hash of its token is kept."""

    __tablename__ = "sessions"
    __table_args__ = (CheckConstraint("expires_at > created_at", name="expires_at"), {"schema": "core"})

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    token_hash: Mapped[str] = mapped_column(unique=True)
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class ApiKey(Keyed, Timestamped, Base):
    """Access for a program. Only the hash of the key is kept; its prefix tells keys apart."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("expires_at > created_at", name="expires_at"), {"schema": "core"})

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE")
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]


class SystemConfig(Timestamped, Base):
    """One setting of the whole system."""

    __tablename__ = "system_config"
    __table_args__ = (CheckConstraint("key ~ '^[a-z0-9_]+([.][a-z0-9_]+)*$'", name="key"), {"schema": "core"})

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    category: Mapped[str] = mapped_column(index=True)
    description: Mapped[str | None]


class Notification(Keyed, Base):
    """A message for one person."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("ix_notifications_user_id_created_at", "user_id", text("created_at DESC")),
        one_of("severity", "info", "warning", "critical"),
        {"schema": "core"},
    )

    user_id: Mapped[uuid.UUID] = reference("core.users.id", ondelete="CASCADE", index=False)
    severity: Mapped[str] = mapped_column(server_default="info")
    title: Mapped[str]
    body: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW)
    read_at: Mapped[dt.datetime | None]


class AuditEntry(Base):
    """One change of an audited row, written by the trigger record_audit."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "table_schema", "table_name", "row_key"),
        one_of("operation", "INSERT", "UPDATE", "DELETE"),
        {"schema": "core"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    table_schema: Mapped[str]
    table_name: Mapped[str]
    row_key: Mapped[str]
    operation: Mapped[str]
    changed_columns: Mapped[list[str] | None]
    old_row: Mapped[dict[str, Any] | None]
    new_row: Mapped[dict[str, Any] | None]
    changed_at: Mapped[dt.datetime] = mapped_column(server_default=NOW, index=True)
    actor: Mapped[str]
    app_user: Mapped[str | None]
