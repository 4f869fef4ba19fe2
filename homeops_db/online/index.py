"""Indexes built CONCURRENTLY: on ordinary tables, partition by partition, chunk by chunk."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from homeops_db.catalog import tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.online import (
    hypertable_index,
    index_build,
    index_definition,
    index_script,
    index_watch,
    partitioned_index,
    subject,
)
from homeops_db.online.index_definition import Asked, Column, Render
from homeops_db.online.shown import shown
from homeops_db.online.work import Done, Work, at_work, is_offline, script

__all__ = ["Render", "create_index", "ensure"]


def create_index(
    index_name: str | None,
    table_name: str,
    columns: Sequence[Column],
    *,
    schema: str | None = None,
    unique: bool = False,
    if_not_exists: bool | None = None,  # noqa: ARG001 - accepted, and always so
    postgresql_using: str | None = None,
    postgresql_where: str | sa.TextClause | sa.ColumnElement[bool] | None = None,
    postgresql_include: Sequence[str] | None = None,
    postgresql_ops: Mapping[str, str] | None = None,
    postgresql_with: Mapping[str, object] | None = None,
    postgresql_nulls_not_distinct: bool | None = None,
    postgresql_tablespace: str | None = None,
    postgresql_concurrently: bool = True,
) -> Done:
    """Build an index while the table is read and written; twin of ``op.create_index``.

    Args:
        index_name: Its name, of at most 63 bytes.
        table_name: A table, partitioned table, hypertable or materialized view.
        columns: Names of columns, or expressions as ``sa.text("lower(email)")``.
        schema: The table's schema; by the search path when None.
        unique: Whether equal keys are refused.
        if_not_exists: Makes no difference: an index that is there, valid and the same is kept anyway.
        postgresql_using: The method: btree, gin, gist, brin, hash, hnsw, ...
        postgresql_where: The condition of a partial index.
        postgresql_include: Columns that are stored beside the key.
        postgresql_ops: Operator classes, by column.
        postgresql_with: Storage parameters.
        postgresql_nulls_not_distinct: Whether NULLs count as equal in a unique index.
        postgresql_tablespace: Where it is kept.
        postgresql_concurrently: Always true.

    Returns:
        What was done. ``changed`` is False when it was there already, valid and of the same definition.

    Raises:
        ObjectError: A name is missing, too long, unknown or taken by something else; the definition is
            refused by the server; a partition is a foreign table; another session is building it.
        UnsafeError: A unique index on a hypertable; ``postgresql_concurrently=False``.
        ViolationError: Rows have equal keys; it names up to 10 of them. What was built is dropped.
        LockTimeoutError: For longer than ``give_up_after``, somebody's transaction that the build waits
            for didn't end, or a lock wasn't to be had. What was built is dropped; where even that would
            wait, it stays INVALID, and the message says so.

    Locks, on an ordinary table or materialized view: SHARE UPDATE EXCLUSIVE for the whole build. Reads and
    writes go on; VACUUM and other DDL of the table wait. The build reads the table twice, and waits for all
    transactions that are older than its steps, on other tables too.

    On a partitioned table: SHARE on it and on each partitioned table below, one by one, for some
    milliseconds; each partition as an ordinary table; then ACCESS EXCLUSIVE on each partition's new index,
    for some milliseconds, which stops the planning of queries on that partition.

    On a hypertable: SHARE on it for some milliseconds; then SHARE on one chunk after the other, each for as
    long as its build takes: writes to that chunk wait meanwhile. Each of these locks is asked for during
    ten times ``lock_timeout``; when one isn't to be had, all is dropped (ACCESS EXCLUSIVE on the hypertable
    and all chunks, for some milliseconds) and begun again.

    A re-run drops what a broken build left INVALID and builds it anew; on a partitioned table it goes on
    with the partition that was in hand. Its downgrade is ``online.drop_index``.
    Method: https://www.postgresql.org/docs/17/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    name = _named(index_name)
    if not postgresql_concurrently:
        raise UnsafeError(
            f"Index {name}: online.create_index() is always concurrent, lest all writes wait for the build. "
            "Nothing was changed. Leave postgresql_concurrently out, or use op.create_index()."
        )
    options = {
        "postgresql_using": postgresql_using,
        "postgresql_where": sa.text(postgresql_where)
        if isinstance(postgresql_where, str)
        else postgresql_where,
        "postgresql_include": postgresql_include,
        "postgresql_ops": postgresql_ops,
        "postgresql_with": postgresql_with,
        "postgresql_nulls_not_distinct": postgresql_nulls_not_distinct,
        "postgresql_tablespace": postgresql_tablespace,
    }
    given: dict[str, Any] = {option: value for option, value in options.items() if value is not None}
    asked = Asked(name, columns, unique, given)
    what = f"{name} on {schema}.{table_name}" if schema else f"{name} on {table_name}"
    if is_offline():
        with script("create_index", what) as out:
            index_script.write_create(out, asked, (table_name, schema))
        return Done("create_index", what, changed=True)
    with at_work("create_index", what) as work:
        ensure(work, subject.table_of(work.connection, table_name, schema, kinds="rpm"), name, asked)
        return work.done()


def ensure(work: Work, table: Table, index_name: str, render: Render) -> None:
    """Build an index unless it is there, valid and the same; what a failed build left is dropped first.

    When it returns, a valid index of that definition is there under that name.
    """
    subject.refuse_long(index_name)
    definition = index_definition.read(work, table, index_name, render)
    with shown(work) as show:
        if table.is_partitioned:
            partitioned_index.ensure(work, table, index_name, definition, show)
        elif tables.is_hypertable(work.connection, table):
            if not isinstance(render, Asked):
                hypertable_index.refuse_unique(table)  # a constraint's: unique, all of them
            else:
                hypertable_index.ensure(work, table, render, definition, show)
        else:
            statement = render(table.name, table.schema, concurrently=True)
            tell = index_watch.told(show, f"{table.schema}.{index_name}")
            index_build.ensure(work, table, index_name, statement, meaning=definition.meaning, tell=tell)


def _named(index_name: str | None) -> str:
    if index_name is None:
        raise ObjectError(
            "The index has no name. Nothing was changed. Give it one: a re-run finds it again by its name, "
            "and so does its downgrade."
        )
    subject.refuse_long(index_name)
    return index_name
