"""Plain ``op`` revisions that meet a lock timeout: rolled back whole, and tried again by the same policy."""

from collections.abc import Callable
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationContext
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import DBAPIError

from homeops_db.catalog import tables
from homeops_db.locking import look, take
from homeops_db.locking import wanted as wanting
from homeops_db.locking.look import Patience
from homeops_db.locking.observer import Observer, observing
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost, Watch, watching

Migration = Callable[..., None]


def patient(
    migrate: Migration, context: MigrationContext, policy: Policy, record: Callable[[int, Cost], None]
) -> Migration:
    """Wrap a revision's upgrade or downgrade: on a lock timeout it is rolled back and run again.

    The first try asks straight away, because what it will ask for isn't known. Whatever it waited for
    is looked at before the next one, and waited for by looking. A revision that committed something by
    itself (``autocommit_block()``, an ``online`` operation) isn't run again here: its error ends the
    run, and the same command goes on.

    Args:
        migrate: The revision's own function.
        context: Alembic's, in the revision's transaction.
        policy: The limits of one try and of all.
        record: Is told how many tries it took and what they cost others, when it took more than one
            or cost anything.

    Returns:
        A function to call in its place. It raises LockTimeoutError when the policy's time is over.
    """

    def run(**arguments: Any) -> None:
        driver = driver_of(context)
        patience = Patience(policy)
        with observing(driver) as observer:
            wants: list[Wanted] = []
            while True:
                patience.tries += 1
                transaction = context._transaction  # noqa: SLF001 - as its autocommit_block() does
                with watching(observer, policy) as watch:
                    try:
                        migrate(**arguments)
                    except DBAPIError as error:
                        take.refuse_foreign_cancel(_lock_failure(error), watch)
                        if transaction is None or context._transaction is not transaction:  # noqa: SLF001
                            raise
                        _start_again(context)
                    else:
                        _record(patience, watch, record)
                        return
                wants = _learn(observer, wants, watch)
                take.after_failed_try(observer, wants, patience, watch)
                if look.until_clear(observer, wants, patience):
                    wanting.make_autovacuum_yield(driver, wants)
                    wanting.limit(driver, policy.lock_timeout)

    return run


def driver_of(context: MigrationContext) -> psycopg.Connection:
    """Give the psycopg connection that Alembic migrates on."""
    assert context.connection is not None
    driver = context.connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _lock_failure(error: DBAPIError) -> BaseException:
    """Give the driver's error where it is one that is tried again; raise any other."""
    if isinstance(error.orig, LockNotAvailable | DeadlockDetected | QueryCanceled):
        return error.orig
    raise error


def _start_again(context: MigrationContext) -> None:
    assert context._transaction is not None  # noqa: SLF001
    assert context.connection is not None
    context._transaction.rollback()  # noqa: SLF001
    context._transaction = context.connection.begin()  # noqa: SLF001


def _learn(observer: Observer, known: list[Wanted], watch: Watch) -> list[Wanted]:
    """Add the tables that this try waited for to those of earlier ones."""
    oids = {want.table.oid for want in known}
    found = [
        Wanted(table, request.lock, (table.oid,))
        for oid, request in watch.wanted.items()
        if oid not in oids
        for table in tables.tree(observer.connection, oid)[:1]
    ]
    return [*known, *found]


def _record(patience: Patience, watch: Watch, record: Callable[[int, Cost], None]) -> None:
    cost = patience.cost + watch.cost
    if patience.tries > 1 or cost.victims:
        record(patience.tries, cost)
