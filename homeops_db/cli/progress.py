"""How long work is shown on stderr: a bar with its end in sight in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

    from homeops_db.history.target import Show

EVERY: Final = 15.0
"""Seconds between two lines about one stage, where there is no terminal."""

_MINUTE: Final = 60
_HOUR: Final = 3600


@contextmanager
def shown_progress() -> "Iterator[Show]":
    """Show the progress of long work on stderr: a bar in a terminal, else one line for each stage.

    A stage that takes long gets another line every 15 seconds, with how far it all is and how long it
    will take: by what the work itself says in its note, else by how it went until now. A line is written
    at once when the work begins to wait, and when it goes on. Work that never reports shows nothing, and
    loads nothing.
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
    _waits: bool = False
    _began: tuple[float, float] = field(default=(0.0, 0.0))

    def __call__(self, stage: str, fraction: float, note: str = "", /) -> None:
        """Tell how far the work is."""
        now = self.clock()
        if self._stage is None or fraction < self._fraction:
            self._began = (now, fraction)  # other work
        self._fraction = fraction
        if stage != self._stage:
            self._stage, self._told, self._waits = stage, now, False
            _write(stage)
        waits = _is_wait(note)
        if waits != self._waits or now - self._told >= EVERY:
            parts = (f"{fraction:.0%}", "goes on" * (self._waits and not waits), note or self._left(now))
            self._told, self._waits = now, waits
            _write(f"{stage}: {', '.join(filter(None, parts))}")

    def _left(self, now: float) -> str:
        """Say how long the rest takes, if it goes on as it went."""
        since, begin = self._began
        if self._fraction - begin <= 0 or self._fraction >= 1:
            return ""
        seconds = (now - since) * (1 - self._fraction) / (self._fraction - begin)
        return f"about {_in_words(seconds)} left"


def _is_wait(note: str) -> bool:
    if not note:
        return False
    from homeops_db.history.target import WAITS

    return note.startswith(WAITS)


def _write(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _in_words(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"


def _bar(stack: ExitStack) -> "Show":
    shown: list[Show] = []

    def show(stage: str, fraction: float, note: str = "", /) -> None:
        if not shown:
            shown.append(_rich_bar(stack))
        shown[0](stage, fraction, note)

    return show


def _rich_bar(stack: ExitStack) -> "Show":
    bar = stack.enter_context(_progress())
    task = bar.add_task("", total=1.0, note="")

    def show(stage: str, fraction: float, note: str = "", /) -> None:
        if fraction < bar.tasks[0].completed:
            bar.reset(task)  # other work: its speed is another
        bar.update(task, description=stage, completed=fraction, note=note)

    return show


def _progress() -> "Progress":
    from rich import progress as rich
    from rich.console import Console, RenderableType
    from rich.text import Text

    class Left(rich.TimeRemainingColumn):
        """The time left by rich's own reckoning; nothing where the work says it by itself."""

        def render(self, task: rich.Task) -> Text:
            return Text() if task.fields["note"] else super().render(task)

    class Noted(rich.Progress):
        """A bar, and a note below it: beside it, a terminal of 80 columns has no room for both."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            for note in filter(None, (task.fields["note"] for task in self.tasks)):
                yield Text(f"  {note}", overflow="ellipsis", no_wrap=True)

    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeElapsedColumn(),
        Left(),
    )
    console = Console(stderr=True)
    return Noted(*columns, console=console, transient=True, speed_estimate_period=EVERY * 20)
