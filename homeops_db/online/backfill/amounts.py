"""Sizes and durations as people read them."""

from typing import Final

_SIZES: Final = ("B", "kB", "MB", "GB", "TB")
_STEP: Final = 1024
_FEW: Final = 10  # below it, one place after the point
_MINUTE: Final = 60
_HOUR: Final = 3600
_LONG: Final = 2  # so many minutes or hours, before they are what is counted in


def size(count: float) -> str:
    """Write bytes, in units of 1024 each as PostgreSQL counts: "312 MB", "1.5 GB"."""
    unit = 0
    while abs(count) >= _STEP and unit < len(_SIZES) - 1:
        count, unit = count / _STEP, unit + 1
    return f"{_short(count)} {_SIZES[unit]}"


def span(seconds: float) -> str:
    """Write a duration: "250 ms", "1.5 s", "42 min", "3 h"."""
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _LONG * _MINUTE:
        return f"{_short(seconds)} s"
    if seconds < _LONG * _HOUR:
        return f"{_short(seconds / _MINUTE)} min"
    return f"{_short(seconds / _HOUR)} h"


def _short(count: float) -> str:
    return f"{count:.1f}".removesuffix(".0") if count < _FEW else f"{count:.0f}"
