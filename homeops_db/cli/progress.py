"""How long work is shown on stderr: a bar with its end in sight in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

EVERY: Final = 15.0
"""Seconds between two lines about one stage, where there is no terminal."""

_MINUTE: Final = 60
_HOUR: Final = 3600


@contextmanager
def shown_progress() -> Iterator[Callable[[str, float], None]]:
    """Show the progress of long work on stderr: a bar in a terminal, else one line for each stage.

    A stage that takes long gets another line every 15 seconds, with how far it all is and how long it
    will take. Work that never reports shows nothing, and loads nothing.
    """
    with ExitStack() as stack:
        yield _bar(stack) if sys.stderr.isatty() else Lines()


@dataclass
class Lines:
    """Shows progress as lines. ``clock`` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    _stage: str | None = None
    _told: float = 0.0
    _fraction: float = 0.0
    _began: tuple[float, float] = field(default=(0.0, 0.0))

    def __call__(self, stage: str, fraction: float) -> None:
        """Tell how far the work is."""
        now = self.clock()
        if self._stage is None or fraction < self._fraction:
            self._began = (now, fraction)  # other work
        self._fraction = fraction
        if stage != self._stage:
            self._stage, self._told = stage, now
            print(stage, file=sys.stderr, flush=True)
        elif now - self._told >= EVERY:
            self._told = now
            print(f"{stage}: {fraction:.0%}{self._left(now)}", file=sys.stderr, flush=True)

    def _left(self, now: float) -> str:
        """Say how long the rest takes, if it goes on as it went."""
        since, begin = self._began
        if self._fraction - begin <= 0 or self._fraction >= 1:
            return ""
        seconds = (now - since) * (1 - self._fraction) / (self._fraction - begin)
        return f", about {_in_words(seconds)} left"


def _in_words(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"


def _bar(stack: ExitStack) -> Callable[[str, float], None]:
    shown: list[Callable[[str, float], None]] = []

    def show(stage: str, fraction: float) -> None:
        if not shown:
            shown.append(_rich_bar(stack))
        shown[0](stage, fraction)

    return show


def _rich_bar(stack: ExitStack) -> Callable[[str, float], None]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=EVERY * 20)
    task = stack.enter_context(bar).add_task("", total=1.0)

    def show(stage: str, fraction: float) -> None:
        if fraction < bar.tasks[0].completed:
            bar.reset(task)  # other work: its speed is another
        bar.update(task, description=stage, completed=fraction)

    return show
