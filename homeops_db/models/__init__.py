"""The tables of HomeOps, one module a schema. Alembic compares the database with ``metadata``."""

from homeops_db.models import core, financial, media, smart_home
from homeops_db.models.base import Base

metadata = Base.metadata

__all__ = ["core", "financial", "media", "metadata", "smart_home"]
