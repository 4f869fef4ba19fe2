"""UNIQUE constraints: their index is built CONCURRENTLY, then the constraint takes it over."""

from collections.abc import Sequence
from typing import Any

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import UnsafeError
from homeops_db.locking.wanted import wanted
from homeops_db.online import constraint, index, subject, unique_by_partition, unique_script
from homeops_db.online.unique_definition import Asked, meaning
from homeops_db.online.work import Done, Work, at_work, is_offline, script


def create_unique_constraint(
    constraint_name: str | None,
    table_name: str,
    columns: Sequence[str],
    *,
    schema: str | None = None,
    deferrable: bool | None = None,
    initially: str | None = None,
    postgresql_include: Sequence[str] | None = None,
    postgresql_nulls_not_distinct: bool | None = None,
    **kw: Any,
) -> Done:
    """Add a UNIQUE constraint while reads and writes go on; twin of ``op.create_unique_constraint``.

    A unique index is built CONCURRENTLY, and the constraint takes it over. On a partitioned table that
    happens partition by partition, under a constraint of the parent that is there from the start and
    becomes valid with the last of them.

    Args:
        constraint_name: Its name, and that of its index; None is refused.
        table_name: The table.
        columns: Its columns.
        schema: The table's schema; by the search path when None.
        deferrable: Whether the check may wait for the end of the statement or the commit.
        initially: DEFERRED or IMMEDIATE.
        postgresql_include: Columns that the index has beside the key.
        postgresql_nulls_not_distinct: Whether two nulls are equal.
        **kw: What Alembic's takes else.

    Returns:
        What was done. ``changed`` is False when everything was there already.

    Raises:
        ObjectError: No name or too long a one, no such table or column, another role's table, another
            constraint or index by that name, or a key without the columns that a table is partitioned by.
        UnsafeError: The table is a hypertable.
        ViolationError: Rows have equal keys.
        LockTimeoutError: The lock wasn't to be had.

    Locks: SHARE UPDATE EXCLUSIVE for the build, which stops neither reads nor writes; then ACCESS EXCLUSIVE
    for some milliseconds, on the table or on one partition at a time. A re-run goes on with the index and
    the constraints that it finds, if they are the same. Its downgrade is `drop_constraint`.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT-USING-INDEX
    and, for partitions, https://www.postgresql.org/docs/17/ddl-partitioning.html
    """
    name = constraint.named(constraint_name)
    what = constraint.label(name, table_name, schema)
    of_index = {
        "postgresql_include": postgresql_include,
        "postgresql_nulls_not_distinct": postgresql_nulls_not_distinct,
    }
    asked = Asked(
        name,
        columns,
        of_index={option: value for option, value in of_index.items() if value is not None},
        of_constraint={"deferrable": deferrable, "initially": initially, **kw},
    )
    if is_offline():
        with script("create_unique_constraint", what) as out:
            unique_script.write(out, asked, (table_name, schema))
        return Done("create_unique_constraint", what, changed=True)
    with at_work("create_unique_constraint", what) as work:
        table = subject.table_of(work.connection, table_name, schema)
        ensure(work, asked, table)
        return work.done()


def ensure(work: Work, asked: Asked, table: Table) -> None:
    """Make a UNIQUE constraint, unless it is there, whole and the same.

    Raises:
        ObjectError: There is another constraint or index by that name.
        UnsafeError: The table is a hypertable.
        ViolationError: Rows have equal keys.
    """
    if tables.is_hypertable(work.connection, table):
        raise UnsafeError(
            f"Table {table} is a hypertable, and a unique index on one can't be built CONCURRENTLY. Nothing "
            "was changed. Make the constraint in the revision that makes the table, or in a maintenance "
            "window with op.create_unique_constraint()."
        )
    read = meaning(work, asked, table)
    found = constraints.constraint(work.connection, table.oid, asked.name)
    if found is not None and found.definition != read:
        raise constraint.another(table, found)
    if table.is_partitioned:
        unique_by_partition.ensure(work, asked, table, read)
    elif found is None:
        index.ensure(work, table, asked.name, asked.index(asked.name))
        adoption = asked.adoption((table.name, table.schema), asked.name)
        work.execute([wanted(work.connection, table)], adoption, step="attach")
