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

_BATCHES: Final = 8
"""Batches of a wide window from which its size is learnt, since its end may be far."""

_SPARSEST: Final = 0.01
"""A window in which fewer rows are to do isn't made larger for that any more."""

_PAYS: Final = 0.3
"""Share of updates that stay on their page, below which stripes cost more than they save (measured)."""

_WORTH: Final = 0.6
"""Share below which wider windows are tried: eight stripes give 0.8 where nothing delays pruning."""

WIDER: Final = 4
"""Times as wide: enough for the transactions that began meanwhile to end, twice as wide wasn't (measured)."""

_WIDEST: Final = 64
"""Batches of one stripe. What still keeps dead rows then is no short transaction."""

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

    @property
    def has_learnt(self) -> bool:
        """Whether it has seen enough batches to change."""
        return len(self._seconds) >= _BATCHES

    def next(self, pace: Pace) -> int:
        """Give the size of the next batches, after some of them."""
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


@dataclass(frozen=True)
class Shape:
    """Of a window: into how many stripes it is cut, and how many batches one stripe of it takes."""

    stripes: int
    span: int = 1


@dataclass
class Stripes:
    """How the windows of one table are cut, as long as that pays.

    A stripe's dead rows make room for the next one only when nobody can see them any more. Others' short
    transactions delay that: then a window spans more, so that more time passes between two visits of a page.
    Where even that doesn't help, somebody holds an old snapshot, and the windows are plain for a while.

    Attributes:
        most: Into how many stripes; 1 where it can't pay.
        buffers: Rows that fit into a part of the server's cache: a window is visited again while it is there.
        changes: Each change, in words.
        clock: Gives seconds.
        span: How many batches one stripe of a window takes.
    """

    most: int
    buffers: float = math.inf
    span: int = 1
    changes: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _plain_since: float | None = None
    _rows: int = 0
    _hot: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the windows of this table aren't striped, or not at this time."""
        return self.most == 1 or self._plain_since is not None

    def now(self) -> Shape:
        """Give the shape of the next window."""
        if self.most == 1:
            return Shape(1)
        if self._plain_since is not None and self.clock() - self._plain_since < _TRY_AGAIN:
            return Shape(1)
        return Shape(self.most, self.span)

    def learn(self, shape: Shape, rows: int, hot: int) -> None:
        """Take in one window: rows done, and those of them that stayed on their page."""
        if shape.stripes == 1:
            return
        self._rows += rows
        self._hot += hot
        if self._rows < _ENOUGH:
            return
        share = self._hot / self._rows
        if share >= _PAYS and self._plain_since is not None:
            self.changes.append(f"striped again: {share:.0%} of the updates stay on their page")
            self._plain_since = None
        elif share < _WORTH:
            self._widen(share, rows / shape.span)
        self._rows = self._hot = 0

    def _widen(self, share: float, rows: float) -> None:
        wider = self.span * WIDER
        if wider <= _WIDEST and rows * wider <= self.buffers:
            self.span = wider
            return
        if share >= _PAYS:
            return
        if self._plain_since is None:
            self.changes.append(f"plain from here: {share:.0%} of the updates stayed on their page")
        self._plain_since = self.clock()
