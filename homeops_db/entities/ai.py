"""What is kept and logged in schema ai."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

UPDATED: Final = ("ai.conversations", "ai.embedding_models", "ai.prediction_models")

AUDITED: Final[dict[str, tuple[str, ...]]] = {}

TRIGGERS: Final[list[PGTrigger]] = []
