"""Where a range is: pure arithmetic of windows and stripes, so that every step of it can be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

Place = Sequence[str]


@dataclass(frozen=True)
class Position:
    """A place in a range: everything before it is done.

    A window is the rows behind ``low``, up to and with ``high``. It is gone through once for each stripe.
    ``after`` is how far the stripe in hand is, when it is done in smaller pieces.
    """

    low: Place | None = None
    high: Place | None = None
    is_open: bool = False
    stripe: int = 0
    stripes: int = 1
    after: Place | None = None

    def opened(self, high: Place | None, stripes: int) -> "Position":
        """Begin the window up to ``high``."""
        return Position(self.low, high, is_open=True, stripes=stripes)

    @property
    def begin(self) -> Place | None:
        """Behind which place the next batch begins."""
        return self.low if self.after is None else self.after

    def done_up_to(self, place: Place | None) -> "Position":
        """Go on after a piece of a stripe; with the window's end, the stripe is done."""
        if place is not None and place != self.high:
            return replace(self, after=place)
        if self.stripe + 1 < self.stripes:
            return replace(self, stripe=self.stripe + 1, after=None)
        return Position(self.high)

    def as_json(self) -> dict[str, Any]:
        """Give what is stored."""
        return {
            "low": self.low,
            "high": self.high,
            "is_open": self.is_open,
            "stripe": self.stripe,
            "stripes": self.stripes,
            "after": self.after,
        }


def from_json(given: dict[str, Any]) -> Position:
    """Read what was stored."""
    return Position(**given)
