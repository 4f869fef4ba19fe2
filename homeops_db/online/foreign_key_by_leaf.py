"""Foreign keys of a partitioned table before PostgreSQL 18, which can't add them NOT VALID there.

Each leaf gets its key NOT VALID, and has it validated. The key that is then added to the parent adopts
them without reading a row, because each is valid and means the same
(tryAttachPartitionForeignKey in the server's tablecmds.c).
"""

from psycopg import Connection

from homeops_db.catalog import constraints, locks, tables
from homeops_db.catalog.constraints import Constraint
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import validation
from homeops_db.online.foreign_key_definition import ForeignKey
from homeops_db.online.work import Work


def ensure(work: Work, key: ForeignKey) -> None:
    """Bring a key onto every leaf and then onto the parent; goes on with what it finds.

    Raises:
        ObjectError: A partition has another constraint by that name, or is a foreign table.
        ViolationError: Rows of a leaf refer to nothing; its key stays NOT VALID.
    """
    for part in tables.tree(work.connection, key.source.oid):
        _refuse_foreign(part)
        key.refuse_taken(work.connection, part)
    while True:
        for leaf in _leaves(work.connection, key):
            _ensure_leaf(work, key, leaf)
        # The keys that the parent's adopts lose their triggers on the other table: ACCESS EXCLUSIVE
        # there, and asked for from the start, because a lock that is raised later deadlocks.
        wants = key.wants(work.connection, key.source, locks.ACCESS_EXCLUSIVE)
        if work.under_locks(wants, lambda connection: _attach(connection, key), step="attach"):
            return


def _ensure_leaf(work: Work, key: ForeignKey, leaf: Table) -> None:
    found = _key_of(work.connection, key, leaf)
    if found is None:
        wants = key.wants(work.connection, leaf, locks.SHARE_ROW_EXCLUSIVE)
        work.execute(wants, key.sql(leaf, not_valid=True), step=f"add to {leaf}")
    validation.validate(work, leaf, found.name if found else key.name)


def _attach(connection: Connection, key: ForeignKey) -> bool:
    """Add the parent's key, unless a partition that came meanwhile would be read under the lock."""
    keys = [_key_of(connection, key, leaf) for leaf in _leaves(connection, key)]
    if not all(found is not None and found.is_validated for found in keys):
        return False
    connection.execute(key.sql(key.source, not_valid=False).encode())
    return True


def _leaves(connection: Connection, key: ForeignKey) -> list[Table]:
    return [part for part in tables.tree(connection, key.source.oid) if not part.is_partitioned]


def _key_of(connection: Connection, key: ForeignKey, leaf: Table) -> Constraint | None:
    """Give the leaf's key that the parent's would adopt, whatever its name; a validated one first."""
    same = [found for found in constraints.of_table(connection, leaf.oid) if key.is_same(found)]
    return max(same, key=lambda found: found.is_validated, default=None)


def _refuse_foreign(part: Table) -> None:
    if part.kind == "f":
        raise ObjectError(
            f"The partition {part} is a foreign table, and can't have foreign keys. Nothing was changed. "
            "Detach it first."
        )
