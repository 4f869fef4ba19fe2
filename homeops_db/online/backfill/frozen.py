"""Keeps a table without a key as it is while its rows are copied: so its pages tell what is done."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from homeops_db.catalog import locks, standstill, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, OnlineError
from homeops_db.locking import look, take
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online.backfill import session
from homeops_db.online.backfill.job import relation
from homeops_db.online.work import Work

_PING: Final = "select 1"
_XIDS: Final = 1 << 32

# age() is how many transactions ago; rows keep the number of who wrote them, also when VACUUM froze them.
_WRITTEN: Final = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {} t WHERE age(t.xmin) <= age({}::text::xid))")


@dataclass(frozen=True)
class Moment:
    """When a table was kept from being written to.

    Attributes:
        transaction: The number of the first one that may have written since.
        files: The files of the table and of its partitions, by their oids.
    """

    transaction: int
    files: Mapping[int, int]

    def as_json(self) -> dict[str, Any]:
        """Give what a later run needs to see whether anything has changed since."""
        return {
            "transaction": self.transaction,
            "files": {str(oid): file for oid, file in self.files.items()},
        }


def from_json(given: Mapping[str, Any]) -> Moment:
    """Read what was stored."""
    return Moment(given["transaction"], {int(oid): file for oid, file in given["files"].items()})


@dataclass
class Frozen:
    """A table that nobody writes to.

    Attributes:
        work: The operation.
        table: The table.
        since: From when on; a run that goes on sets it to when the first one began.
    """

    work: Work
    table: Table
    since: Moment
    _connection: Connection

    def was_changed(self, since: Moment) -> bool:
        """Read whether rows were written, or moved, since a moment. Reads every row, if need be."""
        files = standstill.files(self._connection, list(since.files))
        if any(file != since.files[oid] for oid, file in files.items()):
            return True
        return any(self._was_written(leaf, since) for leaf in _leaves(self.work, self.table))

    def prove(self) -> None:
        """Make sure that nobody has written to the table until now. A lock that was lost is taken again.

        Raises:
            OnlineError: The lock was lost, and somebody has.
            LockTimeoutError: It isn't to be had again.
        """
        with suppress(psycopg.OperationalError):
            self._connection.execute(_PING)
        if not self._connection.closed:
            return
        self._connection = _locked(self.work, self.table)
        if self.was_changed(self.since):
            raise OnlineError(
                f"The lock that kept {self.table} as it is was lost, and rows of it were written meanwhile: "
                "nobody can tell which ones are copied. What was copied stays. Run the same command again: "
                "it says what to do."
            )

    def close(self) -> None:
        """Let writers in."""
        self._connection.close()

    def _was_written(self, leaf: Table, since: Moment) -> bool:
        query = _WRITTEN.format(relation(leaf), str(since.transaction % _XIDS))
        row = self._connection.execute(query).fetchone()
        return row is not None and bool(row[0])


@contextmanager
def frozen(work: Work, table: Table) -> Iterator[Frozen]:
    """Hold SHARE on a table for the block: reads go on, and nobody writes to it.

    The transaction that holds it has no snapshot and no number: it keeps no dead row anywhere.

    Raises:
        ObjectError: Our role may not lock it.
        LockTimeoutError: The lock wasn't to be had.
    """
    connection = _locked(work, table)
    files = standstill.files(connection, [leaf.oid for leaf in _leaves(work, table)])
    kept = Frozen(work, table, Moment(standstill.next_transaction(connection), files), connection)
    try:
        yield kept
    finally:
        kept.close()


def _locked(work: Work, table: Table) -> Connection:
    """Open a connection with a transaction that holds the lock."""
    want = wanted(work.connection, table, locks.SHARE)
    if not want.may_lock:
        raise ObjectError(
            f"{table} has no unique key without nulls, so it must be kept as it is while its rows are "
            "copied, and our role may not lock it. Nothing was changed. Give it a primary key, or "
            "GRANT UPDATE on it."
        )
    connection = session.like(work.connection).open(lock_timeout=work.policy.lock_timeout)
    try:
        _acquire(work, connection, want)
    except BaseException:
        connection.close()
        raise
    return connection


def _acquire(work: Work, connection: Connection, want: Wanted) -> None:
    patience = Patience(work.policy)
    while True:
        vacuumed = look.until_clear(work.observer, [want], patience)
        patience.tries += 1
        connection.execute("BEGIN")
        try:
            take.acquire(connection, work.observer, [want], vacuumed, work.policy.lock_timeout)
        except (LockNotAvailable, DeadlockDetected):
            connection.execute("ROLLBACK")
            if patience.is_over:
                raise look.gave_up([want], patience) from None
        else:
            return


def _leaves(work: Work, table: Table) -> Sequence[Table]:
    return [part for part in tables.tree(work.connection, table.oid) if not part.is_partitioned]
