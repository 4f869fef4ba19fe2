"""Indexes of hypertables: TimescaleDB builds them chunk by chunk, each in a transaction of its own.

It refuses CREATE INDEX CONCURRENTLY there; instead writes to one chunk wait while that chunk's index is built
(https://docs.timescale.com/api/latest/hypertable/create_index/). An interrupted build leaves the index of
the hypertable INVALID, and those of some chunks.
"""

import time
from datetime import timedelta
from typing import Final

from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from homeops_db import faults
from homeops_db.catalog import locks, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.history.target import Show
from homeops_db.locking import look, report
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import index_build, index_watch
from homeops_db.online.index_definition import Asked, Definition
from homeops_db.online.work import Work, lifted_timeouts

_LONGER: Final = 10
"""A chunk's lock is asked for so many times as long as others: a failed try throws all chunks away."""

_NEVER: Final = timedelta(days=365)


def ensure(work: Work, table: Table, asked: Asked, definition: Definition, show: Show) -> None:
    """Build an index on a hypertable, chunk by chunk, unless it is there and valid.

    Raises:
        ObjectError: The name is taken.
        UnsafeError: It is unique.
        LockTimeoutError: The locks weren't to be had.
    """
    found = index_build.lookup(work, asked.name, table, definition.meaning)
    if found is not None and found.is_valid:
        return
    if definition.unique:
        refuse_unique(table)
    patience = Patience(work.policy)
    while True:
        if found is not None:
            drop(work, table, found, step="drop leftover")
        if _build(work, table, asked, patience, show):
            break
        found = index_build.lookup(work, asked.name, table, definition.meaning)
    built = index_build.lookup(work, asked.name, table, definition.meaning)
    if built is None or not built.is_valid:
        raise ObjectError(
            f"Index {table.schema}.{asked.name} was built, and is {'gone' if built is None else 'INVALID'}: "
            "another session must have been at it. Run the same command again."
        )


def refuse_unique(table: Table) -> None:
    """Refuse a unique index, which TimescaleDB builds in one transaction alone.

    Raises:
        UnsafeError: Always.
    """
    raise UnsafeError(
        f"Table {table} is a hypertable, and a unique index on one can't be built chunk by chunk: all writes "
        "would wait for it. Nothing was changed. Create it in the revision that makes the table, or in a "
        "maintenance window with op.create_index()."
    )


def drop(work: Work, table: Table, found: Index, *, step: str) -> None:
    """Drop an index with those of all chunks: short, under ACCESS EXCLUSIVE on all of them.

    DROP INDEX CONCURRENTLY takes the same locks there, one after the other, without a limit.
    """
    statement = sql.SQL("DROP INDEX {}").format(sql.Identifier(found.schema, found.name))
    work.execute([wanted(work.connection, table)], statement, step=step)


def _build(work: Work, table: Table, asked: Asked, patience: Patience, show: Show) -> bool:
    """Try once; False when a lock wasn't to be had, and it is worth another try."""
    oids = tuple(part.oid for part in tables.tree(work.connection, table.oid))
    wants = [Wanted(table, locks.SHARE, oids)]
    look.until_clear(work.observer, wants, patience)
    patience.tries += 1
    statement = asked.per_chunk(table.name, table.schema, concurrently=False)
    tell = index_watch.told(show, f"{table.schema}.{asked.name}")
    faults.point(f"{work.operation}: build: before")
    try:
        with (
            index_watch.watching(work, tell, give_up_after=_NEVER),  # lock_timeout ends its waits
            lifted_timeouts(work.connection),
        ):
            ms = round(work.policy.lock_timeout.total_seconds() * 1000) * _LONGER
            work.connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{max(1, ms)}ms")))
            work.connection.execute(statement.encode())
    except (LockNotAvailable, DeadlockDetected):
        patience.blockers = locks.holders(work.observer.connection, oids, locks.SHARE, ours=work.observer.pid)
        if patience.is_over:
            raise report.stalled(
                what=f"{wants[0]} or on one of its chunks was not to be had, tries: {patience.tries}",
                blockers=patience.blockers,
                waited=patience.waited,
                cost=work.cost,
                left="What was built is left INVALID: the next run drops it.",
            ) from None
        time.sleep(patience.pause())
        return False
    work.changed = True
    work.tries += patience.tries
    work.waited_ms += patience.waited.total_seconds() * 1000
    faults.point(f"{work.operation}: build: done")
    return True
