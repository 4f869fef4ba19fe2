"""NOT NULL on a column in use: proven by a constraint first, so that the strong lock is held for no scan."""

from hashlib import sha256
from typing import Final

from psycopg import sql

from homeops_db.catalog import columns, constraints, tables
from homeops_db.catalog.columns import Column
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online import check, subject, validation
from homeops_db.online.subject import Named
from homeops_db.online.work import Script, Work

PREFIX: Final = "homeops_not_null_"


def proof_name(column_name: str) -> str:
    """Name the CHECK that proves a column: the same in every run, and never too long."""
    name = PREFIX + column_name
    if len(name.encode()) <= subject.LONGEST_NAME:
        return name
    return f"{PREFIX}{sha256(column_name.encode()).hexdigest()[:16]}"


def ensure(work: Work, table: Table, column_name: str) -> None:
    """Make a column NOT NULL; what an interrupted run left is gone on with, or cleared away.

    Raises:
        ViolationError: Rows have NULL there. The constraint stays NOT VALID: new rows are checked.
    """
    native = columns.has_not_null_constraints(work.connection)
    column = _read(work, table, column_name)
    if native:
        _ensure_natively(work, table, column)
    elif not column.is_not_null:
        _ensure_by_check(work, table, column)
    clear(work, table, column_name)


def clear(work: Work, table: Table, column_name: str) -> None:
    """Drop the CHECK that an interrupted run left, where there is one."""
    found = _proof(work, table, column_name)
    if found is not None:
        work.execute([wanted(work.connection, table)], _drop(table, found.name), step="drop the check")


def refuse_nullable(table: Table, column: Column) -> None:
    """Refuse DROP NOT NULL where the server would.

    Raises:
        ObjectError: Something else demands that the column is NOT NULL.
    """
    why = None
    if column.is_in_primary_key:
        why = "it is part of the primary key"
    elif column.identity:
        why = "it is an identity"
    elif column.is_in_replica_identity:
        why = "it is part of the index that identifies rows for replication"
    elif column.parent_is_not_null:
        why = f"it is inherited from {column.parent}, which has it NOT NULL"
    if why is not None:
        raise ObjectError(
            f"Column {table}.{column.name} can't become nullable: {why}. Nothing was changed. Change that "
            "first."
        )


def write(out: Script, table: Named, column_name: str) -> None:
    """Write the same for a script: add the CHECK, validate it, let it prove NOT NULL and go."""
    name, column = (sql.Identifier(part).as_string() for part in (proof_name(column_name), column_name))
    alter = f"ALTER TABLE {subject.quoted(table)}"
    add = f"{alter} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID"
    drop = f"{alter} DROP CONSTRAINT {name}"
    out.write_together(f"{alter} DROP CONSTRAINT IF EXISTS {name}", add)
    out.write_alone(f"{alter} VALIDATE CONSTRAINT {name}")
    out.write_together(f"{alter} ALTER COLUMN {column} SET NOT NULL", drop)


def _ensure_natively(work: Work, table: Table, column: Column) -> None:
    """Since PostgreSQL 18: the constraint itself may be NOT VALID. SET NOT NULL would leave it so."""
    if not column.is_not_null:
        add = sql.SQL("ALTER TABLE {} ADD NOT NULL {} NOT VALID")
        statement = add.format(sql.Identifier(table.schema, table.name), sql.Identifier(column.name))
        work.execute([wanted(work.connection, table)], statement, step="add")
    for found in constraints.of_table(work.connection, table.oid):
        if found.kind == constraints.NOT_NULL and found.columns == [column.name]:
            validation.validate(work, table, found.name)


def _ensure_by_check(work: Work, table: Table, column: Column) -> None:
    """Until PostgreSQL 17: SET NOT NULL doesn't scan where a valid CHECK says the same."""
    if not _is_proven(work, table, column):
        condition = sql.SQL("{} IS NOT NULL").format(sql.Identifier(column.name)).as_string()
        name = proof_name(column.name)
        check.ensure_not_valid(work, table, name, condition)
        validation.validate(work, table, name)
    set_it = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL").format(
        sql.Identifier(table.schema, table.name), sql.Identifier(column.name)
    )
    found = _proof(work, table, column.name)
    drops = [] if found is None else [_drop(table, found.name)]
    work.execute([wanted(work.connection, table)], set_it, *drops, step="set")


def _is_proven(work: Work, table: Table, column: Column) -> bool:
    """Whether a valid CHECK of the table and its children says the same, whatever its name."""
    has_children = len(tables.tree(work.connection, table.oid)) > 1
    return any(
        found.is_validated and found.is_enforced and not (found.stays_here and has_children)
        for found in constraints.of_table(work.connection, table.oid)
        if found.kind == constraints.CHECK and found.condition == f"({column.quoted} IS NOT NULL)"
    )


def _proof(work: Work, table: Table, column_name: str) -> Constraint | None:
    """Find our own CHECK; a constraint by its name that means something else isn't ours."""
    found = constraints.constraint(work.connection, table.oid, proof_name(column_name))
    column = _read(work, table, column_name)
    is_ours = found is not None and found.condition == f"({column.quoted} IS NOT NULL)"
    return found if is_ours else None


def _drop(table: Table, name: str) -> sql.Composable:
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
        sql.Identifier(table.schema, table.name), sql.Identifier(name)
    )


def _read(work: Work, table: Table, column_name: str) -> Column:
    column = columns.column(work.connection, table.oid, column_name)
    if column is None:
        raise ObjectError(
            f"Table {table} has no column {column_name} any more. Check whether another revision runs."
        )
    return column
