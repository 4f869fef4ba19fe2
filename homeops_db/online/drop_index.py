"""Drops an index CONCURRENTLY: nobody waits for it."""

from psycopg import sql
from psycopg.errors import DependentObjectsStillExist

from homeops_db.catalog import indexes, locks, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking.wanted import wanted
from homeops_db.online import hypertable_index, index_build, index_script, subject
from homeops_db.online.work import Done, Work, at_work, is_offline, script


def drop_index(
    index_name: str,
    table_name: str | None = None,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
    postgresql_concurrently: bool = True,
) -> Done:
    """Drop an index while the table is read and written; twin of ``op.drop_index``.

    Args:
        index_name: Its name.
        table_name: Its table: an index of another one is refused. Any when None.
        schema: The schema of both; by the search path when None.
        if_exists: Do nothing when it isn't there.
        postgresql_concurrently: Always true.

    Returns:
        What was done. ``changed`` is False when it was gone already.

    Raises:
        ObjectError: There is no such index or table, it is of another table or another role's, it
            belongs to a constraint or to an index of a partitioned table, or a foreign key needs it.
        UnsafeError: ``postgresql_concurrently=False``.
        LockTimeoutError: For longer than ``give_up_after``, a transaction that holds the table didn't end.
            The index is INVALID then, and the next run drops it.

    Locks, on an ordinary table: SHARE UPDATE EXCLUSIVE; reads and writes go on. It waits for all
    transactions that hold the table. On a partitioned table or a hypertable, which can't be done
    concurrently: ACCESS EXCLUSIVE on it and all its partitions or chunks, for some milliseconds.

    A re-run ends what was interrupted, and finds it gone without an error. Its downgrade is
    ``online.create_index``.
    Method: https://www.postgresql.org/docs/17/sql-dropindex.html
    """
    subject.refuse_long(index_name)
    if not postgresql_concurrently:
        raise UnsafeError(
            f"Index {index_name}: online.drop_index() is always concurrent. Nothing was changed. Leave "
            "postgresql_concurrently out, or use op.drop_index()."
        )
    what = f"{schema}.{index_name}" if schema else index_name
    if is_offline():
        with script("drop_index", what) as out:
            index_script.write_drop(out, (index_name, schema), if_exists=bool(if_exists))
        return Done("drop_index", what, changed=True)
    with at_work("drop_index", what) as work:
        found = find(work, index_name, table_name, schema, if_exists=bool(if_exists))
        if found is not None:
            table = tables.tree(work.connection, found.table_oid)[0]
            _refuse(table, found)
            _drop(work, table, found)
        return work.done()


def find(
    work: Work, index_name: str, table_name: str | None, schema: str | None, *, if_exists: bool
) -> Index | None:
    """Look an index up by its name; None when it may be gone, and is.

    Raises:
        ObjectError: It or its table doesn't exist, or is something else.
    """
    named = f"{schema}.{index_name}" if schema else index_name
    table = None
    if table_name is not None:
        if tables.table(work.connection, table_name, schema) is None and work.began_before():
            return None  # a later step of the revision dropped the table too
        table = subject.table_of(work.connection, table_name, schema, kinds="rpm", must_own=False)
    found = indexes.index(work.connection, index_name, schema)
    if found is not None:
        if table is not None and found.table_oid != table.oid:
            raise ObjectError(
                f"Index {found} is of table {found.table}, and not of {table}. Nothing was changed. Check "
                "the names in the revision."
            )
        return found
    if tables.table(work.connection, index_name, schema) is not None:
        raise ObjectError(f"{named} is no index. Nothing was changed. Check the name in the revision.")
    if if_exists or work.began_before():
        return None
    raise ObjectError(
        f"Index {named} doesn't exist. Nothing was changed. Check the name and schema= in the revision."
    )


def refuse_other_role(table: Table, found: Index) -> None:
    """Refuse an index whose table belongs to another role.

    Raises:
        ObjectError: It does.
    """
    if not table.is_ours:
        raise ObjectError(
            f"Index {found} is of table {table}, which belongs to role {table.owner}, and only its owner may "
            f"change it. Nothing was changed. Connect as {table.owner}, or as a member of it."
        )


def _refuse(table: Table, found: Index) -> None:
    refuse_other_role(table, found)
    if found.constraint is not None:
        raise ObjectError(
            f"Index {found} belongs to a constraint of {table}. Nothing was changed. Drop that: "
            f'online.drop_constraint("{found.constraint}", "{table.name}", schema="{table.schema}")'
        )
    if found.parent_oid:
        raise ObjectError(
            f"Index {found} is a part of an index of the partitioned table above {table}. Nothing was "
            "changed. Drop that one: this goes with it."
        )


def _drop(work: Work, table: Table, found: Index) -> None:
    is_hypertable = tables.is_hypertable(work.connection, table)
    is_short = table.is_partitioned or is_hypertable
    if not is_short:
        index_build.refuse_builders(work, found)
        index_build.refuse_endless(work, table, "DROP INDEX CONCURRENTLY", locks.ACCESS_EXCLUSIVE)
    work.announce()
    try:
        if is_hypertable:
            hypertable_index.drop(work, table, found, step="drop")
        elif is_short:
            statement = sql.SQL("DROP INDEX {}").format(sql.Identifier(found.schema, found.name))
            work.execute([wanted(work.connection, table)], statement, step="drop")
        else:
            index_build.drop(work, found, step="drop")
    except DependentObjectsStillExist as error:
        detail = " ".join((error.diag.message_detail or "").split())
        raise ObjectError(
            f"Index {found} is still needed: {detail.rstrip('.')}. Nothing was changed. Drop that first."
        ) from error
