"""How long a lock is waited for, and what that may cost others."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from homeops_db.errors import OnlineError

_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_LONGEST: Final = timedelta(days=24)
"""PostgreSQL counts its timeouts as milliseconds in 31 bits."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The limits of taking one lock.

    Attributes:
        lock_timeout: Of one try, for all its tables together. It is also the worst stall of the traffic:
            whoever comes while we wait, waits behind us.
        give_up_after: Of all tries together.
        max_victims: Sessions waiting behind one try; with more, it is broken off.
        max_victim_ms: Their waits added up, in milliseconds; with more, the try is broken off. That is
            looked at every 10 ms.
        old_after: A transaction of this age is waited for before asking: a short try can't outlast it.
    """

    lock_timeout: timedelta = timedelta(milliseconds=50)
    give_up_after: timedelta = timedelta(minutes=5)
    max_victims: int = 20
    max_victim_ms: int = 500
    old_after: timedelta = timedelta(milliseconds=100)


Duration = timedelta | str | float

_changes: ContextVar[dict[str, Any] | None] = ContextVar("homeops_lock_policy", default=None)


@contextmanager
def policy(
    *,
    lock_timeout: Duration | None = None,
    give_up_after: Duration | None = None,
    max_victims: int | None = None,
    max_victim_ms: int | None = None,
    old_after: Duration | None = None,
) -> Iterator[None]:
    """Change how locks are taken by the ``online`` operations in a block.

    ::

        with online.policy(lock_timeout="20ms", give_up_after="30min"):
            online.drop_column("sessions", "agent", schema="core")

    What is left out stays as it is: by the enclosing block, else by ``HOMEOPS_LOCK_TIMEOUT`` and
    ``HOMEOPS_LOCK_GIVE_UP_AFTER``. Statements of plain ``op`` aren't changed by it.

    Args:
        lock_timeout: Of one try: a timedelta, a text with its unit like "50ms", or seconds.
        give_up_after: Of all tries together, likewise.
        max_victims: Sessions waiting behind one try before it is broken off.
        max_victim_ms: Their waits added up, in milliseconds, before it is broken off.
        old_after: Age from which a transaction is waited for before asking.

    Raises:
        OnlineError: A value is malformed or not above zero.
    """
    given: dict[str, Any] = {
        "lock_timeout": duration("lock_timeout", lock_timeout),
        "give_up_after": duration("give_up_after", give_up_after),
        "max_victims": _count("max_victims", max_victims),
        "max_victim_ms": _count("max_victim_ms", max_victim_ms),
        "old_after": duration("old_after", old_after),
    }
    changed = {name: value for name, value in given.items() if value is not None}
    token = _changes.set({**(_changes.get() or {}), **changed})
    try:
        yield
    finally:
        _changes.reset(token)


def current(base: Policy) -> Policy:
    """The policy in force: ``base``, and what the blocks around the call change of it."""
    return replace(base, **(_changes.get() or {}))


def duration(name: str, given: Duration | None) -> timedelta | None:
    """Read a duration: a timedelta, a text with its unit, or seconds."""
    if given is None:
        return None
    try:
        read = _read(given)
    except (TypeError, ValueError, OverflowError):  # a list, a NaN, more than a timedelta holds
        read = timedelta(0)
    if not timedelta(0) < read <= _LONGEST:
        raise OnlineError(
            f"{name} is {given!r}: it must be a timedelta above zero and up to 24 days, a text with its unit "
            "like '50ms' or '2s', or seconds. Nothing was changed."
        )
    return read


def _read(given: Duration) -> timedelta:
    if isinstance(given, timedelta):
        return given
    if not isinstance(given, str):
        return timedelta(0) if isinstance(given, bool) else timedelta(seconds=given)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)", given.strip(), re.ASCII)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]]) if match else timedelta(0)


def _count(name: str, given: int | None) -> int | None:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise OnlineError(f"{name} is {given!r}: it must be a whole number, 0 or more. Nothing was changed.")
    return given
