"""Tables as the catalog has them: what kind, whose, and in how many pieces."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

TABLE: LiteralString = """
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, c.relkind::text as kind,
       c.relispartition as is_partition, pg_get_userbyid(c.relowner) as owner,
       pg_has_role(c.relowner, 'USAGE') as is_ours
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = to_regclass(case when %(schema)s::text is null then quote_ident(%(name)s)
                               else format('%%I.%%I', %(schema)s::text, %(name)s::text) end)
"""

# Partitions and inheritance children, each level before the next; the table itself is the first.
TREE: LiteralString = """
with recursive tree (oid, level) as (
    select %(oid)s::oid, 0
    union all
    select i.inhrelid, t.level + 1 from tree t join pg_inherits i on i.inhparent = t.oid
)
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, c.relkind::text as kind,
       c.relispartition as is_partition, pg_get_userbyid(c.relowner) as owner,
       pg_has_role(c.relowner, 'USAGE') as is_ours
from tree t
join pg_class c on c.oid = t.oid
join pg_namespace n on n.oid = c.relnamespace
order by t.level, n.nspname, c.relname
"""

_HAS_HYPERTABLES: LiteralString = "select to_regclass('_timescaledb_catalog.hypertable') is not null"
IS_HYPERTABLE: LiteralString = """
select exists (select from _timescaledb_catalog.hypertable h
               where h.schema_name = %(schema)s and h.table_name = %(name)s)
"""


@dataclass(frozen=True)
class Table:
    """One relation with rows, or the parent of such. ``kind`` is pg_class.relkind."""

    oid: int
    schema: str
    name: str
    kind: str
    is_partition: bool
    owner: str
    is_ours: bool

    @property
    def is_partitioned(self) -> bool:
        """Whether it is a partitioned table: it has no rows of its own."""
        return self.kind == "p"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def table(connection: Connection, name: str, schema: str | None) -> Table | None:
    """Read the relation of that name; without a schema, by the search path. Takes no lock."""
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        return cursor.execute(TABLE, {"schema": schema, "name": name}).fetchone()


def by_oid(connection: Connection, oid: int) -> Table | None:
    """Read one relation. Takes no lock."""
    return next(iter(tree(connection, oid)), None)


def tree(connection: Connection, oid: int) -> list[Table]:
    """Read a table and all its partitions or children, parents before children. Takes no lock."""
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        return cursor.execute(TREE, {"oid": oid}).fetchall()


def is_hypertable(connection: Connection, table: Table) -> bool:
    """Read whether TimescaleDB keeps the table in chunks. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        if not cursor.execute(_HAS_HYPERTABLES).fetchone():
            return False
        return bool(cursor.execute(IS_HYPERTABLE, {"schema": table.schema, "name": table.name}).fetchone())
