"""What attaching a partition means, asked of the server on empty clones before anything is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import DataError, InsufficientPrivilege, NotSupportedError, ProgrammingError

from homeops_db.catalog import indexes, partitions, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.partitions import Partition
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking.wanted import alone
from homeops_db.online import lacking
from homeops_db.online.work import Work

_PARENT: Final = "homeops_parent"
_PARTITION: Final = "homeops_partition"


@dataclass(frozen=True)
class Attachment:
    """What the server makes of a bound.

    Attributes:
        bound: As the server writes it.
        own: What the rows of such a partition fulfil; None when that is anything.
        default: The parent's default partition, if there is one: its rows must not fulfil ``own``.
    """

    bound: str
    own: str | None
    default: Partition | None


def understood(work: Work, parent: Table, partition: Table, bound: str) -> Attachment:
    """Attach an empty clone of the table to an empty clone of the parent, and leave nothing of it.

    So the server itself reads the bound, refuses what doesn't fit or overlaps, and shows whether our
    checks spare it the scan and which indexes it would build. Of a table that is attached already only
    the bound is read. Takes ACCESS SHARE on both tables for some milliseconds, and one more for each
    partition that the parent has.

    Raises:
        ObjectError: The table doesn't fit the parent, or the bound is malformed or overlaps.
        UnsafeError: Attaching would build an index, or scan in spite of the checks.
    """

    def look(connection: Connection) -> tuple[Attachment, list[Index]]:
        siblings = partitions.of_parent(connection, parent.oid)
        others = [other for other in siblings if other.oid != partition.oid]
        is_attached = len(others) < len(siblings)
        with connection.transaction(force_rollback=True):
            built = [] if is_attached else _built(connection, parent, partition, bound)
        with connection.transaction(force_rollback=True):
            clone = _clone(connection, parent, _PARENT, like="", divided=True)
            _clone_bounds(connection, others)
            attachment = _read(connection, others, bound)
            if not is_attached:
                _prove_unscanned(connection, clone, partition, attachment)
        # What a hash partition's rows fulfil names its parent by number.
        own = attachment.own and attachment.own.replace(f"'{clone}'::oid", f"'{parent.oid}'::oid")
        return Attachment(attachment.bound, own, attachment.default), built

    wants = [alone(table, "ACCESS SHARE") for table in (parent, partition)]
    try:
        attachment, built = work.under_locks(wants, look, step="look", changes=False)
    except InsufficientPrivilege:
        raise  # to make temporary tables: that says nothing of the bound
    except (ProgrammingError, NotSupportedError, DataError) as error:
        said = (error.diag.message_primary or "").replace(_PARENT, parent.name)
        raise ObjectError(
            f"{partition} can't be made a partition of {parent} {bound}: "
            f"{said.replace(_PARTITION, partition.name)}. Nothing was changed. Check the bound, and that "
            "both tables have the same columns, NOT NULLs and CHECKs."
        ) from None
    missing = lacking.of_partition(work.connection, parent, partition, built)
    if missing:
        raise UnsafeError(
            f"{partition} lacks what its parent {parent} has, and attaching would make it while nobody may "
            f"use the table: {'; '.join(missing)}. Nothing was changed. Write these operations on "
            f"{partition} before this one."
        )
    return attachment


def condition(connection: Connection, parent: Table, attachment: Attachment) -> str | None:
    """Say what the partition's rows must fulfil: by its own bound, and by those above its parent."""
    parts = (partitions.condition(connection, parent.oid), attachment.own)
    return " AND ".join(f"({part})" for part in parts if part) or None


def _clone(connection: Connection, table: Table, name: str, *, like: str, divided: bool = False) -> int:
    key = f" PARTITION BY {partitions.key(connection, table.oid)}" if divided else ""
    original = sql.Identifier(table.schema, table.name).as_string()
    _send(connection, f"CREATE TEMPORARY TABLE {_temporary(name)} (LIKE {original} {like}){key}")
    return _oid(connection, name)


def _clone_bounds(connection: Connection, others: Sequence[Partition]) -> None:
    """Make the other partitions, under their own names: an error tells which one is overlapped."""
    taken = {_PARENT, _PARTITION}
    for number, other in enumerate(others):
        name = f"{_PARTITION}_{number}" if other.name in taken else other.name
        taken.add(name)
        _make_partition(connection, name, other.bound)


def _read(connection: Connection, others: Sequence[Partition], bound: str) -> Attachment:
    default = next((other for other in others if other.is_default), None)
    with connection.transaction(force_rollback=True):
        new = _make_partition(connection, _PARTITION, bound)
        return Attachment(partitions.bound(connection, new), partitions.condition(connection, new), default)


def _prove_unscanned(connection: Connection, clone: int, partition: Table, attachment: Attachment) -> None:
    """Attach with the checks in place, and count the scans of that: on the tables in use there is none."""
    watched = [_clone(connection, partition, _PARTITION, like="")]
    if attachment.own:
        _send(connection, f"ALTER TABLE {_temporary(_PARTITION)} ADD CHECK ({attachment.own})")
        for other in partitions.of_parent(connection, clone):
            if other.is_default:
                watched.append(other.oid)
                _send(connection, f"ALTER TABLE {_temporary(other.name)} ADD CHECK (NOT ({attachment.own}))")
    before = [partitions.scans(connection, oid) for oid in watched]
    _attach(connection, attachment.bound)
    if before != [partitions.scans(connection, oid) for oid in watched]:
        raise UnsafeError(
            f"The server would scan {partition} while nobody may use it: no CHECK convinces it that all rows "
            f"are within {attachment.bound}. Nothing was changed. Attach it in a maintenance window, with "
            "op.execute()."
        )


def _built(connection: Connection, parent: Table, partition: Table, bound: str) -> list[Index]:
    """Attach with all indexes in place, and see which ones are new."""
    whole = "INCLUDING ALL EXCLUDING STATISTICS EXCLUDING COMMENTS"
    _clone(connection, parent, _PARENT, like=whole, divided=True)
    new = _clone(connection, partition, _PARTITION, like=whole)
    before = {index.oid for index in indexes.of_table(connection, new)}
    _attach(connection, bound)
    return [index for index in indexes.of_table(connection, new) if index.oid not in before]


def _attach(connection: Connection, bound: str) -> None:
    _send(connection, f"ALTER TABLE {_temporary(_PARENT)} ATTACH PARTITION {_temporary(_PARTITION)} {bound}")


def _make_partition(connection: Connection, name: str, bound: str) -> int:
    _send(connection, f"CREATE TEMPORARY TABLE {_temporary(name)} PARTITION OF {_temporary(_PARENT)} {bound}")
    return _oid(connection, name)


def _temporary(name: str) -> str:
    return sql.Identifier("pg_temp", name).as_string()


def _send(connection: Connection, statement: str) -> None:
    connection.execute(statement.encode())


def _oid(connection: Connection, name: str) -> int:
    found = tables.table(connection, name, "pg_temp")
    assert found is not None
    return found.oid
