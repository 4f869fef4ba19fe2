"""What all models share: the metadata with its naming convention, the usual columns and checks."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Date,
    DateTime,
    Double,
    ForeignKey,
    MetaData,
    Numeric,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, mapped_column

from homeops_db.naming import CONVENTION

NOW = text("now()")
MONEY = Numeric(15, 2)
PRICE = Numeric(18, 6)


class Base(DeclarativeBase):
    """The root of all models."""

    metadata = MetaData(naming_convention=CONVENTION)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it as a plain attribute)
        str: Text(),
        float: Double(),
        uuid.UUID: Uuid(),
        dt.date: Date(),
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        list[dict[str, Any]]: JSONB(),
        list[str]: ARRAY(Text()),
    }


class Keyed:
    """A random UUID as the primary key."""

    id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, server_default=text("gen_random_uuid()"), sort_order=-1
    )


class Timestamped:
    """When the row was made, and last changed (kept by the trigger set_updated_at)."""

    created_at: Mapped[dt.datetime] = mapped_column(server_default=NOW, sort_order=100)
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=NOW, sort_order=101)


def reference(
    target: str, *, ondelete: str, index: bool = True, primary_key: bool = False
) -> MappedColumn[Any]:
    """Make a foreign key column with its index.

    Args:
        target: ``schema.table.column``, as text: the modules of the schemas don't import each other.
        ondelete: What happens to this row when the target's row goes.
        index: Leave it out only where a key or another index begins with this column.
        primary_key: The column is part of the primary key.
    """
    return mapped_column(ForeignKey(target, ondelete=ondelete), index=index or None, primary_key=primary_key)


def one_of(column: str, *values: str) -> CheckConstraint:
    """Restrict a text column to a list. A check, unlike an enum type, can later lose a value too."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def currency_code() -> CheckConstraint:
    """Require the form of an ISO 4217 code in the column ``currency``."""
    return CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency")
