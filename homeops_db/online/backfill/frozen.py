"""Keeps a table without a key as it is while its rows are copied: so its pages tell what is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from homeops_db.catalog import locks
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, OnlineError
from homeops_db.locking import look, take
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import wanted
from homeops_db.online.backfill import session
from homeops_db.online.work import Work

_PING: Final = "select 1"


@contextmanager
def frozen(work: Work, table: Table) -> Iterator[None]:
    """Hold SHARE on a table for the block: reads go on, and nobody writes to it.

    The transaction that holds it has no snapshot and no number: it keeps no dead row anywhere.

    Raises:
        LockTimeoutError: The lock wasn't to be had.
        OnlineError: It was lost on the way.
    """
    want = wanted(work.connection, table, locks.SHARE)
    if not want.may_lock:
        raise ObjectError(
            f"{table} has no unique key without nulls, so it must be kept as it is while its rows are "
            "copied, and our role may not lock it. Nothing was changed. Give it a primary key, or "
            "GRANT UPDATE on it."
        )
    patience = Patience(work.policy)
    connection = session.like(work.connection).open(lock_timeout=work.policy.lock_timeout)
    with connection:
        while True:
            vacuumed = look.until_clear(work.observer, [want], patience)
            patience.tries += 1
            connection.execute("BEGIN")
            try:
                take.acquire(connection, work.observer, [want], vacuumed, work.policy.lock_timeout)
                break
            except psycopg.errors.LockNotAvailable:
                connection.execute("ROLLBACK")
                if patience.is_over:
                    raise look.gave_up([want], patience) from None
        yield
        try:
            connection.execute(_PING)
        except psycopg.OperationalError as error:
            raise OnlineError(
                f"The lock that kept {table} as it is was lost: rows that were written to it meanwhile may "
                "be missing. What was copied stays. Compare the two tables, or empty the target and run the "
                "same command again."
            ) from error
