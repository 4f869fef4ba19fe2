"""Drops a column that nothing needs any more, and names what does."""

from collections.abc import Sequence
from typing import Any

from homeops_db.catalog import columns, dependents, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.dependents import Dependent
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online import rendered, script_guard, subject
from homeops_db.online.column import subject_of
from homeops_db.online.work import Done, Work, at_work, is_offline, script


def drop_column(
    table_name: str,
    column_name: str,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
    **kw: Any,  # noqa: ARG001 - Alembic's, for other databases
) -> Done:
    """Drop a column that nothing else needs; twin of ``op.drop_column``.

    What belongs to the column alone goes with it: its default, an index on nothing else, a unique or
    check constraint on nothing else, a sequence that it owns. Everything else is named and stays, also
    what the server would drop without a word: indexes and checks of several columns, statistics.

    Args:
        table_name: The table. Partitions and inheritance children lose the column with it.
        column_name: The column. The application must not read or write it any more.
        schema: The table's schema; by the search path when None.
        if_exists: Nothing is done, and nothing said, when there is no such column.
        **kw: Accepted as in ``op``, where they are for other databases.

    Returns:
        What was done. ``changed`` is False when the column was gone already.

    Raises:
        ObjectError: No such table or column, another role's table, an inherited column, one of a
            partition key, or something still needs it: everything that does is listed.
        LockTimeoutError: The lock wasn't to be had.

    Locks: ACCESS EXCLUSIVE on the table and its children for some milliseconds; the space is given back
    row by row, as rows are written. A re-run after a crash finds the column gone and goes on. Its
    downgrade is `add_column`, which doesn't bring the values back.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    what = subject_of(table_name, schema, column_name)
    subject.refuse_long(column_name)

    def render(table: str, schema: str | None) -> str:
        return rendered.statement(
            lambda op: op.drop_column(table, column_name, schema=schema, if_exists=if_exists)
        )

    if is_offline():
        with script("drop_column", what) as out:
            out.write(script_guard.refusing_dependents(what, table_name, schema, column_name))
            out.write(render(table_name, schema))
        return Done("drop_column", what, changed=True)
    with at_work("drop_column", what) as work:
        if tables.table(work.connection, table_name, schema) is None and work.began_before():
            return work.done()  # a later step of the revision dropped the table too
        table = subject.table_of(work.connection, table_name, schema)
        found = columns.column(work.connection, table.oid, column_name)
        if found is None:
            if not if_exists and not work.began_before():
                raise ObjectError(
                    f"Table {table} has no column {column_name}. Nothing was changed. Check the names in the "
                    "revision, or write if_exists=True."
                )
            return work.done()
        _refuse_fixed(work, table, found)
        _refuse_needed(table, found, _needing(work, table, found))
        work.announce()
        work.execute([wanted(work.connection, table)], render(table.name, table.schema), step="drop")
        return work.done()


def _needing(work: Work, table: Table, column: Column) -> Sequence[Dependent]:
    oids = [part.oid for part in tables.tree(work.connection, table.oid)]
    return dependents.dependents(work.connection, table.oid, oids, column.name)


def _refuse_fixed(work: Work, table: Table, column: Column) -> None:
    """Refuse columns that belong to the table's shape."""
    if column.parent is not None:
        raise ObjectError(
            f"Column {table}.{column.name} is inherited from {column.parent}. Nothing was changed. Drop it "
            f"from {column.parent}: it goes from {table} too."
        )
    if _is_dimension(work, table, column):
        raise _dividing(table, column)
    for part in tables.tree(work.connection, table.oid):
        key = columns.column(work.connection, part.oid, column.name) if part.is_partitioned else None
        if key is not None and key.is_in_partition_key:
            raise _dividing(part, column)


def _dividing(table: Table, column: Column) -> ObjectError:
    return ObjectError(
        f"The rows of {table} are divided by their column {column.name}: it can't be dropped. Nothing was "
        "changed. Move the rows into a table that is divided otherwise."
    )


def _is_dimension(work: Work, table: Table, column: Column) -> bool:
    if not tables.is_hypertable(work.connection, table):
        return False
    return columns.is_dimension(work.connection, table.schema, table.name, column.name)


def _refuse_needed(table: Table, column: Column, needing: Sequence[Dependent]) -> None:
    if needing:
        raise ObjectError(
            f"Column {table}.{column.name} is still needed by {', '.join(map(str, needing))}. Nothing was "
            "changed. Drop or change them first (online.drop_index(), online.drop_constraint(), op.execute() "
            "for the rest), then run the same command again."
        )
