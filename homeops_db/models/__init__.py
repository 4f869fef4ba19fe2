"""The tables of HomeOps, by schema. Alembic compares the database with ``metadata``."""

from homeops_db.models import (
    ai,
    community,
    community_content,
    community_revenue,
    core,
    financial,
    financial_alerts,
    financial_investments,
    media,
    media_insights,
    smart_home,
    smart_home_care,
    smart_home_energy,
)
from homeops_db.models.base import Base

metadata = Base.metadata

__all__ = [
    "ai",
    "community",
    "community_content",
    "community_revenue",
    "core",
    "financial",
    "financial_alerts",
    "financial_investments",
    "media",
    "media_insights",
    "metadata",
    "smart_home",
    "smart_home_care",
    "smart_home_energy",
]
