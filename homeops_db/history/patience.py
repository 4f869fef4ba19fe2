"""Plain ``op`` revisions that meet a lock timeout: rolled back whole, and tried again by the same policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationContext
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from sqlalchemy.engine import Transaction
from sqlalchemy.exc import DBAPIError

from homeops_db import database
from homeops_db.catalog import locks, relations, tables
from homeops_db.errors import DatabaseError, LockTimeoutError
from homeops_db.locking import look, report, take
from homeops_db.locking import wanted as wanting
from homeops_db.locking.look import Patience
from homeops_db.locking.observer import Observer, observing
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost, Watch, watching
from homeops_db.naming import LEDGER_SCHEMA

Migration = Callable[..., None]
Record = Callable[[int, Cost], None]


def patient(migrate: Migration, context: MigrationContext, policy: Policy, record: Record) -> Migration:
    """Wrap a revision's upgrade or downgrade: on a lock timeout it is rolled back and run again.

    The first try asks straight away, because what it will ask for isn't known. Whatever it waited for
    is looked at before the next one, and waited for by looking. A revision that committed something by
    itself (``autocommit_block()``, an ``online`` operation) isn't run again here: its error ends the
    run, and the same command goes on.

    Args:
        migrate: The revision's own function.
        context: Alembic's, in the revision's transaction.
        policy: The limits of one try and of all; the time of all is counted from the first that failed.
        record: Is told how many tries it took and what they cost others, when it took more than one
            or cost anything.

    Returns:
        A function to call in its place. It raises LockTimeoutError when the policy's time is over.
    """

    @wraps(migrate)  # Alembic says what it runs by the function's name
    def run(**arguments: Any) -> None:
        driver = driver_of(context)
        with observing(driver) as observer:
            tries = _Tries(context, driver, observer, Patience(policy))
            try:
                while not tries.succeeds(lambda: migrate(**arguments)):
                    tries.wait()
            except LockTimeoutError:
                tries.record(record)
                raise
            tries.record(record)

    return run


def driver_of(context: MigrationContext) -> psycopg.Connection:
    """Give the psycopg connection that Alembic migrates on.

    Raises:
        DatabaseError: A program handed over a connection of another driver.
    """
    assert context.connection is not None
    driver = context.connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise DatabaseError(
            f"Alembic was handed a connection of {type(driver).__module__}: revisions need psycopg 3. "
            "Nothing was changed. Make the engine from a URL that begins with postgresql+psycopg://"
        )
    return driver


@dataclass
class _Tries:
    """The tries of one revision, and what they have learned."""

    context: MigrationContext
    driver: psycopg.Connection
    observer: Observer
    patience: Patience
    wants: list[Wanted] = field(default_factory=list)
    vacuumed: Sequence[Wanted] = ()
    watch: Watch | None = None

    def succeeds(self, migrate: Callable[[], None]) -> bool:
        """Try once; False after a lock timeout or a deadlock, when everything is rolled back."""
        self.patience.tries += 1
        transaction = self.context._transaction  # noqa: SLF001 - as its autocommit_block() does
        failure: Exception | None = None
        with watching(self.observer, self.patience.policy) as watch:
            try:
                with watch.armed():
                    self._set_limits()
                    if self.patience.tries > 1:
                        self._make_version_table()
                    migrate()
            except (DBAPIError, psycopg.Error) as error:
                take.refuse_foreign_cancel(_lock_failure(error), watch)
                failure = error
        self.watch = watch  # read when its thread has ended
        if failure is None:
            self.patience.cost += watch.cost
            self._give_ledger_time()
            return True
        if not self._is_whole(transaction):
            raise self._not_again(watch) from failure
        self._start_again()
        return False

    def wait(self) -> None:
        """Pause, and look until what the try waited for is to be had."""
        assert self.watch is not None
        if self.patience.tries == 1:
            self.patience.begin()
        self._learn(self.watch)
        take.after_failed_try(self.observer, self.wants, self.patience, self.watch)
        self.vacuumed = look.until_clear(self.observer, self.wants, self.patience)

    def _set_limits(self) -> None:
        """A connection that a program handed over has limits of its own, or none."""
        if self.driver.autocommit:
            return
        timeout = self.patience.policy.lock_timeout
        after = self.observer.deadlock_timeout
        if self.vacuumed and not wanting.make_autovacuum_yield(self.driver, self.vacuumed, after=after):
            timeout = max(timeout, wanting.outlasting_autovacuum(after))
        wanting.limit(self.driver, timeout)

    def _give_ledger_time(self) -> None:
        """The rows of version and ledger are written in this transaction too, and are not tried again."""
        if not self.driver.autocommit:
            wanting.limit(self.driver, database.LOCK_TIMEOUT)

    def _make_version_table(self) -> None:
        """Alembic makes it in the first revision's transaction: a rollback took it away."""
        name = f"{LEDGER_SCHEMA}.{self.context.version_table}"
        if not self.observer.ask(lambda connection: relations.exists(connection, name)):
            self.context._ensure_version_table()  # noqa: SLF001

    def _is_whole(self, transaction: Transaction | None) -> bool:
        """Whether the transaction that the try began in is still open: nothing of it is committed."""
        return transaction is not None and transaction.is_active and not self.driver.autocommit

    def _start_again(self) -> None:
        assert self.context._transaction is not None  # noqa: SLF001
        assert self.context.connection is not None
        self.context._transaction.rollback()  # noqa: SLF001
        self.context._transaction = self.context.connection.begin()  # noqa: SLF001

    def _learn(self, watch: Watch) -> None:
        """Add the tables that this try waited for to those of earlier ones; the strongest lock counts."""
        known = {want.table.oid: want for want in self.wants}
        for oid, request in watch.wanted.items():
            if oid in known and not locks.is_stronger(request.lock, known[oid].mode):
                continue
            for table in tables.tree(self.driver, oid)[:1]:
                may_lock = locks.may_lock(self.driver, oid, request.lock)
                known[oid] = Wanted(table, request.lock, (oid,), may_lock)
        self.driver.rollback()  # no snapshot, no transaction while it waits
        self.wants = list(known.values())

    def _not_again(self, watch: Watch) -> LockTimeoutError:
        self.patience.learn(watch)
        asked = [f"{request.lock} on {request.object}" for request in watch.wanted.values()]
        return report.not_again(
            what=look.what(asked, watch.rows),
            blockers=take.blockers(self.observer, watch),
            cost=watch.cost,
            policy=self.patience.policy,
        )

    def record(self, record: Record) -> None:
        """Record what is worth it: more than one try, or a cost."""
        if self.patience.tries > 1 or self.patience.cost.victims:
            record(self.patience.tries, self.patience.cost)


def _lock_failure(error: DBAPIError | psycopg.Error) -> BaseException:
    """Give the driver's error where it is one that is tried again; raise any other."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, LockNotAvailable | DeadlockDetected | QueryCanceled):
        return cause
    raise error
