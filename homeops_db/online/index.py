"""Indexes: built, dropped and rebuilt CONCURRENTLY."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from alembic.operations import Operations
from psycopg import Connection, sql
from psycopg.errors import UndefinedColumn

from homeops_db.catalog import indexes
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import rendered, subject
from homeops_db.online.work import Done, Work, at_work, is_offline, script


class Render(Protocol):
    """Writes the statement that makes an index, for a table of this name."""

    def __call__(self, table: str, schema: str | None, *, concurrently: bool) -> str:
        """Write it; without a schema, the name stands alone."""


def create_index(
    index_name: str,
    table_name: str,
    columns: Sequence[str | sa.TextClause | sa.ColumnElement[Any]],
    *,
    schema: str | None = None,
    unique: bool = False,
    if_not_exists: bool | None = None,  # noqa: ARG001
    postgresql_using: str | None = None,
    postgresql_where: str | sa.TextClause | sa.ColumnElement[bool] | None = None,
    postgresql_include: Sequence[str] | None = None,
    postgresql_ops: Mapping[str, str] | None = None,
    postgresql_with: Mapping[str, object] | None = None,
    postgresql_nulls_not_distinct: bool | None = None,
    postgresql_tablespace: str | None = None,
    postgresql_concurrently: bool = True,  # noqa: ARG001
) -> Done:
    """PATTERN: to be completed."""
    dialect = {
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
    options: dict[str, Any] = {name: value for name, value in dialect.items() if value is not None}

    def render(table: str, schema: str | None, *, concurrently: bool) -> str:
        def create(op: Operations) -> None:
            op.create_index(
                index_name,
                table,
                list(columns),
                schema=schema,
                unique=unique,
                postgresql_concurrently=concurrently,
                **options,
            )

        return rendered.statement(create)

    subject.refuse_long(index_name)
    if is_offline():
        with script("create_index", index_name) as out:
            out.write_alone(render(table_name, schema, concurrently=True))
        return Done("create_index", index_name, changed=True)
    with at_work("create_index", f"{index_name} on {table_name}") as work:
        table = subject.table_of(work.connection, table_name, schema, kinds="rpm")
        ensure(work, table, index_name, render)
        return work.done()


def ensure(work: Work, table: Table, index_name: str, render: Render) -> None:
    """Build an index unless it is there, valid and the same; what a failed build left is dropped first."""
    wanted = _definition(work, table, render(subject.CLONE, None, concurrently=False))
    found = indexes.index(work.connection, index_name, table.schema)
    if found is not None and _is_there(found, table, wanted):
        return
    if found is not None:
        _drop_leftover(work, found)
    work.alone(render(table.name, table.schema, concurrently=True), step="build")


def _definition(work: Work, table: Table, create: str) -> str:
    """Have the server say how it reads the definition, on an empty clone of the table."""

    def ask(connection: Connection, clone: str) -> str:
        connection.execute(create.encode())
        row = connection.execute("select to_regclass(%s)::oid::bigint", (f"pg_temp.{clone}",)).fetchone()
        assert row is not None
        (only,) = indexes.of_table(connection, row[0])
        return only.definition

    try:
        return subject.on_clone(work, table, ask, like="")
    except UndefinedColumn as error:
        raise ObjectError(
            f"Table {table}: {error.diag.message_primary}. Nothing was changed. Check the revision."
        ) from None


def _is_there(found: Index, table: Table, wanted: str) -> bool:
    if found.table_oid != table.oid or (found.is_valid and found.definition != wanted):
        raise ObjectError(
            f"There is an index {found} already, and it is another one: {found.sql}. Nothing was changed. "
            "Give the new one another name, or drop the old one first with online.drop_index()."
        )
    return found.is_valid


def _drop_leftover(work: Work, found: Index) -> None:
    """A build that failed left it: it costs writes, serves no read, and may already enforce uniqueness."""
    drop = sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(found.schema, found.name))
    work.alone(drop, step="drop leftover")
