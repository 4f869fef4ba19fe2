"""Partitions as the catalog has them: their bounds, and what attaching or detaching one touches."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

PARTITION: LiteralString = """
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, i.inhparent::bigint as parent_oid,
       i.inhparent::regclass::text as parent, coalesce(pg_get_expr(c.relpartbound, c.oid), '') as bound,
       i.inhdetachpending as is_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
join pg_namespace n on n.oid = c.relnamespace
"""
OF_PARENT: LiteralString = PARTITION + "where i.inhparent = %(oid)s order by n.nspname, c.relname"
PLACE: LiteralString = PARTITION + "where i.inhrelid = %(oid)s"

KEY: LiteralString = "select pg_get_partkeydef(%(oid)s)"
CONDITION: LiteralString = "select pg_get_partition_constraintdef(%(oid)s)"
BOUND: LiteralString = (
    "select coalesce(pg_get_expr(relpartbound, oid), '') from pg_class where oid = %(oid)s::oid"
)

# Of a foreign key to a partitioned table there is one more row for each partition of that, below the
# first one; an inherited key hangs below that of another table.
_FOREIGN_KEY: LiteralString = """
select k.conname as name, k.conrelid::bigint as table_oid, k.conrelid::regclass::text as table,
       k.confrelid::bigint as referent_oid, k.confrelid::regclass::text as referent,
       regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') as definition,
       k.convalidated as is_validated
from pg_constraint k
left join pg_constraint above on above.oid = k.conparentid
where k.contype = 'f'
"""
FOREIGN_KEYS: LiteralString = (
    _FOREIGN_KEY
    + "and k.conrelid = %(oid)s and above.conrelid is distinct from k.conrelid order by k.conname"
)
# What a referring table's partitions have of its key is left out.
REFERENCES: LiteralString = (
    _FOREIGN_KEY
    + "and k.confrelid = %(oid)s and above.confrelid is distinct from k.confrelid order by 3, k.conname"
)

# This transaction's own counters: no statistics of others, and no delay.
SCANS: LiteralString = "select pg_stat_get_xact_numscans(%(oid)s)"

# For psql, in a transaction that is rolled back: it keeps what the server made of the bound.
SCRIPTED_BOUND: LiteralString = r"""
BEGIN;
SELECT format('CREATE TEMPORARY TABLE homeops_parent (LIKE %s) PARTITION BY %s',
              {parent_name}, pg_get_partkeydef({parent_oid})) \gexec
SELECT format('CREATE TEMPORARY TABLE %I PARTITION OF pg_temp.homeops_parent %s',
              'homeops_partition_' || row_number() OVER (), pg_get_expr(c.relpartbound, c.oid))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = {parent_oid} \gexec
CREATE TEMPORARY TABLE homeops_partition PARTITION OF pg_temp.homeops_parent {bound};
SELECT replace(pg_get_partition_constraintdef('pg_temp.homeops_partition'::regclass),
               quote_literal('pg_temp.homeops_parent'::regclass::oid) || '::oid',
               quote_literal({parent_oid}::oid) || '::oid') AS homeops_own,
       coalesce(pg_get_partition_constraintdef({parent_oid}), 'true') AS homeops_above,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.inhparent = {parent_oid}
          AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') AS homeops_default \gset
ROLLBACK;
"""
SCRIPTED_DETACH: LiteralString = r"""
SELECT array(SELECT conname FROM pg_constraint
             WHERE conrelid = {table_oid} AND contype = 'c')::text AS homeops_checks,
       exists (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = {parent_oid}
                 AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') AS homeops_has_default \gset
\if :homeops_has_default
"""
# What DETACH CONCURRENTLY left.
SCRIPTED_LEFT_CHECK: LiteralString = r"""
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', {table_name}, conname)
FROM pg_constraint
WHERE conrelid = {table_oid} AND contype = 'c' AND conname <> ALL (:'homeops_checks'::name[]) \gexec
"""


@dataclass(frozen=True)
class Partition:
    """A table below another: a partition with its ``bound``, or an inheritance child without one.

    ``is_pending`` means that an interrupted DETACH CONCURRENTLY left it half detached.
    """

    oid: int
    schema: str
    name: str
    parent_oid: int
    parent: str
    bound: str
    is_pending: bool

    @property
    def is_default(self) -> bool:
        """Whether it takes the rows that no other partition takes."""
        return self.bound == "DEFAULT"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key, and the two tables that it is between; ``definition`` leaves NOT VALID out."""

    name: str
    table_oid: int
    table: str
    referent_oid: int
    referent: str
    definition: str
    is_validated: bool


def of_parent(connection: Connection, oid: int) -> list[Partition]:
    """Read the partitions or children of a table, one level. Takes no lock."""
    with connection.cursor(row_factory=class_row(Partition)) as cursor:
        return cursor.execute(OF_PARENT, {"oid": oid}).fetchall()


def places(connection: Connection, oid: int) -> list[Partition]:
    """Read where a table hangs below others; as a partition, below one. Takes no lock."""
    with connection.cursor(row_factory=class_row(Partition)) as cursor:
        return cursor.execute(PLACE, {"oid": oid}).fetchall()


def foreign_keys(connection: Connection, oid: int) -> list[ForeignKey]:
    """Read the foreign keys of a table, inherited ones with them. Takes no lock."""
    with connection.cursor(row_factory=class_row(ForeignKey)) as cursor:
        return cursor.execute(FOREIGN_KEYS, {"oid": oid}).fetchall()


def references(connection: Connection, oid: int) -> list[ForeignKey]:
    """Read the foreign keys that refer to a table. Takes no lock."""
    with connection.cursor(row_factory=class_row(ForeignKey)) as cursor:
        return cursor.execute(REFERENCES, {"oid": oid}).fetchall()


def key(connection: Connection, oid: int) -> str:
    """Read how a partitioned table is divided, as PARTITION BY has it. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(KEY, {"oid": oid}).fetchone())


def condition(connection: Connection, oid: int) -> str | None:
    """Read what the rows of a partition fulfil, by its place in the tree; None if that is anything.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(CONDITION, {"oid": oid}).fetchone()


def bound(connection: Connection, oid: int) -> str:
    """Read a partition's bound, as the server writes it. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(BOUND, {"oid": oid}).fetchone())


def scans(connection: Connection, oid: int) -> int:
    """Read how often this transaction began to scan a table from end to end. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(SCANS, {"oid": oid}).fetchone() or 0)
