"""How hard a backfill pushes: the size of its batches, and the limits at which it waits by itself."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final

from homeops_db.errors import OnlineError
from homeops_db.locking.policy import Duration, duration

Size = int | str
"""Bytes, or a text with its unit: "64MB", "2GB" (of 1024 each, as PostgreSQL counts)."""

_SIZES: Final = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The limits of one backfill. A limit of 0 isn't looked at.

    Attributes:
        target: How long one batch shall take.
        batch_rows: Rows of the first batch.
        min_batch_rows: Rows of the smallest.
        max_batch_rows: Rows of the largest.
        max_replication_lag: By which a standby may lag behind, in time.
        max_replication_bytes: The same, in bytes of WAL.
        max_slot_bytes: WAL that a replication slot may keep back.
        max_queue: Sessions that may wait behind a batch at one look.
        max_active_p95: The 95th percentile of how long other sessions' statements are running that
            began after the backfill.
        max_wal_rate: Bytes of WAL in a second, of the whole server.
        max_dead_share: Dead rows of the table that autovacuum has left, in proportion to all.
        max_snapshot_age: Age of the oldest snapshot that keeps dead rows from being removed.
        max_growth: Size of the table in proportion to what it was, from which it is vacuumed on the way.
        max_errors: Rows that may fail; the next one ends the run.
        give_up_after: Of waiting without a break.
    """

    target: timedelta = timedelta(milliseconds=20)
    batch_rows: int = 500
    min_batch_rows: int = 100
    max_batch_rows: int = 10_000
    max_replication_lag: timedelta = timedelta(seconds=10)
    max_replication_bytes: int = 256 << 20
    max_slot_bytes: int = 4 << 30
    max_queue: int = 5
    max_active_p95: timedelta = timedelta(seconds=1)
    max_wal_rate: int = 0
    max_dead_share: float = 0.5
    max_snapshot_age: timedelta = timedelta(minutes=30)
    max_growth: float = 1.5
    max_errors: int = 0
    give_up_after: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.min_batch_rows > self.max_batch_rows:
            raise OnlineError(
                f"min_batch_rows is {self.min_batch_rows} and max_batch_rows is {self.max_batch_rows}: the "
                "smallest batch must not be larger than the largest. Nothing was changed. Name both."
            )

    def as_json(self) -> dict[str, Any]:
        """Give the values as JSON has them: durations in milliseconds."""
        return {
            field.name: value / timedelta(milliseconds=1) if isinstance(value, timedelta) else value
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }


_changes: ContextVar[dict[str, Any] | None] = ContextVar("homeops_pace", default=None)


@contextmanager
def pace(
    *,
    target: Duration | None = None,
    batch_rows: int | None = None,
    min_batch_rows: int | None = None,
    max_batch_rows: int | None = None,
    max_replication_lag: Duration | None = None,
    max_replication_bytes: Size | None = None,
    max_slot_bytes: Size | None = None,
    max_queue: int | None = None,
    max_active_p95: Duration | None = None,
    max_wal_rate: Size | None = None,
    max_dead_share: float | None = None,
    max_snapshot_age: Duration | None = None,
    max_growth: float | None = None,
    max_errors: int | None = None,
    give_up_after: Duration | None = None,
) -> Iterator[None]:
    """Change how hard the backfills of a block push.

    ::

        with online.pace(target="10ms", max_replication_bytes="64MB", max_errors=20):
            online.backfill("transactions", {"amount_decimal": "amount::numeric(15,2)"}, schema="financial")

    What is left out stays as it is. From another terminal: ``homeops-db backfill retune``. Each argument
    is an attribute of `Pace`: durations as a timedelta, a text like "20ms" or seconds; sizes in bytes or as
    a text like "64MB"; 0 switches a limit off.

    Raises:
        OnlineError: A value is malformed.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    token = _changes.set(
        {**(_changes.get() or {}), **{name: read(name, value) for name, value in given.items()}}
    )
    try:
        yield
    finally:
        _changes.reset(token)


def current() -> Pace:
    """The pace in force: the defaults, and what the blocks around the call change of them."""
    return replace(Pace(), **(_changes.get() or {}))


def changed(base: Pace, values: Mapping[str, Any]) -> Pace:
    """Give a pace with these values changed; JSON's numbers are milliseconds where a duration is meant.

    Raises:
        OnlineError: A name isn't known, or a value is malformed.
    """
    read_values: dict[str, Any] = {}
    for name, value in values.items():
        is_number = isinstance(value, int | float) and isinstance(getattr(base, name, None), timedelta)
        read_values[name] = timedelta(milliseconds=value) if is_number else read(name, value)
    return replace(base, **read_values)


def is_size(name: str) -> bool:
    """Tell whether a limit is of bytes: it may be written with a unit."""
    return "bytes" in name or "wal" in name


def read(name: str, value: Any) -> Any:
    """Read one value as an author or an operator writes it.

    Raises:
        OnlineError: The name isn't known, or the value is malformed.
    """
    default = getattr(Pace(), name, None)
    if default is None:
        known = ", ".join(field.name for field in fields(Pace))
        raise OnlineError(f"{name} is no limit of a backfill. Nothing was changed. There are: {known}.")
    if isinstance(default, timedelta):
        is_off = name.startswith("max_") and value in (0, "0", timedelta(0))
        return timedelta(0) if is_off else duration(name, value)
    return _number(name, value, type(default))


def _number(name: str, value: Any, kind: type) -> Any:
    try:
        found = _size(value) if is_size(name) and isinstance(value, str) else kind(value)
    except (TypeError, ValueError, OverflowError):
        found = -1
    lowest = 1 if name.endswith("batch_rows") else 0
    if isinstance(value, bool) or not lowest <= found < 1 << 62:
        accepted = "a size like '64MB' or bytes" if is_size(name) else "a number"
        raise OnlineError(
            f"{name} is {value!r}: it must be {accepted}, {lowest} or more. Nothing was changed."
        )
    return found


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*(B|kB|MB|GB|TB)?", text.strip(), re.ASCII)
    if match is None:
        raise ValueError
    return int(match[1]) * _SIZES[match[2] or "B"]
