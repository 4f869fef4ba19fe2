"""Named points where tests break off the work: every boundary between two steps passes through here.

Unused, a point costs one comparison. It is a list of one so that a test can set it without `global`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_hook: list[Callable[[str], None]] = []


def point(name: str) -> None:
    """Pass a boundary. ``name`` says what was just done, or is about to be."""
    if _hook:
        _hook[0](name)


@contextmanager
def injected(hook: Callable[[str], None]) -> Iterator[None]:
    """Call ``hook`` with the name of every point that is passed inside the block."""
    _hook.insert(0, hook)
    try:
        yield
    finally:
        _hook.remove(hook)
