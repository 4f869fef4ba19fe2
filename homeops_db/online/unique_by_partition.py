"""UNIQUE constraints of a partitioned table: the parent's first, then each partition's, then attached.

As pg_dump writes them: the parent's constraint is made ONLY there, and isn't valid until the index of
each partition is attached to it. What becomes a partition meanwhile gets its own by itself.
"""

from collections.abc import Sequence
from typing import Final

from psycopg import Connection
from psycopg.errors import NotSupportedError, ProgrammingError

from homeops_db.catalog import constraints, locks, partitions, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import alone, wanted
from homeops_db.online import constraint, index, subject
from homeops_db.online.unique_definition import Asked, attachment
from homeops_db.online.work import Work

_DIVIDED: Final = "homeops_clone_divided"


def ensure(work: Work, asked: Asked, table: Table, meaning: str) -> None:
    """Make the constraint on a partitioned table and all below it; goes on with what it finds.

    Raises:
        ObjectError: A partition is a foreign table, or the key lacks columns that a table is partitioned by.
        ViolationError: Rows of a partition have equal keys.
    """
    for part in tables.tree(work.connection, table.oid):
        if part.kind == "f":
            raise ObjectError(
                f"The partition {part} is a foreign table, and can't have unique indexes. Nothing was "
                "changed. Detach it first."
            )
        found = constraints.constraint(work.connection, part.oid, name_of(part.name, asked.columns))
        if part.oid != table.oid and found is not None and found.definition != meaning:
            raise constraint.another(part, found)
        if part.is_partitioned and part.oid != table.oid:
            _refuse_key(work, asked, part)
    _ensure_below(work, asked, table, _ensure_only(work, asked, table, asked.name), meaning)


def _refuse_key(work: Work, asked: Asked, part: Table) -> None:
    """Have the server say whether the key can be unique below, before anything is made above."""

    def ask(connection: Connection, clone: str) -> None:
        divided = f"PARTITION BY {partitions.key(connection, part.oid)}"
        connection.execute(f"CREATE TEMPORARY TABLE {_DIVIDED} (LIKE {clone}) {divided}".encode())
        connection.execute(asked.sql((_DIVIDED, "pg_temp")).encode())

    try:
        subject.on_clone(work, part, ask, like="")
    except (ProgrammingError, NotSupportedError) as error:
        raise constraint.refused(part, error) from error


def _ensure_below(work: Work, asked: Asked, table: Table, parent: Constraint, meaning: str) -> None:
    for part in subject.parts_of(work.connection, table):
        found = _of_part(work, part, parent, meaning)
        name = found.name if found else name_of(part.name, asked.columns)
        if part.is_partitioned:
            _ensure_below(work, asked, part, found or _ensure_only(work, asked, part, name), meaning)
        elif found is None:
            index.ensure(work, part, name, asked.index(name))
        if found is None or found.parent_oid != parent.oid:
            statements = [attachment((table.name, table.schema), parent.name, part.schema, name)]
            if found is None and not part.is_partitioned:
                statements.insert(0, asked.adoption((part.name, part.schema), name))
            lock = (
                alone(part, locks.ACCESS_EXCLUSIVE) if part.is_partitioned else wanted(work.connection, part)
            )
            work.execute([lock], *statements, step=f"attach {part}")


def _ensure_only(work: Work, asked: Asked, table: Table, name: str) -> Constraint:
    """Give the constraint that stands on a parent alone; made where it isn't there."""
    found = constraints.constraint(work.connection, table.oid, name)
    if found is None:
        add = asked.only((table.name, table.schema), name)
        try:
            work.execute([alone(table, locks.ACCESS_EXCLUSIVE)], add, step=f"add to {table}")
        except (ProgrammingError, NotSupportedError) as error:
            raise constraint.refused(table, error) from error
        found = constraints.constraint(work.connection, table.oid, name)
    assert found is not None
    return found


def _of_part(work: Work, part: Table, parent: Constraint, meaning: str) -> Constraint | None:
    """Give the partition's own constraint: the attached one, else one that can be."""
    same = [
        found
        for found in constraints.of_table(work.connection, part.oid)
        if found.definition == meaning and found.parent_oid in (0, parent.oid)
    ]
    return max(same, key=lambda found: found.parent_oid, default=None)


def name_of(part: str, columns: Sequence[str]) -> str:
    """Name a partition's constraint as the server would; a longer name begins with its hash, and is cut."""
    return subject.shortened(part + name_suffix(columns))


def name_suffix(columns: Sequence[str]) -> str:
    """Give what is put behind a partition's name."""
    return f"_{'_'.join(columns)}_key"
