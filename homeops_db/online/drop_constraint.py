"""Drops a constraint: short, but under the strongest lock."""

from alembic.operations import Operations
from psycopg.errors import DependentObjectsStillExist, NotSupportedError, ProgrammingError

from homeops_db.catalog import constraints, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online import constraint, rendered, subject
from homeops_db.online.work import Done, Work, at_work, is_offline, script

_KINDS = {
    "check": constraints.CHECK,
    "foreignkey": constraints.FOREIGN_KEY,
    "primary": constraints.PRIMARY_KEY,
    "unique": constraints.UNIQUE,
}


def drop_constraint(
    constraint_name: str | None,
    table_name: str,
    type_: str | None = None,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
) -> Done:
    """Drop a constraint without a queue behind it; twin of ``op.drop_constraint``.

    Args:
        constraint_name: Its name.
        table_name: Its table.
        type_: "check", "foreignkey", "primary" or "unique": another one by that name is refused.
        schema: The table's schema; by the search path when None.
        if_exists: Do nothing when it isn't there.

    Returns:
        What was done. ``changed`` is False when it was gone already.

    Raises:
        ObjectError: There is no such constraint, it is of another type, inherited, or something else
            depends on it.
        LockTimeoutError: The locks weren't to be had.

    Locks: ACCESS EXCLUSIVE on the table and its partitions for some milliseconds; for a foreign key on the
    other table too. A re-run after an interruption finds it gone, and goes on. Its downgrade is what
    creates the constraint.
    Method: https://www.postgresql.org/docs/17/sql-altertable.html#SQL-ALTERTABLE-DESC-DROP-CONSTRAINT
    """
    name = constraint.named(constraint_name)
    what = constraint.label(name, table_name, schema)
    kind = _kind(type_)

    def render(table: str, schema: str | None) -> str:
        def drop(op: Operations) -> None:
            op.drop_constraint(name, table, type_=type_, schema=schema, if_exists=if_exists)

        return rendered.statement(drop)

    if is_offline():
        with script("drop_constraint", what) as out:
            out.write(render(table_name, schema))
        return Done("drop_constraint", what, changed=True)
    with at_work("drop_constraint", what) as work:
        found = _find(work, table_name, schema, name, if_exists=bool(if_exists))
        if found is not None:
            table, dropped = found
            _refuse(work, table, dropped, kind)
            _drop(work, table, dropped, render(table.name, table.schema))
        return work.done()


def _kind(type_: str | None) -> str | None:
    if type_ is not None and type_ not in _KINDS:
        raise ObjectError(
            f"type_ is {type_!r}. Nothing was changed. Write one of {', '.join(_KINDS)}, or leave it out."
        )
    return None if type_ is None else _KINDS[type_]


def _find(
    work: Work, table_name: str, schema: str | None, name: str, *, if_exists: bool
) -> tuple[Table, Constraint] | None:
    if tables.table(work.connection, table_name, schema) is None and work.began_before():
        return None  # a later step of the revision dropped the table too
    table = subject.table_of(work.connection, table_name, schema)
    found = constraints.constraint(work.connection, table.oid, name)
    if found is not None:
        return table, found
    if if_exists or work.began_before():
        return None
    raise ObjectError(
        f"Table {table} has no constraint {name}. Nothing was changed. Check the names in the revision, or "
        "write if_exists=True."
    )


def _refuse(work: Work, table: Table, found: Constraint, kind: str | None) -> None:
    if kind is not None and found.kind != kind:
        raise ObjectError(
            f"Constraint {found.name} of {table} is of another type: {found.definition}. Nothing was "
            "changed. Correct type_ or the name in the revision."
        )
    if found.is_inherited:
        parent = constraints.parent(work.connection, found.oid) or "another constraint"
        raise ObjectError(
            f"Constraint {found.name} of {table} is inherited from {parent}. Nothing was changed. Drop it "
            "there: it goes from here as well."
        )
    if found.kind in (constraints.PRIMARY_KEY, constraints.UNIQUE):
        keys = constraints.depending_keys(work.connection, found.index_oid)
        if keys:
            raise ObjectError(
                f"Constraint {found.name} of {table} is needed by the foreign keys {', '.join(keys)}. "
                "Nothing was changed. Drop them first with online.drop_constraint()."
            )


def _drop(work: Work, table: Table, found: Constraint, statement: str) -> None:
    wants = [wanted(work.connection, table)]
    if found.kind == constraints.FOREIGN_KEY and found.referent_oid != table.oid:
        # Its triggers on the other table go too.
        wants.append(wanted(work.connection, tables.tree(work.connection, found.referent_oid)[0]))
    work.announce()
    try:
        work.execute(wants, statement, step="drop")
    except DependentObjectsStillExist as error:
        detail = " ".join((error.diag.message_detail or "").split())
        raise ObjectError(
            f"Constraint {found.name} of {table} is still needed: {detail.rstrip('.')}. Nothing was changed. "
            "Drop that first."
        ) from error
    except (ProgrammingError, NotSupportedError) as error:
        raise constraint.refused(table, error) from error
