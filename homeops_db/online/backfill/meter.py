"""How fast it goes, and when it will be done: an interval, for nobody knows it better."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_REMEMBERED: Final = 60
"""Looks, one a second."""

_FEWEST: Final = 3


@dataclass
class Meter:
    """Speeds of the last minute. ``clock`` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    _rates: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _last: tuple[float, int, float] | None = None

    def look(self, rows: int, share: float) -> None:
        """Take in how far it is: rows done, and the share of the whole."""
        now = self.clock()
        if self._last is not None and now > self._last[0]:
            passed = now - self._last[0]
            self._rates.append(((rows - self._last[1]) / passed, (share - self._last[2]) / passed))
        self._last = (now, rows, share)

    @property
    def rows_per_second(self) -> float | None:
        """The mean of the last minute; None before there is one."""
        return sum(rate for rate, _ in self._rates) / len(self._rates) if self._rates else None

    def left(self) -> tuple[float, float] | None:
        """Seconds until it is done, at least and at most: by the faster and the slower of its looks."""
        speeds = sorted(speed for _, speed in self._rates if speed > 0)
        if len(speeds) < _FEWEST or self._last is None:
            return None
        rest = max(0.0, 1 - self._last[2])
        mean = sum(speed for _, speed in self._rates) / len(self._rates)
        fast, slow = speeds[len(speeds) * 3 // 4], speeds[len(speeds) // 4]
        return rest / max(fast, mean), rest / max(min(slow, mean), 1e-9)
