"""Validates constraints: reads go on, writes go on, and what is found is named."""

from psycopg import Connection, sql
from psycopg.errors import CheckViolation, ForeignKeyViolation, NotNullViolation

from homeops_db.catalog import constraints, locks, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking import watch
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online import constraint, subject, violations
from homeops_db.online.work import Done, Work, at_work, is_offline, lift_timeouts, script

_KINDS = (constraints.CHECK, constraints.FOREIGN_KEY, constraints.NOT_NULL)


def validate_constraint(constraint_name: str, table_name: str, *, schema: str | None = None) -> Done:
    """Check the rows that were there before a NOT VALID constraint, while reads and writes go on.

    Args:
        constraint_name: A CHECK or a foreign key; on PostgreSQL 18 also a NOT NULL.
        table_name: Its table.
        schema: The table's schema; by the search path when None.

    Returns:
        What was done. ``changed`` is False when it was validated already.

    Raises:
        ObjectError: There is no such constraint, or it is of a kind that is always valid.
        ViolationError: Rows contradict it: their count, up to 10 keys, and the query that finds them. It
            stays NOT VALID.
        LockTimeoutError: The locks weren't to be had.

    Locks: SHARE UPDATE EXCLUSIVE on the table for the whole scan (other DDL and autovacuum wait, reads and
    writes don't); for a foreign key also ROW SHARE on the other table. The scan has no timeout.
    A re-run starts the scan again, or finds the constraint validated. Its downgrade is nothing: a
    validated constraint means the same.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-DESC-VALIDATE-CONSTRAINT
    """
    name = constraint.named(constraint_name)
    what = constraint.label(name, table_name, schema)
    if is_offline():
        with script("validate_constraint", what) as out:
            out.write_alone(statement(table_name, schema, name))
        return Done("validate_constraint", what, changed=True)
    with at_work("validate_constraint", what) as work:
        validate(work, subject.table_of(work.connection, table_name, schema), name)
        return work.done()


def validate(work: Work, table: Table, constraint_name: str) -> None:
    """Validate a constraint in a transaction of its own, unless it is valid already.

    Args:
        work: The operation.
        table: The table.
        constraint_name: A CHECK, a foreign key or, on PostgreSQL 18, a NOT NULL of it.

    Raises:
        ObjectError: There is no such constraint, or it is of a kind that is always valid.
        ViolationError: Rows contradict it; it stays NOT VALID.
    """
    found = _of(work.connection, table, constraint_name)
    if found.is_validated:
        return

    def scan(connection: Connection) -> None:
        # The tables' locks are held: nobody who reads or writes waits for what is left, however long.
        lift_timeouts(connection)
        with watch.paused():
            connection.execute(statement(table.name, table.schema, constraint_name).encode())

    try:
        work.under_locks(_wants(work.connection, table, found), scan, step="validate")
    except (CheckViolation, ForeignKeyViolation, NotNullViolation):
        raise violations.violation(work.connection, table, found) from None


def statement(table_name: str, schema: str | None, constraint_name: str) -> str:
    """Write the statement that validates a constraint."""
    name = sql.Identifier(schema, table_name) if schema else sql.Identifier(table_name)
    validation = sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}")
    return validation.format(name, sql.Identifier(constraint_name)).as_string()


def _of(connection: Connection, table: Table, name: str) -> Constraint:
    found = constraints.constraint(connection, table.oid, name)
    if found is None:
        raise ObjectError(
            f"Table {table} has no constraint {name}. Nothing was changed. Check the names in the revision."
        )
    if found.kind not in _KINDS or not found.is_enforced:
        raise ObjectError(
            f"Constraint {name} of {table} can't be validated: {found.definition}. Nothing was changed. "
            "Only a CHECK, a foreign key or a NOT NULL can be NOT VALID: leave this call out."
        )
    return found


def _wants(connection: Connection, table: Table, found: Constraint) -> list[Wanted]:
    wants = [wanted(connection, table, locks.SHARE_UPDATE_EXCLUSIVE)]
    if found.kind == constraints.FOREIGN_KEY and found.referent_oid != table.oid:
        referent = tables.tree(connection, found.referent_oid)[0]
        wants.append(wanted(connection, referent, locks.ROW_SHARE))
    return wants
