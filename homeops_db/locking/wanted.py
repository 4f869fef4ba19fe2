"""Which lock on which table a step needs, and how it is taken."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable, QueryCanceled

from homeops_db.catalog import locks, tables
from homeops_db.catalog.tables import Table

_MARGIN: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """A lock on one table and, with it, on all its partitions. ``mode`` is in the words of LOCK TABLE.

    ``may_lock`` is False where LOCK TABLE would be refused (a materialized view; an owner that took
    UPDATE, DELETE and TRUNCATE from itself): the step's own statement then takes the lock.
    """

    table: Table
    mode: str
    oids: tuple[int, ...]
    may_lock: bool = True

    def __str__(self) -> str:
        return f"{self.mode} on {self.table}"


def wanted(connection: Connection, table: Table, mode: str = locks.ACCESS_EXCLUSIVE) -> Wanted:
    """Name the lock on a table that a step needs; partitions and children are locked with their parent."""
    oids = tuple(found.oid for found in tables.tree(connection, table.oid))
    return Wanted(table, mode, oids, locks.may_lock(connection, table.oid, mode))


def alone(table: Table, mode: str) -> Wanted:
    """Name the lock on one table alone; the step's statement takes it: LOCK TABLE takes partitions too."""
    return Wanted(table, mode, (table.oid,), may_lock=False)


def in_order(wants: Sequence[Wanted]) -> list[Wanted]:
    """Sort by schema and name: whoever takes several locks takes them in this one order."""
    return sorted(wants, key=lambda want: (want.table.schema, want.table.name))


def acquire(connection: Connection, wants: Sequence[Wanted], *, timeout: timedelta) -> None:
    """Take the locks inside the open transaction, in their order, all of them within ``timeout``.

    The server's lock_timeout is for one lock: a table with a hundred partitions could stall the traffic
    a hundred times as long. So each lock has what the ones before it left, and each tree a
    statement_timeout too.

    Raises:
        LockNotAvailable: The time is over.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    for want in in_order(wants):
        if not want.may_lock:
            continue
        left = timedelta(seconds=deadline - time.monotonic())
        limit(connection, left)
        if len(want.oids) == 1:
            _lock(connection, want, want.mode)
        else:
            _lock_tree(connection, want, left)
    limit(connection, timeout)  # for what the work itself asks for


def make_autovacuum_yield(connection: Connection, wants: Sequence[Wanted], *, after: timedelta) -> bool:
    """Take SHARE UPDATE EXCLUSIVE first: autovacuum yields to it, and no read or write waits behind it.

    An autovacuum worker is asked to yield by whoever has waited for it for deadlock_timeout. Waiting
    that long in ACCESS EXCLUSIVE would stop all traffic for a second
    (https://www.postgresql.org/docs/17/routine-vacuuming.html#AUTOVACUUM).

    Args:
        connection: In a transaction, which holds the lock to its end.
        wants: The tables that autovacuum works on.
        after: deadlock_timeout.

    Returns:
        False if a relation among them can't be locked like this (a materialized view, a TOAST table):
        then the strong lock itself must be awaited for longer than ``after``.
    """
    limit(connection, outlasting_autovacuum(after))
    with _statement_timeout(connection, "0"):
        for want in in_order(wants):
            if want.may_lock:
                _lock(connection, want, locks.SHARE_UPDATE_EXCLUSIVE)
    return all(want.may_lock for want in wants)


def outlasting_autovacuum(after: timedelta) -> timedelta:
    """A lock_timeout within which an autovacuum is asked to yield, ``after`` being deadlock_timeout."""
    return after + _MARGIN


def limit(connection: Connection, timeout: timedelta) -> None:
    """Set lock_timeout for the rest of the open transaction.

    By SET, which takes no snapshot: a revision may still choose its isolation level.
    """
    ms = max(1, round(timeout / timedelta(milliseconds=1)))
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{ms}ms")))


def _lock_tree(connection: Connection, want: Wanted, left: timedelta) -> None:
    """Lock a table with all its partitions within the time that is left for them together."""
    began = time.monotonic()
    ms = max(1, round(left / timedelta(milliseconds=1)))
    try:
        with _statement_timeout(connection, f"{ms}ms"):
            _lock(connection, want, want.mode)
    except QueryCanceled as error:
        if time.monotonic() - began < ms / 1000:
            raise  # somebody else's cancel
        raise LockNotAvailable(*error.args) from error


@contextmanager
def _statement_timeout(connection: Connection, timeout: str) -> Iterator[None]:
    """Set statement_timeout for the block; after an error, the rollback sets it back."""
    row = connection.execute("SHOW statement_timeout").fetchone()
    assert row is not None
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(timeout)))
    yield
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(row[0])))


def _lock(connection: Connection, want: Wanted, mode: str) -> None:
    name = sql.Identifier(want.table.schema, want.table.name)
    connection.execute(sql.SQL("LOCK TABLE {} IN " + mode + " MODE").format(name))
