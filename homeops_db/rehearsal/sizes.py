"""How many rows each table of v1.0.0 gets: as in real houses, most are of what happens."""

import re
from typing import Final

from homeops_db.errors import SettingsError

FEWEST: Final = 2000
MOST: Final = 1_000_000_000

_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_HAPPENED: Final = {
    "smart_home.device_states": 35,
    "media.playback_sessions": 12,
    "core.audit_log": 10,
    "core.notifications": 6,
    "financial.security_prices": 2,
    "smart_home.automation_runs": 2,
    "core.sessions": 1,
    "media.playlist_items": 1,
}
"""Percent of all rows; transactions are what is left, some 26."""

_A_HOUSEHOLD: Final = {
    "core.users": 3,
    "core.household_members": 3,
    "core.api_keys": 3,
    "financial.accounts": 4,
    "financial.recurring_transactions": 8,
    "financial.budgets": 5,
    "financial.holdings": 5,
    "smart_home.rooms": 8,
    "smart_home.devices": 32,
    "smart_home.automations": 5,
    "smart_home.scenes": 3,
    "smart_home.scene_actions": 12,
    "media.libraries": 2,
    "media.playlists": 6,
}
_AN_ITEM: Final = {
    "media.items": 1.0,
    "media.people": 0.25,
    "media.credits": 2.0,
    "media.item_genres": 1.0,
}
_FIXED: Final = {
    "core.system_config": 10,
    "financial.institutions": 8,
    "financial.categories": 30,
    "media.genres": 12,
}


def rows_of(text: str) -> int:
    """Read a number of rows like ``20k`` or ``1m``.

    Raises:
        SettingsError: It is no number, too few to fill every table, or too many.
    """
    match = re.fullmatch(r"(\d+)([km]?)", text.strip().lower())
    rows = int(match[1]) * _UNITS[match[2]] if match else 0
    if not FEWEST <= rows <= MOST:
        raise SettingsError(
            f"{text!r} is no number of rows: say one from 2k to 1000m, as 20k or 1m. Nothing was changed."
        )
    return rows


def sizes(rows: int) -> dict[str, int]:
    """Spread rows over the tables; together they are exactly as many."""
    households = max(2, rows // 25_000)
    items = rows // 100
    spread = {
        "core.households": households,
        **{table: share * households for table, share in _A_HOUSEHOLD.items()},
        **{table: max(10, int(share * items)) for table, share in _AN_ITEM.items()},
        **{table: percent * rows // 100 for table, percent in _HAPPENED.items()},
        **_FIXED,
        "financial.securities": max(10, rows // 20_000),
    }
    return {**spread, "financial.transactions": rows - sum(spread.values())}
