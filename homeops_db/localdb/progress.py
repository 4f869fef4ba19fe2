"""How long work tells where it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with the stage in words and how much of it is done, from 0 to 1."""


def silent(_stage: str, _fraction: float) -> None:
    """Tell nobody."""
