"""The ways to give a table another shape, or a column another type, and one run of one of them.

Each run is a process of its own on a copy of the same database, as those of `fill`.
"""

import importlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import sqlalchemy as sa
from psycopg import Connection

from benchmarks import fill, recorded
from benchmarks.fill import scalar
from benchmarks.revision import revision
from benchmarks.traffic import connect
from homeops_db import faults, online

MADE = "merchant_category"
TRANSFORM = "upper(category)::varchar(100)"
INDEXED = ("account_id", "happened_at")
"""Columns that `fill` makes indexes on."""

STAGES = {
    "made": "table",
    "copied": "copy",
    "settled": "settling",
    "indexed": "indexes",
    "drained": "draining",
    "synced": "sync triggers",
    "analyzed": "ANALYZE",
    "proven": "proof",
    "switched": "switching",
}
"""The points of `homeops_db.faults` that a restructure passes, each when a stage is done, and what that is."""

LOADED_LATE = (
    "homeops_db.online.backfill.run",
    "homeops_db.online.restructure.steps",
    "homeops_db.online.restructure.script",
    "homeops_db.online.type_change.steps",
    "homeops_db.online.type_change.script",
)
"""What the operations load when they are called: reading files isn't what is measured."""


def make(connection: Connection, key: str, rows: int) -> None:
    """The table of the backfill benchmark as it was before it got a new column."""
    fill.fill(connection, key, rows)
    connection.execute("alter table target drop amount_decimal")
    connection.execute(recorded.TABLES)


# The ways ---------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a run tells of itself: its steps and stages, by `time.monotonic`, which is one for all processes."""

    steps: list[tuple[str, float, float]] = field(default_factory=list)
    marks: list[tuple[str, float]] = field(default_factory=list)
    wal: float = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.steps.append((name, began, time.monotonic()))

    def mark(self, point: str) -> None:
        # It is called by every worker's thread: appending is all that it may do.
        self.marks.append((point, time.monotonic()))

    def seconds(self, *names: str) -> float:
        return sum(ended - began for name, began, ended in self.steps if name in names)

    def stages(self) -> dict[str, float]:
        """How long each stage took, and what is left of the steps."""
        taken: dict[str, float] = {}
        for name, began, ended in self.steps:
            last = began
            for mark, at in self.marks:
                stage = mark.rpartition(": ")[2]
                if mark.startswith("restructure") and stage in STAGES and began <= at <= ended:
                    taken[stage] = taken.get(stage, 0.0) + at - last
                    last = at
            taken[f"rest of {name}"] = ended - last
        return taken

    def last(self, before: float) -> str:
        """Name the last point that was passed before a moment."""
        return next((mark for mark, at in reversed(self.marks) if at < before), "the beginning")


def at_once(url: sa.URL, told: Told) -> None:
    """What nobody can be faster than: all rows by one statement, then the indexes, in one transaction."""
    with told.step("copy"), connect(url) as connection, connection.transaction():
        copy(connection, "made", told)


def copy(connection: Connection, name: str, told: Told) -> None:
    """Pass the points of a restructure that it has too."""
    connection.execute(f"create table {name} (like target including defaults including storage)")
    connection.execute(f"alter table {name} add {MADE} varchar(100)")
    told.mark("restructure: made")
    connection.execute(f"insert into {name} select *, {TRANSFORM} from target")
    told.mark("restructure: copied")
    connection.execute(f"alter table {name} add primary key (id)")
    for column in INDEXED:
        connection.execute(f"create index on {name} ({column})")
    told.mark("restructure: indexed")


def under_a_lock(url: sa.URL, told: Told) -> None:
    """The same as one who may stop the table does it."""
    with told.step("copy"), connect(url) as connection, connection.transaction():
        connection.execute("lock table target")
        copy(connection, "made", told)
        connection.execute("drop table target; alter table made rename to target")


def alter(url: sa.URL, told: Told) -> None:
    with told.step("alter"), connect(url) as connection:
        connection.execute("alter table target alter amount type numeric(15,2)")


def change_type(url: sa.URL, told: Told, workers: int, steps: tuple[str, ...]) -> None:
    changing = online.TypeChange(
        "target",
        "amount",
        sa.Numeric(15, 2),
        up="amount::numeric(15,2)",
        down="amount::double precision",
        workers=workers,
    )
    take(url, told, changing, steps)


def restructure(url: sa.URL, told: Told, workers: int, steps: tuple[str, ...]) -> None:
    changing = online.Restructure(
        "target",
        columns=(..., sa.Column(MADE, sa.String(100))),
        transform={MADE: TRANSFORM},
        workers=workers,
    )
    take(url, told, changing, steps)


def take(url: sa.URL, told: Told, changing: object, steps: tuple[str, ...]) -> None:
    """Go through the steps, each as a revision of its own."""
    with faults.injected(told.mark):
        for name in steps:
            with told.step(name), revision(url):
                getattr(changing, name)()


ONE_WAY = ("expand", "switch", "contract")
THERE_AND_BACK = ("expand", "switch", "undo_switch", "switch", "contract")

BY_HAND: dict[str, tuple[str, Callable[[sa.URL, Told], None]]] = {
    "at-once": ("one INSERT … SELECT, then the indexes", at_once),
    "lock": ("the same under a lock", under_a_lock),
    "alter": ("ALTER COLUMN … TYPE", alter),
}
OURS = {"restructure": ("online.Restructure", restructure), "type": ("online.TypeChange", change_type)}


def kind_of(way: str) -> str:
    return way.partition(":")[0]


def workers_of(way: str) -> int:
    return int(way.partition(":")[2] or 1)


def named(way: str) -> str:
    """Name a way for the reader; ours are like ``restructure:2``, where two is the number of workers."""
    kind = kind_of(way)
    if kind in BY_HAND:
        return BY_HAND[kind][0]
    workers = workers_of(way)
    return f"{OURS[kind][0]}, {workers} worker{'' if workers == 1 else 's'}"


# One run ----------------------------------------------------------------------------------------------


def run(way: str, url: sa.URL, _key: str, pipe: Pipe, steps: tuple[str, ...] = ONE_WAY) -> None:
    """Run one way, in a process of its own; wait for the word before it begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    for name in LOADED_LATE:
        importlib.import_module(name)
    kind = kind_of(way)
    told = Told()
    with connect(url) as watch:
        pipe.send(None)
        pipe.recv()
        before = written(watch)
        if kind in OURS:
            OURS[kind][1](url, told, workers_of(way), steps)
        else:
            BY_HAND[kind][1](url, told)
        told.wal = written(watch) - before
    pipe.send(told)


def written(connection: Connection) -> float:
    return float(scalar(connection, "select pg_current_wal_insert_lsn() - '0/0'"))
