"""Changes of a column that leave its rows as they are: default, comment, NOT NULL, a wider type."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from homeops_db.catalog import columns, locks
from homeops_db.catalog.columns import Column
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.locking.wanted import wanted
from homeops_db.online import column_type, not_null, probe, rendered, script_guard, subject
from homeops_db.online.column import subject_of
from homeops_db.online.work import Done, Statement, Work, at_work, is_offline, script

Default = str | sa.TextClause | sa.ColumnElement[Any] | sa.Identity | sa.Computed | Literal[False] | None
Type = TypeEngine[Any] | type[TypeEngine[Any]]


def alter_column(
    table_name: str,
    column_name: str,
    *,
    nullable: bool | None = None,
    comment: str | Literal[False] | None = False,
    server_default: Default = False,
    new_column_name: str | None = None,
    type_: Type | None = None,
    existing_type: Type | None = None,
    existing_server_default: Default = False,  # noqa: ARG001 - the catalog is asked instead
    existing_nullable: bool | None = None,  # noqa: ARG001
    existing_comment: str | None = None,  # noqa: ARG001
    schema: str | None = None,
    postgresql_using: str | None = None,
    **kw: Any,  # noqa: ARG001 - Alembic's, for other databases: autoincrement and the like
) -> Done:
    """Change a column while reads and writes go on; twin of ``op.alter_column``.

    Type, default, comment and DROP NOT NULL are one short transaction. Then NOT NULL is proven by a
    constraint that is validated without a strong lock (a CHECK until PostgreSQL 17, NOT NULL NOT VALID
    since 18), and set without a scan. Until 17, a valid ``CHECK (column IS NOT NULL)`` that is there
    already is used, and kept. After a change of type the column is analyzed: the server forgets its
    statistics.

    Args:
        table_name: The table. Partitions and inheritance children change with it.
        column_name: The column.
        nullable: False for NOT NULL, True for DROP NOT NULL.
        comment: A new comment; None drops it.
        server_default: A new default, for new rows; None drops it.
        new_column_name: Refused: the application that runs knows the old name.
        type_: A new type, where it neither rewrites nor scans the table nor builds an index anew.
        existing_type: Accepted as in ``op``, as are the other ``existing_`` ones: the catalog is asked.
        existing_server_default: See existing_type.
        existing_nullable: See existing_type.
        existing_comment: See existing_type.
        schema: The table's schema; by the search path when None.
        autoincrement: Accepted as in ``op``, where it is for other databases, as is the next one.
        existing_autoincrement: See autoincrement.
        postgresql_using: The expression of a type change, as in ``op``.
        **kw: Accepted as in ``op``, and without effect on PostgreSQL.

    Returns:
        What was done. ``changed`` is False when everything was there already.

    Raises:
        ObjectError: No such table, column or type, another role's table, a primary key made nullable, or
            what depends on the column's type.
        UnsafeError: A new name, an identity or generated default, or a type change that rewrites or scans.
        ViolationError: Rows have NULL: their count and up to 10 keys. The constraint stays NOT VALID, so
            that no more come; mend the rows and run the same command again.
        LockTimeoutError: The locks weren't to be had.

    Locks: ACCESS EXCLUSIVE for some milliseconds (SHARE UPDATE EXCLUSIVE for a comment alone). NOT NULL
    takes it twice, and SHARE UPDATE EXCLUSIVE for the scan between, which stops neither reads nor writes.
    A re-run goes on with what it finds. Its downgrade is `alter_column` with the values from before.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    what = subject_of(table_name, schema, column_name)
    subject.refuse_long(column_name)
    _refuse_rename(what, new_column_name)
    _refuse_special_default(what, server_default)
    _refuse_attached(what, type_, existing_type)
    asked = Asked(column_name, nullable, comment, server_default, type_, postgresql_using)
    if is_offline():
        _write(what, table_name, schema, asked)
        return Done("alter_column", what, changed=True)
    with at_work("alter_column", what) as work:
        table = subject.table_of(work.connection, table_name, schema)
        _alter(work, table, asked)
        return work.done()


@dataclass(frozen=True)
class Asked:
    """What shall be changed, and the statements for it."""

    column: str
    nullable: bool | None
    comment: str | Literal[False] | None
    server_default: Default
    type_: Type | None
    using: str | None

    def retype(self, table: str, schema: str | None) -> list[str]:
        """Write the change of type, and then of the default, which may suit the new type alone."""
        default = self.redefault(table, schema)
        if self.type_ is None:
            return default
        change = self._statements(table, schema, type_=self.type_, postgresql_using=self.using)
        return [*change, *default]

    def redefault(self, table: str, schema: str | None) -> list[str]:
        """Write the change of the default."""
        if self.server_default is False:
            return []
        return self._statements(table, schema, server_default=self.server_default)

    def recomment(self, table: str, schema: str | None) -> list[str]:
        """Write the change of the comment."""
        return [] if self.comment is False else self._statements(table, schema, comment=self.comment)

    def make_nullable(self, table: str, schema: str | None) -> list[str]:
        """Write DROP NOT NULL."""
        return self._statements(table, schema, nullable=True) if self.nullable else []

    def _statements(self, table: str, schema: str | None, **change: Any) -> list[str]:
        def alter(op: Operations) -> None:
            op.alter_column(table, self.column, schema=schema, **change)

        return rendered.statements(alter)


def _alter(work: Work, table: Table, asked: Asked) -> None:
    column = columns.column(work.connection, table.oid, asked.column)
    if column is None:
        raise ObjectError(
            f"Table {table} has no column {asked.column}. Nothing was changed. Check the names in the "
            "revision."
        )
    if asked.nullable and column.is_not_null:
        not_null.refuse_nullable(table, column)
    statements, is_retyped = _of_values(work, table, column, asked)
    here = (table.name, table.schema)
    mode = locks.ACCESS_EXCLUSIVE if statements else locks.SHARE_UPDATE_EXCLUSIVE
    if asked.nullable and column.is_not_null:
        mode = locks.ACCESS_EXCLUSIVE
        statements += asked.make_nullable(*here)
    if asked.comment is not False and (asked.comment or None) != column.comment:
        statements += asked.recomment(*here)
    if is_retyped:
        work.announce()
    if statements:
        work.execute([wanted(work.connection, table, mode)], *statements, step="alter")
    if is_retyped or _lost_statistics(work, table, column, asked):
        column_type.analyze(work, table, column)
    if asked.nullable:
        not_null.clear(work, table, asked.column)
    elif asked.nullable is False:
        not_null.ensure(work, table, asked.column)


def _of_values(work: Work, table: Table, column: Column, asked: Asked) -> tuple[list[Statement], bool]:
    """Write what changes type and default, if they aren't so already; refuse what can't be done online."""
    if asked.type_ is None and asked.server_default is False:
        return [], False
    if asked.server_default is not False and (column.generated or column.identity):
        raise ObjectError(
            f"Column {table}.{column.name} is {'generated' if column.generated else 'an identity'}, and has "
            "no default that could be changed. Nothing was changed. Leave server_default out."
        )
    after = probe.outcome(work, table, column.name, asked.retype)
    if asked.type_ is not None and (after.type, after.collation) != (column.type, column.collation):
        after = column_type.tried(work, table, column, asked.retype)
        change = asked.retype(table.name, table.schema)
        return [*change, *column_type.restored(work, table, column, after)], True
    is_same = asked.server_default is False or after.default == column.default
    return ([] if is_same else list(asked.redefault(table.name, table.schema))), False


def _lost_statistics(work: Work, table: Table, column: Column, asked: Asked) -> bool:
    """Whether an interrupted run has changed the type, and not come to the end."""
    if asked.type_ is None or not work.began_before():
        return False
    return not columns.has_statistics(work.connection, table.schema, table.name, column.name)


def _write(what: str, table_name: str, schema: str | None, asked: Asked) -> None:
    here = (table_name, schema)
    with script("alter_column", what) as out:
        if asked.type_ is not None:
            out.write(script_guard.probing(what, *here, asked.retype(script_guard.CLONE, None)))
        short: Sequence[str] = [
            *asked.retype(*here),
            *asked.make_nullable(*here),
            *asked.recomment(*here),
        ]
        if short:
            out.write_together(*short)
        if asked.type_ is not None:
            out.write_alone(f"ANALYZE {subject.quoted(here)}")
        if asked.nullable is False:
            not_null.write(out, here, asked.column)


def _refuse_rename(what: str, new_name: str | None) -> None:
    if new_name is not None:
        raise UnsafeError(
            f"Renaming {what} breaks the application that runs: it knows the old name. Nothing was changed. "
            f"Add {new_name} with online.add_column(), keep both alike, switch the application over, and "
            "drop the old one in a later revision with online.drop_column()."
        )


def _refuse_special_default(what: str, default: Default) -> None:
    if isinstance(default, sa.Identity):
        raise UnsafeError(
            f"An identity on {what} would begin at its start and collide with the rows that are there. "
            "Nothing was changed. Make a sequence that begins behind them, and set "
            "server_default=sa.text(\"nextval('…')\")."
        )
    if isinstance(default, sa.Computed):
        raise UnsafeError(
            f"A column that exists can't become generated: {what} stays what it is. Nothing was changed. Set "
            "a default, or keep it with a trigger and fill the old rows by online.backfill()."
        )


def _refuse_attached(what: str, *types: Type | None) -> None:
    for found in types:
        if isinstance(found, sa.Enum) and found.create_constraint and not found.native_enum:
            raise UnsafeError(
                f"The type given for {what} comes with a check, which would be validated while nobody can "
                "read or write. Nothing was changed. Write the type with create_constraint=False, and use "
                "online.create_check_constraint() and online.drop_constraint()."
            )
