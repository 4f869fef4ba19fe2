"""What is kept and logged in schema smart_home."""

from typing import Final

from alembic_utils.pg_trigger import PGTrigger

UPDATED: Final = (
    *("smart_home.automations", "smart_home.devices", "smart_home.rooms", "smart_home.scenes"),
    *("smart_home.automation_suggestions", "smart_home.energy_meters", "smart_home.energy_tariff_periods"),
    *("smart_home.energy_tariffs", "smart_home.maintenance_bookings", "smart_home.maintenance_plans"),
    *("smart_home.maintenance_records", "smart_home.usage_patterns"),
)

AUDITED: Final[dict[str, tuple[str, ...]]] = {
    "smart_home.automations": (),
    "smart_home.devices": ("credentials",),
    "smart_home.energy_tariff_periods": (),
    "smart_home.energy_tariffs": (),
    "smart_home.maintenance_records": (),
}

TRIGGERS: Final[list[PGTrigger]] = []
