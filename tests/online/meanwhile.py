"""What happens while an operation runs: beside it in a thread, or between two of its steps."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from homeops_db import faults


@contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run something in a thread; what comes of it, or its error, is there when the block has ended."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # handed on
            outcome.append(error)

    # With the policy in force: a thread begins without it.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(call,))
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(30)
    assert outcome


@contextmanager
def at(point: str, act: Callable[[], Any], *, number: int | None = 1) -> Iterator[list[str]]:
    """Do something when a point is passed that ends so: the n-th time, or each time; gives all points passed."""
    passed: list[str] = []

    def hook(name: str) -> None:
        passed.append(name)
        if name.endswith(point) and number in (None, sum(one.endswith(point) for one in passed)):
            act()

    with faults.injected(hook):
        yield passed
