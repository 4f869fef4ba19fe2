"""Amounts as people read them: durations, sizes, counts, and how long something will still take."""

from datetime import timedelta
from typing import Any, Final

from homeops_db.locking.pace import is_size

_SIZES: Final = (" B", " kB", " MB", " GB", " TB")
_THOUSANDS: Final = ("", "k", "M", "G", "T")
_TIMES: Final = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))

_UNITS_SHOWN: Final = 2
"""From so many of a unit on, it is used: 90 s rather than 1.5 min."""

_DIGITS_FROM: Final = 10
"""From here on, a digit behind the point tells nothing that anybody needs."""

_NEVER: Final = 100 * 86400.0


def duration(given: timedelta) -> str:
    """Show a duration as `pace.read` reads it: "20 ms", "10 s", "30 min"."""
    milliseconds = given / timedelta(milliseconds=1)
    for whole, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds >= whole and milliseconds % whole == 0:
            return f"{milliseconds / whole:g} {unit}"
    return f"{milliseconds:g} ms"


def size(given: float) -> str:
    """Show a number of bytes: "64 MB", "312 MB", "1.5 GB" (of 1024 each, as PostgreSQL counts)."""
    return _scaled(given, 1024, _SIZES)


def count(given: float) -> str:
    """Show about how many: "950", "152k", "1.2M"."""
    return _scaled(given, 1000, _THOUSANDS)


def limit(name: str, value: Any) -> str:
    """Show a limit of `Pace` as `pace.read` reads it; "off" where it isn't looked at."""
    if not value and name.startswith("max_") and name != "max_errors":
        return "off"
    if isinstance(value, timedelta):
        return duration(value)
    return size(value) if is_size(name) else f"{value:g}" if isinstance(value, float) else str(value)


def span(seconds: float) -> str:
    """Show how long something has lasted: "250 ms", "1.5 s", "42 min", "3 h"."""
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    whole, unit = _unit(seconds)
    digits = 1 if round(seconds / whole, 1) < _DIGITS_FROM and round(seconds / whole, 1) % 1 else 0
    return f"{seconds / whole:.{digits}f} {unit}"


def between(low: float, high: float) -> str:
    """Show an interval of seconds: "40 to 55 s", "2 to 3 min", "about 12 s"."""
    if high >= _NEVER:
        return f"{_about(low)} or more" if low < _NEVER else "nobody knows how long"
    whole, unit = _unit(high)
    shown = [_rounded(seconds / whole, unit) for seconds in (low, high)]
    if shown[1] == "0":
        return f"under 1 {unit}"
    if shown[0] == shown[1]:
        return f"about {shown[1]} {unit}"
    return f"up to {shown[1]} {unit}" if shown[0] == "0" else f"{shown[0]} to {shown[1]} {unit}"


def _about(seconds: float) -> str:
    whole, unit = _unit(seconds)
    return f"{_rounded(seconds / whole, unit)} {unit}"


def _unit(seconds: float) -> tuple[float, str]:
    return next(((whole, unit) for whole, unit in _TIMES if seconds >= _UNITS_SHOWN * whole), _TIMES[-1])


def _rounded(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit in {"s", "min"} or value >= _DIGITS_FROM else f"{round(value, 1):g}"


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    place = 0
    while round(value) >= step and place < len(units) - 1:
        value, place = value / step, place + 1
    digits = 1 if place and value < _DIGITS_FROM and round(value, 1) % 1 else 0
    return f"{value:.{digits}f}{units[place]}"
