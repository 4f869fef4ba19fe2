"""How long work is shown on stderr: a bar in a terminal, else one line for each stage."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def shown_progress() -> Iterator[Callable[[str, float], None]]:
    """Show the progress of long work on stderr: a bar in a terminal, else one line for each stage.

    Work that never reports shows nothing, and loads nothing.
    """
    with ExitStack() as stack:
        yield _bar(stack) if sys.stderr.isatty() else _lines()


def _lines() -> Callable[[str, float], None]:
    told: list[str] = []

    def show(stage: str, _fraction: float) -> None:
        if told[-1:] != [stage]:
            told.append(stage)
            print(stage, file=sys.stderr, flush=True)

    return show


def _bar(stack: ExitStack) -> Callable[[str, float], None]:
    shown: list[Callable[[str, float], None]] = []

    def show(stage: str, fraction: float) -> None:
        if not shown:
            shown.append(_rich_bar(stack))
        shown[0](stage, fraction)

    return show


def _rich_bar(stack: ExitStack) -> Callable[[str, float], None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("", total=1.0)
    return lambda stage, fraction: bar.update(task, description=stage, completed=fraction)
