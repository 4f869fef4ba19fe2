"""The steps of attaching a partition: checks that stand in for the scans, then one short transaction."""

import hashlib
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import constraints, locks, partitions, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, ViolationError
from homeops_db.locking.wanted import Wanted, alone, wanted
from homeops_db.online import attachment, check, subject, validation
from homeops_db.online.attachment import Attachment
from homeops_db.online.work import Work, lifted_timeouts

HELPER: Final = "homeops_attach"
"""Begins the names of the checks. None outlives the operation."""


def refuse_misplaced(connection: Connection, parent: Table, table: Table) -> bool:
    """Refuse a table that hangs elsewhere.

    Returns:
        Whether it is a partition of ``parent`` already.
    """
    places = partitions.places(connection, table.oid)
    for place in places:
        if place.parent_oid != parent.oid:
            raise ObjectError(
                f"{table} is below {place.parent} already. Nothing was changed. Detach it there first, with "
                "online.detach_partition()."
            )
        if place.is_pending:
            raise ObjectError(
                f"{table} is half detached from {parent}: a DETACH CONCURRENTLY was broken off. Nothing was "
                f"changed. Finish it first: ALTER TABLE {parent} DETACH PARTITION {table} FINALIZE."
            )
    if not table.is_partitioned and partitions.of_parent(connection, table.oid):
        raise ObjectError(
            f"Other tables inherit from {table}, and such a table can't be a partition. Nothing was changed. "
            "End the inheritance first: ALTER TABLE ... NO INHERIT."
        )
    return bool(places)


def refuse_other_bound(connection: Connection, table: Table, asked: Attachment) -> None:
    """Refuse a partition that is attached by another bound than the one asked for."""
    bound = partitions.bound(connection, table.oid)
    if bound != asked.bound:
        raise ObjectError(
            f"{table} is attached already, {bound}, and not {asked.bound}. Nothing was changed. Detach it "
            "first, with online.detach_partition()."
        )


def ensure(work: Work, parent: Table, table: Table, asked: Attachment, *, is_attached: bool) -> None:
    """Attach the table, unless it is; and let no check of ours stay."""
    beside = asked.default
    default = subject.table_of(work.connection, beside.name, beside.schema) if beside else None
    condition = attachment.condition(work.connection, parent, asked)
    checks: dict[Table, str] = {}
    if condition and not is_attached:
        checks[table] = _stand_in(work, table, condition)
    if default and asked.own and not is_attached:
        _refuse_strays(work, default, table, asked)
        checks[default] = _stand_in_default(work, default, table, asked)
    for holder in (table, default):
        if holder is not None:
            _drop_leftovers(work, holder, keep=checks.get(holder))
    if not is_attached:
        name, partition = (sql.Identifier(each.schema, each.name) for each in (parent, table))
        attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} ").format(name, partition)
        drops = [_drop(holder, check) for holder, check in checks.items()]
        wants = _wants(work.connection, parent, table, default)
        work.execute(wants, attach + sql.SQL(asked.bound), *drops, step="attach")


def _stand_in(work: Work, table: Table, condition: str) -> str:
    """Have a validated check on the table that says what the scan would find."""
    name = f"{HELPER}_{hashlib.sha256(condition.encode()).hexdigest()[:8]}"
    check.ensure_not_valid(work, table, name, condition)
    validation.validate(work, table, name)
    return name


def _stand_in_default(work: Work, default: Table, table: Table, asked: Attachment) -> str:
    try:
        return _stand_in(work, default, f"NOT ({asked.own})")
    except ViolationError:
        # Rows came in between. Left in place, the check would go on to refuse more of them.
        _drop_leftovers(work, default, keep=None)
        _refuse_strays(work, default, table, asked)
        raise


def _refuse_strays(work: Work, default: Table, table: Table, asked: Attachment) -> None:
    """Refuse before anything is changed where the DEFAULT partition has rows of the new bound."""
    find = sql.SQL("FROM {} WHERE {}").format(
        sql.Identifier(default.schema, default.name), sql.SQL(asked.own or "false")
    )
    with lifted_timeouts(work.connection), work.connection.transaction():
        # An error is better than a count of the rows that a policy lets us see.
        work.connection.execute("SET LOCAL row_security = off")
        row = work.connection.execute(sql.SQL("SELECT count(*) ") + find).fetchone()
    assert row is not None
    if row[0]:
        raise ViolationError(
            f"{row[0]} row{'s' if row[0] > 1 else ''} of the DEFAULT partition {default} belong to {table} "
            f"{asked.bound}. It wasn't attached. Move them to {table}, then run the same command again. To "
            f"find them: {(sql.SQL('SELECT * ') + find).as_string()}"
        )


def _drop_leftovers(work: Work, table: Table, *, keep: str | None) -> None:
    """Drop the checks of runs that broke off and were then given up, or asked for another bound."""
    for found in constraints.of_table(work.connection, table.oid):
        if found.name.startswith(f"{HELPER}_") and found.name != keep and not found.is_inherited:
            work.execute([wanted(work.connection, table)], _drop(table, found.name), step="drop leftover")


def _drop(table: Table, name: str) -> sql.Composed:
    drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
    return drop.format(sql.Identifier(table.schema, table.name), sql.Identifier(name))


def _wants(connection: Connection, parent: Table, table: Table, default: Table | None) -> list[Wanted]:
    """Name every lock of ATTACH, the stronger one where a table is wanted twice."""
    wants = {
        key.table_oid: wanted(connection, _of(connection, key.table_oid), locks.SHARE_ROW_EXCLUSIVE)
        for key in partitions.references(connection, parent.oid)
    }
    wants[parent.oid] = alone(parent, locks.SHARE_UPDATE_EXCLUSIVE)
    # The triggers of the partition's own keys go, those of the parent's serve: ACCESS EXCLUSIVE there too.
    for key in partitions.foreign_keys(connection, table.oid):
        wants[key.referent_oid] = wanted(connection, _of(connection, key.referent_oid))
    for strongly in (table, default):
        if strongly is not None:
            wants[strongly.oid] = wanted(connection, strongly)
    return list(wants.values())


def _of(connection: Connection, oid: int) -> Table:
    return tables.tree(connection, oid)[0]
