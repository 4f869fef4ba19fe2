"""How large the next window is, and in how many stripes: learnt from those before it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from homeops_db.locking.pace import Pace

_STEEPEST: Final = 2.0
"""By how much a window may be larger or smaller than the one before it."""

_SPARSEST: Final = 0.01
"""A window in which fewer rows are to do isn't made larger for that any more."""

_PAYS: Final = 0.3
"""Share of updates that stay on their page, below which stripes cost more than they save (measured)."""

_ENOUGH: Final = 20_000
"""Rows from which a share says something."""

_TRY_AGAIN: Final = 5.0
"""Seconds after which stripes are tried again: who held an old snapshot may have gone."""


@dataclass
class Size:
    """The closed loop of one worker: batches take as long as they shall, whatever a row costs.

    ``rows`` is how many rows the next batch looks at; not all of them need be to do.
    """

    rows: int
    density: float = 1.0
    _looked_at: int = 0
    _done: int = 0
    _seconds: list[float] = field(default_factory=list)

    def learn(self, seconds: float, looked_at: int, done: int) -> None:
        """Take in one batch."""
        self._seconds.append(seconds)
        self._looked_at += looked_at
        self._done += done

    def next(self, pace: Pace) -> int:
        """Give the size of the next window's batches, after all those of one window."""
        if self._seconds:
            # The first pass of a window is dearer than those after it: it finds the pages full.
            felt = max(sum(self._seconds) / len(self._seconds), max(self._seconds) / 2)
            wanted = pace.target / timedelta(seconds=1) / max(felt, 1e-6)
            self.density = min(1.0, self._done / max(1, self._looked_at))
            self.rows = round(self.rows * min(_STEEPEST, max(1 / _STEEPEST, wanted)))
            self._seconds, self._looked_at, self._done = [], 0, 0
        largest = pace.max_batch_rows / max(self.density, _SPARSEST)
        self.rows = max(1, min(self.rows, math.ceil(largest)))
        self.rows = max(self.rows, min(pace.min_batch_rows, pace.max_batch_rows))
        return self.rows


@dataclass
class Stripes:
    """Into how many stripes the windows of one table are cut, as long as that pays.

    Attributes:
        most: How many; 1 where it can't pay.
        changes: Each change, in words.
        clock: Gives seconds.
    """

    most: int
    changes: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _plain_since: float | None = None
    _rows: int = 0
    _hot: int = 0

    def now(self) -> int:
        """Give the number for the next window."""
        if self._plain_since is None:
            return self.most
        if self.clock() - self._plain_since < _TRY_AGAIN:
            return 1
        self._rows = self._hot = 0
        return self.most

    @property
    def hot_share(self) -> float | None:
        """The share of the last updates that stayed on their page; None before there were enough."""
        return self._hot / self._rows if self._rows else None

    def learn(self, stripes: int, rows: int, hot: int) -> None:
        """Take in one window."""
        if self.most == 1 or stripes == 1:
            return
        self._rows += rows
        self._hot += hot
        if self._rows < _ENOUGH:
            return
        pays = self._hot / self._rows >= _PAYS
        if not pays:
            if self._plain_since is None:
                self._tell(
                    f"plain from here: {self._hot / self._rows:.0%} of the updates stayed on their page"
                )
            self._plain_since = self.clock()
        elif self._plain_since is not None:
            self._tell(f"striped again: {self._hot / self._rows:.0%} of the updates stay on their page")
            self._plain_since = None
        self._rows = self._hot = 0

    def _tell(self, change: str) -> None:
        self.changes.append(change)
