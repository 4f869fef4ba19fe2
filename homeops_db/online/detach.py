"""The steps of detaching a partition: concurrently, or under the lock where a DEFAULT one forbids that."""

import json
from collections.abc import Sequence
from datetime import timedelta

from psycopg import Connection, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from homeops_db import faults
from homeops_db.catalog import constraints, locks, partitions, tables
from homeops_db.catalog.partitions import Partition
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking import look, take
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import Wanted, alone, wanted
from homeops_db.locking.watch import watching
from homeops_db.online.work import Work, lifted_timeouts


def ensure(work: Work, parent: Table, table: Table) -> None:
    """Detach the table, or finish what a run that broke off left."""
    siblings = partitions.of_parent(work.connection, parent.oid)
    place = next((sibling for sibling in siblings if sibling.oid == table.oid), None)
    had: list[str] | None = None
    if place is None and not work.began_before():
        raise ObjectError(
            f"{table} is no partition of {parent}. Nothing was changed. Check the names in the revision."
        )
    if place is not None and not place.is_pending:
        _refuse_unsafe(work.connection, parent, table, siblings)
        had = _checks(work.connection, table)
        work.announce(checks=json.dumps(had))
        _detach(work, parent, table, siblings)
    if _is_pending(work.connection, table):
        wants = _wants(work.connection, alone(parent, locks.SHARE_UPDATE_EXCLUSIVE), table)
        work.execute(wants, _statement(parent, table, "FINALIZE"), step="finalize")
    _drop_left_check(work, table, had)


def _refuse_unsafe(
    connection: Connection, parent: Table, table: Table, siblings: Sequence[Partition]
) -> None:
    keys = [f"{key.name} of {key.table}" for key in partitions.references(connection, parent.oid)]
    if keys:
        raise UnsafeError(
            f"{', '.join(keys)} refer to {parent}: the server would look through the referring tables while "
            f"nobody may write to them. Nothing was changed. Drop the foreign keys first, with "
            f"online.drop_constraint(), and create them again after it: {table} mustn't be referred to then."
        )
    for sibling in siblings:
        if sibling.is_pending:
            raise ObjectError(
                f"{sibling} is half detached from {parent}, and the server detaches one at a time. Nothing "
                f"was changed. Finish it first: ALTER TABLE {parent} DETACH PARTITION {sibling} FINALIZE."
            )


def _detach(work: Work, parent: Table, table: Table, siblings: Sequence[Partition]) -> None:
    if not any(sibling.is_default for sibling in siblings):
        _concurrently(work, parent, table)
        return
    # With all its partitions, parents first: as the traffic does, or the two would wait for each other.
    wants = _wants(work.connection, wanted(work.connection, parent), table)
    work.execute(wants, _statement(parent, table), step="detach")


def _concurrently(work: Work, parent: Table, table: Table) -> None:
    """Detach while reads and writes go on; a try that is broken off leaves it half detached, or nothing.

    First it waits, holding nothing, for whoever uses the parent: as long as our patience lasts. Its last
    lock stops those who use the table directly: so it is watched.
    """
    patience = Patience(work.policy)
    wants = [alone(parent, locks.ACCESS_EXCLUSIVE)]
    while True:
        look.until_clear(work.observer, wants, patience)
        patience.tries += 1
        faults.point(f"{work.operation}: detach: before")
        with watching(work.observer, work.policy) as watch:
            try:
                with lifted_timeouts(work.connection), watch.armed():
                    limit = sql.Literal(f"{max(1, round(patience.left * 1000))}ms")
                    work.connection.execute(sql.SQL("SET lock_timeout = {}").format(limit))
                    work.connection.execute(_statement(parent, table, "CONCURRENTLY"))
            except (QueryCanceled, LockNotAvailable, DeadlockDetected) as error:
                take.refuse_foreign_cancel(error, watch)
        work.tries, work.cost = work.tries + 1, work.cost + watch.cost
        faults.point(f"{work.operation}: detach: done")
        if not partitions.places(work.connection, table.oid) or _is_pending(work.connection, table):
            work.changed = True
            work.waited_ms += patience.waited / timedelta(milliseconds=1)
            return
        take.after_failed_try(work.observer, wants, patience, watch)


def _drop_left_check(work: Work, table: Table, had: Sequence[str] | None) -> None:
    """Drop the CHECK that DETACH CONCURRENTLY left.

    Args:
        work: The operation.
        table: Detached by now.
        had: Its CHECKs as they were before; None where only the ledger knows.
    """
    names = _checks(work.connection, table)
    for name in names:
        others = [other for other in names if other != name]
        if others == had or (had is None and work.began_before(checks=json.dumps(others))):
            drop = _alter(table, sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(name)))
            work.execute([wanted(work.connection, table)], drop, step="drop check")


def _wants(connection: Connection, parent: Wanted, table: Table) -> list[Wanted]:
    """Name the locks: the parent's, the partition's, and those of what its foreign keys refer to."""
    wants = {
        key.referent_oid: wanted(
            connection, tables.tree(connection, key.referent_oid)[0], locks.SHARE_ROW_EXCLUSIVE
        )
        for key in partitions.foreign_keys(connection, table.oid)
    }
    wants[parent.table.oid] = parent
    if table.oid not in parent.oids:
        wants[table.oid] = wanted(connection, table)
    return list(wants.values())


def _is_pending(connection: Connection, table: Table) -> bool:
    return any(place.is_pending for place in partitions.places(connection, table.oid))


def _checks(connection: Connection, table: Table) -> list[str]:
    found = constraints.of_table(connection, table.oid)
    return [each.name for each in found if each.kind == constraints.CHECK]


def _statement(parent: Table, table: Table, how: str = "") -> sql.Composed:
    partition = sql.Identifier(table.schema, table.name)
    return _alter(parent, sql.SQL("DETACH PARTITION {} " + how).format(partition))


def _alter(table: Table, action: sql.Composable) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} ").format(sql.Identifier(table.schema, table.name)) + action
