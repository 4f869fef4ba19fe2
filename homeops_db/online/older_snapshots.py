"""Waits for those who read by a snapshot that is older than what was built for them.

A transaction sees tables and columns by the names that they have now, and rows as they were when its
snapshot was taken. So one that is older than the filling of a new column or table, and touches it for the
first time when the names have been swapped, would read it as it was while it was empty: no lock and no error
would tell. CREATE INDEX CONCURRENTLY waits in its last step for the same reason; here it is done by looking,
so nobody waits behind us.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import Connection

from homeops_db import faults
from homeops_db.catalog import locks, readers, standstill
from homeops_db.catalog.locks import Holder
from homeops_db.catalog.readers import Reader
from homeops_db.catalog.tables import Table
from homeops_db.errors import LockTimeoutError
from homeops_db.locking import report
from homeops_db.locking.watch import Cost
from homeops_db.online.work import Work

_FIRST_LOOK: Final = 0.02  # seconds between two looks
_LAST_LOOK: Final = 0.2


@dataclass(frozen=True)
class Moment:
    """A moment after which nothing was filled any more, and who read by a snapshot from before it.

    It can be kept as JSON for days. The list spares whoever began later while an older transaction was
    running, by which their snapshots look old.

    Attributes:
        since: The number of the next transaction then, in 64 bits.
        running: The lowest number that was running.
        readers: The transactions, and what each one's snapshot was.
    """

    since: int
    running: int
    readers: Mapping[str, int]


def moment(work: Work, since: int | None = None) -> Moment:
    """Look who reads by a snapshot from before this moment, or from before ``since``. Takes no lock."""

    def ask(connection: Connection) -> Moment:
        number = standstill.next_transaction(connection) if since is None else since
        running = readers.oldest_running(connection)
        found = readers.older(connection, number, ours=[work.observer.pid])
        return Moment(number, running, {one.transaction: one.xid for one in found})

    return work.observer.ask(ask)


def wait(work: Work, table: Table, since: int | Moment, *, consequence: str) -> None:
    """Wait until nobody is left in this database who reads by a snapshot from before ``since``.

    Whoever takes one meanwhile isn't waited for. Prepared transactions read nothing any more. Readers on a
    standby aren't seen from here.

    Args:
        work: The operation; its own sessions aren't waited for. None of them may have a transaction open.
        table: What was filled.
        since: A transaction's number, in 64 bits, read after the last row was filled
            (`catalog.standstill.next_transaction`); or the moment itself.
        consequence: What would become of such a reader, for the report.

    Raises:
        LockTimeoutError: ``policy.give_up_after`` is over; the text names who is waited for.

    Locks: none.
    """
    began, pause, told = time.monotonic(), _FIRST_LOOK, set[str]()
    then = since if isinstance(since, Moment) else moment(work, since)
    while waiting := _left(work, then):
        faults.point(f"{work.operation}: older snapshots")
        blockers = _described(work, waiting)
        waited = timedelta(seconds=time.monotonic() - began)
        if waited > work.policy.give_up_after:
            raise _gave_up(table, blockers, waited, consequence)
        _tell(blockers, told)
        time.sleep(pause)
        pause = min(1.5 * pause, _LAST_LOOK)
    work.waited_ms += (time.monotonic() - began) * 1000


def _left(work: Work, then: Moment) -> list[Reader]:
    """Give those that were there then, and who has taken over the snapshot of such a one."""
    found = work.observer.ask(
        lambda connection: readers.older(connection, then.since, ours=[work.observer.pid])
    )
    were = then.readers
    return [one for one in found if one.xid < then.running or one.xid <= were.get(one.transaction, -1)]


def _described(work: Work, waiting: Sequence[Reader]) -> list[Holder]:
    def ask(connection: Connection) -> list[Holder]:
        return locks.sessions(connection, [one.pid for one in waiting])

    there = {one.transaction for one in waiting}
    return [holder for holder in work.observer.ask(ask) if holder.transaction in there]


def _gave_up(table: Table, blockers: list[Holder], waited: timedelta, consequence: str) -> LockTimeoutError:
    return report.stalled(
        what=f"transactions that began to read before {table} was filled are open still, and {consequence}",
        blockers=blockers,
        waited=waited,
        cost=Cost(),
        left="Nothing was switched.",
    )


def _tell(blockers: Sequence[Holder], told: set[str]) -> None:
    for holder in blockers:
        if holder.transaction not in told:
            told.add(holder.transaction)
            logging.getLogger(__name__).info("waiting for an older snapshot: %s", report.described(holder))
