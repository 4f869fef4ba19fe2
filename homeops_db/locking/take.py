"""Does a short piece of work under strong locks: one transaction, tried again until it succeeds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from psycopg import Connection
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from homeops_db import faults
from homeops_db.catalog import locks
from homeops_db.catalog.locks import Holder
from homeops_db.locking import look
from homeops_db.locking import wanted as wanting
from homeops_db.locking.look import Patience
from homeops_db.locking.observer import Observer
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost, Watch, watching

T = TypeVar("T")


@dataclass(frozen=True)
class Taken(Generic[T]):
    """What came of it: the work's result, after how many tries and ms, and what that cost others."""

    result: T
    tries: int
    waited_ms: float
    cost: Cost


def take(
    connection: Connection,
    observer: Observer,
    wants: Sequence[Wanted],
    work: Callable[[Connection], T],
    *,
    policy: Policy,
    name: str = "transaction",
) -> Taken[T]:
    """Do ``work`` in a short transaction that holds the locks.

    Looks first and waits while somebody old holds a table; then asks for the locks, for
    ``policy.lock_timeout`` in all, in one fixed order. A try that fails by SQLSTATE 55P03 or 40P01, or
    that was broken off because too many waited behind it, is rolled back whole and repeated after a
    pause that grows, with jitter. (As strong_migrations and pgroll do; looking first, the watch and the
    way with autovacuum are ours.)

    Args:
        connection: In autocommit, outside a transaction.
        observer: The connection that looks and watches.
        wants: The locks. They are held from their grant to the commit.
        work: Must do nothing that it can't do again; everything in it is one transaction.
        policy: The limits.
        name: What the points of fault injection are called.

    Raises:
        LockTimeoutError: ``policy.give_up_after`` is over, or the wait can't end. Nothing was changed.
        psycopg.Error: Whatever else went wrong in ``work``, after its rollback.
    """
    patience = Patience(policy)
    while True:
        vacuumed = look.until_clear(observer, wants, patience)
        patience.tries += 1
        faults.point(f"{name}: before")
        done = False
        with watching(observer, policy) as watch:
            try:
                with connection.transaction(), watch.armed():
                    acquire(connection, observer, wants, vacuumed, policy.lock_timeout)
                    waited_ms = patience.waited / timedelta(milliseconds=1)
                    result = work(connection)
                    faults.point(f"{name}: inside")
            except (LockNotAvailable, DeadlockDetected, QueryCanceled) as error:
                refuse_foreign_cancel(error, watch)
            else:
                done = True
        if done:  # what the watch saw is read when its thread has ended
            faults.point(f"{name}: committed")
            return Taken(result, patience.tries, waited_ms, patience.cost + watch.cost)
        after_failed_try(observer, wants, patience, watch)


def acquire(
    connection: Connection,
    observer: Observer,
    wants: Sequence[Wanted],
    vacuumed: Sequence[Wanted],
    timeout: timedelta,
) -> None:
    """Take the locks inside the open transaction; autovacuum, where it is at work, yields first."""
    if vacuumed and not wanting.make_autovacuum_yield(connection, vacuumed, after=observer.deadlock_timeout):
        timeout = max(timeout, wanting.outlasting_autovacuum(observer.deadlock_timeout))
    wanting.acquire(connection, wants, timeout=timeout)


def refuse_foreign_cancel(error: BaseException, watch: Watch) -> None:
    """Raise a cancel again that wasn't ours: an administrator's, or a statement_timeout."""
    if isinstance(error, QueryCanceled) and not watch.broken_off:
        raise error


def after_failed_try(observer: Observer, wants: Sequence[Wanted], patience: Patience, watch: Watch) -> None:
    """Add up what the try cost and pause, or give up."""
    patience.learn(watch)
    patience.blockers = blockers(observer, watch)
    if patience.is_over:
        raise look.gave_up(wants, patience)
    time.sleep(patience.pause())


def blockers(observer: Observer, watch: Watch) -> list[Holder]:
    """Read who of those that a try waited for is still there, and by which lock."""

    def read(connection: Connection) -> list[Holder]:
        found = [
            holder
            for asked in watch.wanted.values()
            for holder in locks.holders(connection, [asked.relation], asked.lock, ours=observer.pid)
            if holder.pid in watch.blockers
        ]
        return found + locks.sessions(connection, sorted(watch.blockers), sorted(watch.row_xids))

    return observer.ask(read)
