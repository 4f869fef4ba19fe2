"""What a change of a table does to it: tried out on an empty clone, and measured.

The server decides whether it rewrites, scans or builds an index anew by what the table is, not by what
is in it; so an empty table shows it, in some milliseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError, TooManyColumns

from homeops_db.catalog import columns, constraints, dependents, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.errors import UnsafeError
from homeops_db.online import constraint, subject
from homeops_db.online.work import Work

T = TypeVar("T")

Change = Callable[[str, str | None], Sequence[str]]
"""Writes statements for a table of this name and schema; without a schema, the name stands alone."""


@dataclass(frozen=True)
class Effect:
    """What a change does.

    Attributes:
        rewrites: The table gets a new file.
        rebuilt: Indexes that are built anew, by their names on the clone.
        scans: The table is read through.
        column: The column as it is afterwards.
    """

    rewrites: bool
    rebuilt: Sequence[str]
    scans: bool
    column: Column

    @property
    def hurts(self) -> str | None:
        """What the traffic would wait for; None for a change that takes no longer on a big table."""
        if self.rewrites:
            return "rewrites the whole table"
        if self.rebuilt:
            return f"builds {len(self.rebuilt)} of its indexes anew"
        return "reads the whole table" if self.scans else None


def effect(work: Work, table: Table, column: str, change: Change, *, anew: bool = False) -> Effect:
    """Try a change of a column out on an empty clone of the table.

    Args:
        work: The operation.
        table: The table; its children may differ, and are asked for themselves.
        column: The column's name.
        change: Writes the statements.
        anew: The column is there already, and ``change`` shall add it as if it weren't.

    Raises:
        ObjectError: The server refuses the change, whatever is in the table.
        UnsafeError: The server doesn't count scans.
    """

    def ask(connection: Connection, clone: str) -> Effect:
        oid = _oid(connection, clone)
        _forget(connection, table, clone, column if anew else None)
        before = columns.footprint(connection, oid)
        _send(connection, change(clone, None))
        after = columns.footprint(connection, oid)
        return Effect(
            rewrites=after.file != before.file,
            rebuilt=[name for name in before.indexes if name not in after.indexes],
            scans=after.scans > before.scans,
            column=_read(connection, oid, column),
        )

    _refuse_uncounted(work)
    return _tried(work, table, ask, like="INCLUDING ALL")


def outcome(work: Work, table: Table, column: str, change: Change) -> Column:
    """Ask what a column would be after a change, whatever else there is on the table.

    Raises:
        ObjectError: The server refuses the change, whatever is in the table.
    """

    def ask(connection: Connection, clone: str) -> Column:
        _send(connection, change(clone, None))
        return _read(connection, _oid(connection, clone), column)

    return _tried(work, table, ask, like="INCLUDING DEFAULTS")


def refuse_row_type_users(work: Work, table: Table) -> None:
    """Refuse what rewrites or might rewrite rows that are kept inside other tables' columns too.

    Raises:
        UnsafeError: A column elsewhere is of the table's row type.
    """
    oids = [part.oid for part in tables.tree(work.connection, table.oid)]
    users = dependents.row_type_users(work.connection, oids)
    if users:
        raise UnsafeError(
            f"The row type of {table} is the type of column {', '.join(users)}, and the server refuses this "
            "change as long as it is. Nothing was changed. Give those columns another type first."
        )


def _tried(work: Work, table: Table, ask: Callable[[Connection, str], T], *, like: str) -> T:
    try:
        return subject.on_clone(work, table, ask, like=like)
    except (ProgrammingError, NotSupportedError, DataError, TooManyColumns) as error:
        raise constraint.refused(table, error) from error


def _send(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def _oid(connection: Connection, clone: str) -> int:
    found = tables.table(connection, clone, None)
    assert found is not None
    return found.oid


def _read(connection: Connection, oid: int, column: str) -> Column:
    found = columns.column(connection, oid, column)
    assert found is not None
    return found


def _forget(connection: Connection, table: Table, clone: str, column: str | None) -> None:
    """Make the clone more like the table: LIKE turns NOT VALID constraints into valid ones."""
    alter = sql.SQL("ALTER TABLE {} DROP ").format(sql.Identifier(clone))
    for found in constraints.of_table(connection, table.oid):
        if found.kind == constraints.CHECK and not found.is_validated:
            connection.execute(alter + sql.SQL("CONSTRAINT {}").format(sql.Identifier(found.name)))
    if column is not None:
        connection.execute(alter + sql.SQL("COLUMN {} CASCADE").format(sql.Identifier(column)))


def _refuse_uncounted(work: Work) -> None:
    if not columns.counts_scans(work.connection):
        raise UnsafeError(
            "The server doesn't count scans (track_counts is off), so nobody can tell whether this change "
            "reads the whole table. Nothing was changed. Switch track_counts on: ALTER SYSTEM SET "
            "track_counts = on."
        )
