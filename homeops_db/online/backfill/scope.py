"""Which tables one backfill reads and writes, by their oids: what its beginning is looked at for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection

from homeops_db.catalog import columns, tables
from homeops_db.catalog.firing import DELETE, INSERT, UPDATE
from homeops_db.catalog.tables import Table
from homeops_db.online.backfill.job import Job

_VERBS: Final = {"backfill": UPDATE, "batched_insert": INSERT, "batched_delete": DELETE}


@dataclass(frozen=True)
class Scope:
    """What is done to which tables.

    Attributes:
        job: What is done.
        verb: UPDATE, INSERT or DELETE.
        root: The table that is gone through, as the author names it.
        leaves: It and what is below it, as far as it has rows.
        written: Those that the rows are written to.
        whole: The table that the rows are written to, as the author names it.
        columns: Those that are set; of an insert all, the others by their defaults.
    """

    job: Job
    verb: str
    root: Table
    leaves: Sequence[Table]
    written: Sequence[Table]
    whole: Table
    columns: Sequence[str]

    @property
    def oids(self) -> list[int]:
        """Of the tables that are written."""
        return [table.oid for table in self.written]

    @property
    def is_by_leaf(self) -> bool:
        """Whether statements name the leaves, and not the table itself."""
        return self.verb != INSERT and self.whole.oid not in self.oids


def scope(connection: Connection, job: Job, root: Table, leaves: Sequence[Table]) -> Scope:
    """Look up which tables are written. Takes no lock.

    Args:
        connection: Any.
        job: What is done.
        root: The table that is gone through.
        leaves: Its leaves.
    """
    verb, target = _VERBS[job.operation], job.fills
    if target is None:
        return Scope(job, verb, root, leaves, leaves, root, job.columns)
    written = [target]
    if target.is_partitioned:
        written += [table for table in tables.tree(connection, target.oid) if not table.is_partitioned]
    names = columns.names(connection, target.oid)
    return Scope(job, verb, root, leaves, written, target, names)
