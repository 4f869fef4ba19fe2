"""Builds indexes anew CONCURRENTLY, and takes away what a failed REINDEX left."""

from collections.abc import Sequence

from psycopg import sql

from homeops_db.catalog import indexes, locks, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError
from homeops_db.history.target import Show
from homeops_db.online import index_build, index_script, index_watch, partitioned_index, subject
from homeops_db.online.drop_index import find, refuse_other_role
from homeops_db.online.shown import shown
from homeops_db.online.work import Done, Work, at_work, is_offline, script


def reindex(
    index_name: str | None = None, table_name: str | None = None, *, schema: str | None = None
) -> Done:
    """Build an index, or all indexes of a table, anew while the table is read and written.

    Args:
        index_name: The index; with ``table_name``, it must be of that table.
        table_name: The table, whose indexes are all built anew when there is no ``index_name``.
        schema: The schema of both; by the search path when None.

    Returns:
        What was done.

    Raises:
        ObjectError: Neither is named, it doesn't exist, or belongs to another role; another session
            is building an index of that table.
        UnsafeError: The index of an exclusion constraint, which the server builds anew only under
            ACCESS EXCLUSIVE. Of a table, it is left out.
        LockTimeoutError: For longer than ``give_up_after``, a transaction that it waits for didn't end.

    Locks: SHARE UPDATE EXCLUSIVE on the table for the whole build; reads and writes go on. Partitions and
    chunks are done one after the other. It needs the room of each index a second time.

    What a failed REINDEX left INVALID (_ccnew, _ccold) is dropped before and after. A re-run builds anew
    once more. It needs no downgrade.
    Method: https://www.postgresql.org/docs/17/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
    """
    named = index_name if index_name is not None else table_name
    if named is None:
        raise ObjectError(
            "Neither an index nor a table is named. Nothing was changed. Write online.reindex('index') or "
            "online.reindex(table_name='table')."
        )
    subject.refuse_long(named)
    what = f"{schema}.{named}" if schema else named
    if is_offline():
        with script("reindex", what) as out:
            index_script.write_reindex(out, (named, schema), is_table=index_name is None)
        return Done("reindex", what, changed=True)
    with at_work("reindex", what) as work, shown(work) as show:
        if index_name is not None:
            found = find(work, index_name, table_name, schema, if_exists=False)
            assert found is not None
            _reindex_index(work, found, show)
        else:
            _reindex_table(work, subject.table_of(work.connection, named, schema, kinds="rpm"), show)
        return work.done()


def _reindex_index(work: Work, found: Index, show: Show) -> None:
    table = tables.tree(work.connection, found.table_oid)[0]
    refuse_other_role(table, found)
    if found.is_exclusion:
        raise UnsafeError(
            f"Index {found} belongs to an exclusion constraint, and can't be built anew concurrently. "
            f"Nothing was changed. In a maintenance window: REINDEX INDEX {found}."
        )
    for number, (part, index) in enumerate(parts := _parts(work, table, found)):
        tell = index_watch.told(show, str(index), number / len(parts), 1 / len(parts))
        name = sql.Identifier(index.schema, index.name)
        _rebuild(work, part, index.name, sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(name), tell)


def _parts(work: Work, table: Table, found: Index) -> Sequence[tuple[Table, Index]]:
    """Give the indexes that are built anew for one: those of partitions, or of a hypertable's chunks."""
    if tables.is_hypertable(work.connection, table):
        # TimescaleDB has no REINDEX INDEX for the whole; a chunk's index is the one of the same definition.
        return [
            (chunk, index)
            for chunk in tables.tree(work.connection, table.oid)[1:]
            for index in indexes.of_table(work.connection, chunk.oid)
            if index.definition == found.definition
        ]
    below = partitioned_index.leaves(work, found)
    return [(tables.tree(work.connection, index.table_oid)[0], index) for index in below]


def _reindex_table(work: Work, table: Table, show: Show) -> None:
    parts = tables.tree(work.connection, table.oid)
    if not table.is_partitioned:
        # Inheritance children are tables of their own; the chunks of a hypertable are all that it has.
        parts = parts[1:] if tables.is_hypertable(work.connection, table) else parts[:1]
    parts = [part for part in parts if part.kind in "rm"]
    for number, part in enumerate(parts):
        tell = index_watch.told(show, f"of {part}", number / len(parts), 1 / len(parts))
        name = sql.Identifier(part.schema, part.name)
        _rebuild(work, part, None, sql.SQL("REINDEX TABLE CONCURRENTLY {}").format(name), tell)


def _rebuild(
    work: Work, table: Table, name: str | None, statement: sql.Composable, tell: index_build.Tell
) -> None:
    index_build.refuse_endless(work, table, "REINDEX CONCURRENTLY", locks.ACCESS_EXCLUSIVE)
    for leftover in indexes.leftovers(work.connection, table.oid, name):
        index_build.refuse_builders(work, leftover)
        index_build.drop(work, leftover, step="drop leftover")
    index_build.patiently(
        work,
        statement,
        step=f"reindex {table}",
        what=f"REINDEX CONCURRENTLY on {table} waits for every older transaction",
        cleaned=lambda: _clean(work, table, name),
        tell=tell,
    )


def _clean(work: Work, table: Table, name: str | None) -> str:
    """Drop what a failed REINDEX left; that may wait too, so only for a short time."""
    for leftover in indexes.leftovers(work.connection, table.oid, name):
        try:
            index_build.drop(work, leftover, step="drop leftover", give_up_after=index_build.CLEANING)
        except LockTimeoutError:
            return f"What was built of it is left INVALID as {leftover}: the next run drops it."
    return "What was built of it is dropped; the index that was there stays in use."
