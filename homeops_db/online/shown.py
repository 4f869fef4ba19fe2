"""The command's own progress display, for an operation that takes long."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeops_db.history.target import Show
from homeops_db.online.work import Work


@contextmanager
def shown(work: Work) -> Iterator[Show]:
    """Open the command's progress display for the block, if it has one."""
    opened = work.recorder.show_progress if work.recorder is not None else None
    if opened is None:
        yield lambda _stage, _share, _note="", /: None
        return
    with opened() as show:
        yield show
