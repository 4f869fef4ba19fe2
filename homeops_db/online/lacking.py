"""What a table lacks before it can be attached at once: indexes and constraints that its parent has."""

from collections.abc import Sequence
from typing import Final

from psycopg import Connection

from homeops_db.catalog import constraints, indexes, partitions
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.tables import Table

_INDEX_MAKERS: Final = {
    None: "online.create_index()",
    constraints.UNIQUE: "online.create_unique_constraint()",
    constraints.PRIMARY_KEY: (
        "online.create_index(unique=True), then op.execute('ALTER TABLE ... ADD PRIMARY KEY USING INDEX ...')"
    ),
}


def of_partition(
    connection: Connection, parent: Table, partition: Table, built: Sequence[Index]
) -> list[str]:
    """Name what the partition lacks, each with the operation that makes it.

    Args:
        connection: Takes no lock.
        parent: What it shall be attached to.
        partition: The table.
        built: Indexes that attaching a clone of it built.
    """
    return [
        *_indexes(connection, parent, partition, built),
        *_not_valid(connection, parent, partition),
        *_foreign_keys(connection, parent, partition),
    ]


def _indexes(connection: Connection, parent: Table, partition: Table, built: Sequence[Index]) -> list[str]:
    kinds = {found.name: found.kind for found in constraints.of_table(connection, parent.oid)}
    wanted = {index.definition: index for index in indexes.of_table(connection, parent.oid)}
    missing = []
    for index in built:
        original = wanted.get(index.definition, index)
        kind = kinds.get(original.constraint or "")
        maker = _INDEX_MAKERS.get(kind, "a maintenance window")
        missing.append(f"index {original.name} ({index.definition}): {maker}")
    return missing + [
        f"a valid index {index.name}: online.reindex()"
        for index in indexes.of_table(connection, partition.oid)
        if not index.is_valid and index.definition in wanted
    ]


def _not_valid(connection: Connection, parent: Table, partition: Table) -> list[str]:
    checks = {c.name for c in constraints.of_table(connection, parent.oid) if c.kind == constraints.CHECK}
    return [
        f"a validated {found.name} ({found.definition}): online.validate_constraint()"
        for found in constraints.of_table(connection, partition.oid)
        if not found.is_validated and (found.name in checks or found.kind == constraints.NOT_NULL)
    ]


def _foreign_keys(connection: Connection, parent: Table, partition: Table) -> list[str]:
    own = {
        (found.referent_oid, found.definition): found
        for found in partitions.foreign_keys(connection, partition.oid)
    }
    missing = []
    for wanted in partitions.foreign_keys(connection, parent.oid):
        found = own.get((wanted.referent_oid, wanted.definition))
        if found is None:
            missing.append(f"{wanted.name} ({wanted.definition}): online.create_foreign_key()")
        elif not found.is_validated:
            missing.append(f"a validated {found.name} ({found.definition}): online.validate_constraint()")
    return missing
