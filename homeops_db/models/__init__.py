"""The tables of HomeOps, one module a schema. Alembic compares the database with ``metadata``."""

from homeops_db.models import ai, core, financial, media, smart_home
from homeops_db.models.base import Base

metadata = Base.metadata

__all__ = ["ai", "core", "financial", "media", "metadata", "smart_home"]
