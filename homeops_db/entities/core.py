"""What is kept and logged in schema core."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

UPDATED: Final = ("core.api_keys", "core.households", "core.system_config", "core.users")

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "core.api_keys": ("key_hash",),
    "core.household_members": (),
    "core.system_config": (),
    "core.users": ("password_hash",),
}

TRIGGERS: Final[list[PGTrigger]] = []
