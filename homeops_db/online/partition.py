"""Partitions: attached without a scan under the strong lock, detached while the parent is in use."""

import re

from psycopg import Connection

from homeops_db.catalog import tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import attach, attachment, detach, partition_script, subject
from homeops_db.online.work import Done, at_work, is_offline, script


def attach_partition(
    parent: str,
    partition: str,
    bound: str,
    *,
    schema: str | None = None,
    partition_schema: str | None = None,
) -> Done:
    """Make a table that is in use a partition of another one, without a scan while nobody may use them.

    The server scans a table that it attaches, and the DEFAULT partition beside it, under ACCESS EXCLUSIVE,
    unless a validated CHECK says already what the scan would find. Such CHECKs are added NOT VALID and
    validated first, and dropped in the transaction that attaches.

    Args:
        parent: The partitioned table.
        partition: The table to attach. It may be partitioned itself.
        bound: As in SQL, with or without FOR VALUES: ``"FROM ('2026-01-01') TO ('2026-02-01')"``,
            ``"IN ('a', 'b')"``, ``"WITH (MODULUS 4, REMAINDER 0)"``, ``"DEFAULT"``.
        schema: The parent's schema; by the search path when None.
        partition_schema: The partition's schema; ``schema`` when None.

    Returns:
        What was done. ``changed`` is False when it was attached already, by the same bound.

    Raises:
        ObjectError: A table doesn't exist, belongs to another role or doesn't fit; the bound is malformed
            or overlaps; the table is attached elsewhere, or by another bound.
        UnsafeError: The table lacks an index, a foreign key or a validated CHECK of its parent, which
            would be made under the lock: write those operations first.
        ViolationError: Rows of the table are outside the bound: the CHECK stays and refuses new ones. Or
            rows of the DEFAULT partition are within it: then no CHECK is left there. Mend them and run the
            same command again.
        LockTimeoutError: The locks weren't to be had.

    Locks: ACCESS EXCLUSIVE on the table, then on the DEFAULT partition, for some milliseconds to add each
    CHECK; SHARE UPDATE EXCLUSIVE on each for its scan, which stops neither reads nor writes. At the end,
    for some milliseconds, SHARE UPDATE EXCLUSIVE on the parent, ACCESS EXCLUSIVE on the table, on the
    DEFAULT partition and on the tables that the table's foreign keys refer to, and SHARE ROW EXCLUSIVE on
    tables that refer to the parent. From its CHECK on until the end, the DEFAULT partition refuses rows of
    the new bound: one that nobody writes to yet hurts nobody.
    A re-run goes on with the CHECKs that it finds. Its downgrade is `detach_partition`.
    Method: https://www.postgresql.org/docs/17/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE
    """
    bound = _normal(bound)
    partition_schema = partition_schema or schema
    what = _label(parent, schema, partition, partition_schema)
    if is_offline():
        with script("attach_partition", what) as out:
            partition_script.attach(out, (parent, schema), (partition, partition_schema), bound)
        return Done("attach_partition", what, changed=True)
    with at_work("attach_partition", what) as work:
        above = _parent(work.connection, parent, schema)
        table = _table(work.connection, partition, partition_schema)
        is_attached = attach.refuse_misplaced(work.connection, above, table)
        asked = attachment.understood(work, above, table, bound)
        if is_attached:
            attach.refuse_other_bound(work.connection, table, asked)
        attach.ensure(work, above, table, asked, is_attached=is_attached)
        return work.done()


def detach_partition(
    parent: str, partition: str, *, schema: str | None = None, partition_schema: str | None = None
) -> Done:
    """Make a partition a table of its own again, with all its rows, while the parent is in use.

    DETACH CONCURRENTLY leaves a CHECK behind that repeats the bound. It is dropped: the table is then what
    it was before `attach_partition`. Where the parent has a DEFAULT partition, the server detaches only
    under ACCESS EXCLUSIVE on the parent: that is one short transaction.

    Args:
        parent: The partitioned table.
        partition: Its partition.
        schema: The parent's schema; by the search path when None.
        partition_schema: The partition's schema; ``schema`` when None.

    Returns:
        What was done. ``changed`` is False when an interrupted run of the revision had done it already.

    Raises:
        ObjectError: A table doesn't exist or belongs to another role, or isn't a partition of the parent.
        UnsafeError: Another table's foreign key refers to the parent: the server would read that table
            while nobody may write to it.
        LockTimeoutError: The locks weren't to be had.

    Locks: SHARE UPDATE EXCLUSIVE on parent and partition for some milliseconds; then it waits, holding
    nothing, until transactions that use the parent have ended; then ACCESS EXCLUSIVE on the partition,
    SHARE UPDATE EXCLUSIVE on the parent and SHARE ROW EXCLUSIVE on the tables that the partition's foreign
    keys refer to, for some milliseconds; ACCESS EXCLUSIVE on the table once more to drop the CHECK. With a
    DEFAULT partition: ACCESS EXCLUSIVE on the parent and all its partitions for some milliseconds.
    A re-run finishes what is half detached, or finds it done. Its downgrade is `attach_partition`.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION
    """
    partition_schema = partition_schema or schema
    what = _label(parent, schema, partition, partition_schema)
    if is_offline():
        with script("detach_partition", what) as out:
            partition_script.detach(out, (parent, schema), (partition, partition_schema))
        return Done("detach_partition", what, changed=True)
    with at_work("detach_partition", what) as work:
        above = _parent(work.connection, parent, schema)
        if tables.table(work.connection, partition, partition_schema) is None and work.began_before():
            return work.done()  # a later step of the revision dropped the table too
        table = _table(work.connection, partition, partition_schema)
        detach.ensure(work, above, table)
        return work.done()


def _normal(bound: str) -> str:
    """Write a bound with FOR VALUES, whether it has it or not."""
    text = bound.strip()
    if re.fullmatch("default", text, re.IGNORECASE):
        return "DEFAULT"
    match = re.fullmatch(r"(?:for\s+values\s+)?((?:from|in|with)\b.*)", text, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise ObjectError(
            f"{bound!r} is no bound of a partition. Nothing was changed. Write it as in SQL: \"FROM ('a') TO "
            '(\'b\')", "IN (\'a\', \'b\')", "WITH (MODULUS 2, REMAINDER 0)" or "DEFAULT".'
        )
    return f"FOR VALUES {match[1]}"


def _label(parent: str, schema: str | None, partition: str, partition_schema: str | None) -> str:
    below = f"{partition_schema}.{partition}" if partition_schema else partition
    return f"{below} of {schema}.{parent}" if schema else f"{below} of {parent}"


def _parent(connection: Connection, name: str, schema: str | None) -> Table:
    table = _table(connection, name, schema)
    if not table.is_partitioned:
        raise ObjectError(
            f"{table} isn't partitioned: it has no partitions to attach or detach. Nothing was changed. "
            "Check the order of the names: the parent comes first."
        )
    return table


def _table(connection: Connection, name: str, schema: str | None) -> Table:
    table = subject.table_of(connection, name, schema)
    if tables.is_hypertable(connection, table):
        raise ObjectError(
            f"{table} is a hypertable: TimescaleDB makes and drops its chunks itself. Nothing was changed. "
            "Take this operation out of the revision."
        )
    return table
