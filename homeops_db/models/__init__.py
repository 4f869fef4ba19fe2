"""The tables of HomeOps, by schema. Alembic compares the database with ``metadata``."""

from homeops_db.models import (
    community,
    community_content,
    community_revenue,
    core,
    financial,
    media,
    media_insights,
    smart_home,
)
from homeops_db.models.base import Base

metadata = Base.metadata

__all__ = [
    "community",
    "community_content",
    "community_revenue",
    "core",
    "financial",
    "media",
    "media_insights",
    "metadata",
    "smart_home",
]
