"""How backfills stand at this moment: what is stored of them, and whether anybody is at work on them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row

from homeops_db import faults
from homeops_db.catalog import activity
from homeops_db.catalog.activity import Backend
from homeops_db.history import backfills
from homeops_db.history.backfills import Backfill

WAITING: Final = "waiting"
INTERRUPTED: Final = "interrupted"

_NEWEST: LiteralString = backfills.ROWS + "order by b.id desc limit %(limit)s"
_OPEN: LiteralString = backfills.ROWS + "where b.state in ('running', 'paused', 'failed') order by b.id"
_RANGES: LiteralString = """
select relation, axis, low, high, position, is_closing, is_done, rows_done, rows_unchanged, share_done,
       batches
from migrations.backfill_ranges where backfill_id = %(id)s order by id
"""
_ERRORS: LiteralString = """
select relation, key, sqlstate, message, was_skipped, happened_at
from migrations.backfill_errors where backfill_id = %(id)s order by id limit %(limit)s
"""


@dataclass(frozen=True)
class Standing:
    """One backfill as it stands.

    Attributes:
        backfill: What is stored of it.
        backend: The server process that holds its lock; None when nobody is at work on it.
    """

    backfill: Backfill
    backend: Backend | None

    @property
    def state(self) -> str:
        """Its state: as stored, and of a running one whether it waits, or died without a word."""
        if self.backfill.state != backfills.RUNNING:
            return self.backfill.state
        if self.backend is None:
            return INTERRUPTED
        return WAITING if self.backfill.waiting_for else backfills.RUNNING

    @property
    def name(self) -> str:
        """What begins a sentence about it."""
        return f"Backfill {self.backfill.id} of {self.backfill.relation}"

    @property
    def is_moving(self) -> bool:
        """Whether rows are being done, so that its speed and its end mean something."""
        return self.state == backfills.RUNNING

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return 1.0 if self.backfill.state == backfills.DONE else self.backfill.share_done

    @property
    def seconds_left(self) -> tuple[float, float] | None:
        """How long it will still take, at least and at most; None where nobody can tell."""
        low, high = self.backfill.seconds_left_low, self.backfill.seconds_left_high
        return (low, high) if self.is_moving and low is not None and high is not None else None


@dataclass(frozen=True)
class Part:
    """One range of a backfill, and how far it is."""

    relation: str
    axis: dict[str, Any]
    low: Any
    high: Any
    position: Any
    is_closing: bool
    is_done: bool
    rows_done: int
    rows_unchanged: int
    share_done: float
    batches: int


@dataclass(frozen=True)
class RowError:
    """A row that could not be done; ``was_skipped`` where the run went on after it."""

    relation: str
    key: Any
    sqlstate: str
    message: str
    was_skipped: bool
    happened_at: datetime


def newest(connection: Connection, *, limit: int) -> list[Standing]:
    """Read the newest backfills, newest first; none where the tables aren't there. Takes no lock."""
    return _read(connection, _NEWEST, limit=limit)


def still_open(connection: Connection) -> list[Standing]:
    """Read the backfills that are at work, paused, interrupted or failed. Takes no lock."""
    return _read(connection, _OPEN)


def one(connection: Connection, backfill_id: int) -> Standing:
    """Read a backfill by its number. Takes no lock.

    Raises:
        ObjectError: There is none by that number.
    """
    return of(connection, backfills.existing(connection, backfill_id))


def of(connection: Connection, found: Backfill) -> Standing:
    """Look whether anybody is at work on a backfill that was just read. Takes no lock."""
    backend = activity.advisory_holder(connection, backfills.lock_key(found.fingerprint))
    if backend is not None or found.state != backfills.RUNNING:
        return Standing(found, backend)
    # Nobody is; but its run may have ended well between the two looks, or another one may have begun.
    faults.point("backfill standing: nobody has the lock")
    again = backfills.one(connection, found.id)
    if again is None or (again.state, again.epoch) == (found.state, found.epoch):
        return Standing(found, None)
    return of(connection, again)


def parts(connection: Connection, backfill_id: int) -> list[Part]:
    """Read the ranges of a backfill, in their order. Takes no lock."""
    with connection.cursor(row_factory=class_row(Part)) as cursor:
        return cursor.execute(_RANGES, {"id": backfill_id}).fetchall()


def errors(connection: Connection, backfill_id: int, *, limit: int) -> list[RowError]:
    """Read the rows that could not be done, first to last. Takes no lock."""
    with connection.cursor(row_factory=class_row(RowError)) as cursor:
        return cursor.execute(_ERRORS, {"id": backfill_id, "limit": limit}).fetchall()


def _read(connection: Connection, query: LiteralString, **values: object) -> list[Standing]:
    if not backfills.is_ready(connection):
        return []
    with connection.cursor(row_factory=class_row(Backfill)) as cursor:
        found = cursor.execute(query, values).fetchall()
    return [of(connection, backfill) for backfill in found]
