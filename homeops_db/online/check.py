"""CHECK constraints: added NOT VALID, then validated in a transaction of their own."""

from typing import Any, Protocol

import sqlalchemy as sa
from alembic.operations import Operations
from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.tables import Table
from homeops_db.locking.wanted import wanted
from homeops_db.online import constraint, rendered, subject, validation
from homeops_db.online.work import Done, Work, at_work, is_offline, script


class Render(Protocol):
    """Writes the statement that adds a constraint NOT VALID, to a table of this name."""

    def __call__(self, table: str, schema: str | None) -> str:
        """Write it; without a schema, the name stands alone."""


def create_check_constraint(
    constraint_name: str | None,
    table_name: str,
    condition: str | sa.TextClause | sa.ColumnElement[bool],
    *,
    schema: str | None = None,
    postgresql_not_valid: bool = False,
    **kw: Any,
) -> Done:
    """Add a CHECK constraint while reads and writes go on; twin of ``op.create_check_constraint``.

    It is added NOT VALID, which checks new rows from then on, and then validated in a transaction of
    its own, which checks the old ones.

    Args:
        constraint_name: Its name; None is refused.
        table_name: The table. Partitions and inheritance children get the constraint with it.
        condition: What every row must fulfil, as in ``op``.
        schema: The table's schema; by the search path when None.
        postgresql_not_valid: Leave it NOT VALID: `validate_constraint` may follow in a later revision.
        **kw: What Alembic's takes else.

    Returns:
        What was done. ``changed`` is False when everything was there already.

    Raises:
        ObjectError: No name or too long a one, no such table or column, another role's table, or another
            constraint by that name.
        ViolationError: Rows contradict it: their count, up to 10 keys, and the query that finds them. It
            stays NOT VALID; mend the rows and run the same command again.
        LockTimeoutError: The locks weren't to be had.

    Locks: ACCESS EXCLUSIVE for some milliseconds to add it; then SHARE UPDATE EXCLUSIVE for the scan,
    which stops neither reads nor writes. A re-run goes on with the constraint that it finds, if it means
    the same. Its downgrade is `drop_constraint`.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    name = constraint.named(constraint_name)
    what = constraint.label(name, table_name, schema)

    def render(table: str, schema: str | None) -> str:
        def create(op: Operations) -> None:
            op.create_check_constraint(
                sa.sql.elements.conv(name),
                table,
                condition,
                schema=schema,
                postgresql_not_valid=True,
                **kw,
            )

        return rendered.statement(create)

    if is_offline():
        with script("create_check_constraint", what) as out:
            out.write(render(table_name, schema))
            if not postgresql_not_valid:
                out.write_alone(validation.statement(table_name, schema, name))
        return Done("create_check_constraint", what, changed=True)
    with at_work("create_check_constraint", what) as work:
        table = subject.table_of(work.connection, table_name, schema)
        ensure(work, table, name, render)
        if not postgresql_not_valid:
            validation.validate(work, table, name)
        return work.done()


def ensure_not_valid(work: Work, table: Table, constraint_name: str, condition_sql: str) -> None:
    """Add a CHECK constraint NOT VALID, unless one that means the same is there by that name.

    Args:
        work: The operation.
        table: The table.
        constraint_name: Its name.
        condition_sql: What every row must fulfil, in SQL as it is sent.

    Raises:
        ObjectError: The condition can't be read, or there is another constraint by that name.
    """

    def render(table: str, schema: str | None) -> str:
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({}) NOT VALID")
        name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
        return add.format(name, sql.Identifier(constraint_name), sql.SQL(condition_sql)).as_string()

    ensure(work, table, constraint_name, render)


def ensure(work: Work, table: Table, constraint_name: str, render: Render) -> None:
    """Add a CHECK constraint NOT VALID by ``render``, unless one that means the same is there by that name.

    Raises:
        ObjectError: The condition can't be read, or there is another constraint by that name.
    """
    meaning = _meaning(work, table, constraint_name, render)
    found = constraints.constraint(work.connection, table.oid, constraint_name)
    if found is not None and found.definition == meaning:
        return
    for part in tables.tree(work.connection, table.oid):
        other = constraints.constraint(work.connection, part.oid, constraint_name)
        if other is not None and other.definition != meaning:
            raise constraint.another(part, other)
    statement = render(table.name, table.schema)
    work.execute([wanted(work.connection, table)], statement, step="add")


def _meaning(work: Work, table: Table, constraint_name: str, render: Render) -> str:
    """Have the server say how it reads the condition, on an empty clone of the table."""

    def ask(connection: Connection, clone: str) -> str:
        # By the table's own name: a condition may hold it.
        if table.name != clone:
            rename = sql.SQL("ALTER TABLE pg_temp.{} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(clone), sql.Identifier(table.name)))
        connection.execute(render(table.name, "pg_temp").encode())
        asked = tables.table(connection, table.name, "pg_temp")
        assert asked is not None
        made = constraints.constraint(connection, asked.oid, constraint_name)
        assert made is not None
        return made.definition

    try:
        return subject.on_clone(work, table, ask, like="")
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(table, error) from error
