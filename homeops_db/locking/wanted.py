"""Which lock on which table a step needs, and how it is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import locks, tables
from homeops_db.catalog.tables import Table

_MARGIN: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """A lock on one table and, with it, on all its partitions. ``mode`` is in the words of LOCK TABLE."""

    table: Table
    mode: str
    oids: tuple[int, ...]


def wanted(connection: Connection, table: Table, mode: str = locks.ACCESS_EXCLUSIVE) -> Wanted:
    """Name the lock on a table that a step needs; partitions and children are locked with their parent."""
    return Wanted(table, mode, tuple(found.oid for found in tables.tree(connection, table.oid)))


def in_order(wants: Sequence[Wanted]) -> list[Wanted]:
    """Sort by schema and name: whoever takes several locks takes them in this one order."""
    return sorted(wants, key=lambda want: (want.table.schema, want.table.name))


def acquire(connection: Connection, wants: Sequence[Wanted], *, timeout: timedelta) -> None:
    """Take the locks inside the open transaction, each within ``timeout``, in their order."""
    limit(connection, timeout)
    for want in in_order(wants):
        _lock(connection, want, want.mode)


def make_autovacuum_yield(connection: Connection, wants: Sequence[Wanted]) -> None:
    """Take SHARE UPDATE EXCLUSIVE first: autovacuum yields to it, and no read or write waits behind it.

    An autovacuum worker is asked to yield by whoever has waited for it for deadlock_timeout. Waiting
    that long in ACCESS EXCLUSIVE would stop all traffic for a second
    (https://www.postgresql.org/docs/17/routine-vacuuming.html#AUTOVACUUM).
    """
    patience = timedelta(milliseconds=locks.deadlock_timeout_ms(connection)) + _MARGIN
    limit(connection, patience)
    for want in in_order(wants):
        _lock(connection, want, locks.SHARE_UPDATE_EXCLUSIVE)


def limit(connection: Connection, timeout: timedelta) -> None:
    """Set lock_timeout for the rest of the open transaction."""
    ms = max(1, round(timeout / timedelta(milliseconds=1)))
    connection.execute("select set_config('lock_timeout', %s, true)", (f"{ms}ms",))


def _lock(connection: Connection, want: Wanted, mode: str) -> None:
    name = sql.Identifier(want.table.schema, want.table.name)
    connection.execute(sql.SQL("LOCK TABLE {} IN " + mode + " MODE").format(name))
