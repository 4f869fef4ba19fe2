"""What is kept and logged in schema smart_home."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

UPDATED: Final = (*("smart_home.automations", "smart_home.devices", "smart_home.rooms", "smart_home.scenes"),)

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "smart_home.automations": (),
    "smart_home.devices": ("credentials",),
}

TRIGGERS: Final[list[PGTrigger]] = []
