"""What is kept and logged in schema media."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

UPDATED: Final = (
    *("media.items", "media.libraries", "media.people", "media.playlists"),
    *("media.ratings", "media.recommendation_models", "media.recommendations"),
)

AUDITED: Final[dict[str, tuple[str, ...]]] = {}

TRIGGERS: Final[list[PGTrigger]] = []
