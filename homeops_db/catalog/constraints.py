"""Constraints as the catalog has them: validated or not, inherited or not, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

from homeops_db.catalog.tables import Table

_PARTITIONED_NOT_VALID: Final = 180000

CHECK: Final = "c"
FOREIGN_KEY: Final = "f"
NOT_NULL: Final = "n"
PRIMARY_KEY: Final = "p"
UNIQUE: Final = "u"

# pg_get_constraintdef puts NOT VALID last; what stands before it is what the constraint means.
# conenforced came with PostgreSQL 18: read as JSON it may be missing. Of a foreign key, conindid is
# the index of the other table.
CONSTRAINT: LiteralString = """
select c.oid::bigint as oid, c.conname as name, c.contype::text as kind, c.conrelid::bigint as table_oid,
       c.convalidated as is_validated,
       coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true) as is_enforced,
       c.conparentid::bigint as parent_oid, c.coninhcount > 0 as is_inherited, c.connoinherit as stays_here,
       c.conindid::bigint as index_oid, c.confrelid::bigint as referent_oid,
       array(select a.attname::text
             from unnest(c.conkey) with ordinality k (number, place)
             join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
             order by k.place) as columns,
       array(select a.attname::text
             from unnest(c.confkey) with ordinality k (number, place)
             join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.number
             order by k.place) as referent_columns,
       concat_ws(' ', c.confupdtype::text, c.confdeltype::text, c.confmatchtype::text, c.condeferrable,
                 c.condeferred, array(select a.attname
                                      from unnest(c.confdelsetcols) k (number)
                                      join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
                                      order by 1)::text) as rules,
       c.confmatchtype = 'f' as matches_full,
       regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '') as definition,
       pg_get_expr(c.conbin, c.conrelid) as condition
from pg_constraint c
"""
BY_OID: LiteralString = CONSTRAINT + "where c.oid = %(oid)s"
BY_NAME: LiteralString = CONSTRAINT + "where c.conrelid = %(oid)s and c.conname = %(name)s"
OF_TABLE: LiteralString = CONSTRAINT + "where c.conrelid = %(oid)s order by c.conname"

PRIMARY_KEY_COLUMNS: LiteralString = """
select a.attname
from pg_constraint c
cross join lateral unnest(c.conkey) with ordinality k (number, place)
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
where c.conrelid = %(oid)s and c.contype = 'p'
order by k.place
"""

# A comparison of unlike collations takes the referenced column's, as the server's own check does.
PAIRS: LiteralString = """
select a.attname as column, r.attname as referent_column,
       format('OPERATOR(%%I.%%s)', n.nspname, o.oprname) as operator,
       case when r.attcollation not in (0, a.attcollation)
            then format(' COLLATE %%I.%%I', cn.nspname, l.collname) else '' end as collate
from pg_constraint c
cross join lateral unnest(c.conkey, c.confkey, c.conpfeqop) with ordinality k (number, other, op, place)
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
join pg_attribute r on r.attrelid = c.confrelid and r.attnum = k.other
join pg_operator o on o.oid = k.op
join pg_namespace n on n.oid = o.oprnamespace
left join pg_collation l on l.oid = r.attcollation
left join pg_namespace cn on cn.oid = l.collnamespace
where c.oid = %(oid)s
order by k.place
"""

# A foreign key's check and its cascades use an index that begins with its columns, in any order.
HAS_INDEX: LiteralString = """
select exists (
    select from pg_index i
    where i.indrelid = %(oid)s and i.indisvalid and i.indpred is null
      and (select count(*) = cardinality(%(columns)s::text[])
           from unnest(i.indkey) with ordinality k (number, place)
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
           where k.place <= cardinality(%(columns)s::text[]) and a.attname = any(%(columns)s)))
"""

# Those that the server would drop with a key, or refuse to drop it for.
DEPENDING_KEYS: LiteralString = """
select format('%%I of %%s', c.conname, c.conrelid::regclass)
from pg_constraint c
where c.contype = 'f' and c.conindid = %(index)s and c.conparentid = 0
order by 1
"""

PARENT: LiteralString = """
select format('%%I.%%I', n.nspname, p.relname)
from pg_constraint c
join pg_inherits i on i.inhrelid = c.conrelid
join pg_class p on p.oid = i.inhparent
join pg_namespace n on n.oid = p.relnamespace
where c.oid = %(oid)s
  and exists (select from pg_constraint o
              where o.conrelid = p.oid and (o.oid = c.conparentid or o.conname = c.conname))
order by i.inhseqno
limit 1
"""

# For scripts, which don't know what they will meet: psql asks (\gset), and sends what it gets (\gexec).
SCRIPTED_BY_LEAF: LiteralString = """
SELECT relkind = 'p' AND current_setting('server_version_num')::int < 180000 AS homeops_by_leaf
FROM pg_class WHERE oid = {table}::regclass
"""
SCRIPTED_PARTITIONED: LiteralString = """
SELECT relkind = 'p' AS homeops_partitioned FROM pg_class WHERE oid = {table}::regclass
"""
# A name that is longer than the server keeps begins with its hash: it is cut at the other end.
SCRIPTED_PARTITIONS: LiteralString = """
SELECT {change}
FROM (SELECT p.relid::regclass AS part, p.isleaf AS is_leaf, p.level,
             c.relnamespace::regnamespace AS schema, a.relnamespace::regnamespace AS parent_schema,
             CASE WHEN octet_length(k.own) <= 63 THEN k.own
                  ELSE left(md5(k.own), 8) || '_' || k.own END AS name,
             CASE WHEN p.level = 1 THEN {constraint} WHEN octet_length(k.above) <= 63 THEN k.above
                  ELSE left(md5(k.above), 8) || '_' || k.above END AS parent_name
      FROM pg_partition_tree({table}::regclass) p
      JOIN pg_class c ON c.oid = p.relid
      JOIN pg_class a ON a.oid = p.parentrelid
      CROSS JOIN LATERAL (SELECT c.relname || {suffix}, a.relname || {suffix}) k (own, above)) parts
WHERE {which}
"""
SCRIPTED_LEAVES: LiteralString = """
SELECT 'ALTER TABLE ' || relid::regclass || {change}
FROM pg_partition_tree({table}::regclass) WHERE isleaf ORDER BY relid::regclass::text
"""

REFERRING: LiteralString = """
select distinct c.conrelid::bigint from pg_constraint c
where c.confrelid = %(oid)s and c.contype = 'f' and c.conrelid <> c.confrelid and c.conparentid = 0
order by 1
"""


@dataclass(frozen=True)
class Constraint:
    """One constraint of a table.

    ``definition`` is what it means, without NOT VALID; ``condition`` is a CHECK's expression; ``rules``
    are a foreign key's actions, match type and deferral; ``stays_here`` is NO INHERIT.
    """

    oid: int
    name: str
    kind: str
    table_oid: int
    is_validated: bool
    is_enforced: bool
    parent_oid: int
    is_inherited: bool
    stays_here: bool
    index_oid: int
    referent_oid: int
    columns: list[str]
    referent_columns: list[str]
    rules: str
    matches_full: bool
    definition: str
    condition: str | None

    def means_the_same(self, other: "Constraint") -> bool:
        """Whether two foreign keys differ in nothing but their names, tables and validation."""
        mine = sorted(zip(self.columns, self.referent_columns, strict=True))
        theirs = sorted(zip(other.columns, other.referent_columns, strict=True))
        return (self.kind, mine, self.rules, self.is_enforced) == (
            other.kind,
            theirs,
            other.rules,
            other.is_enforced,
        )


@dataclass(frozen=True)
class Pair:
    """A referencing column, the column that it refers to, and how the two are compared."""

    column: str
    referent_column: str
    operator: str
    collate: str


def constraint(connection: Connection, table_oid: int, name: str) -> Constraint | None:
    """Read the constraint of that name on a table. Takes no lock."""
    with connection.cursor(row_factory=class_row(Constraint)) as cursor:
        return cursor.execute(BY_NAME, {"oid": table_oid, "name": name}).fetchone()


def by_oid(connection: Connection, oid: int) -> Constraint | None:
    """Read one constraint. Takes no lock."""
    with connection.cursor(row_factory=class_row(Constraint)) as cursor:
        return cursor.execute(BY_OID, {"oid": oid}).fetchone()


def of_table(connection: Connection, table_oid: int) -> list[Constraint]:
    """Read the constraints of a table, by name. Takes no lock."""
    with connection.cursor(row_factory=class_row(Constraint)) as cursor:
        return cursor.execute(OF_TABLE, {"oid": table_oid}).fetchall()


def referring(connection: Connection, table_oid: int) -> list[int]:
    """Read which other tables have foreign keys to a table. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(REFERRING, {"oid": table_oid}).fetchall()


def primary_key(connection: Connection, table_oid: int) -> Sequence[str]:
    """Read the columns of a table's primary key; none without one. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(PRIMARY_KEY_COLUMNS, {"oid": table_oid}).fetchall()


def pairs(connection: Connection, foreign_key_oid: int) -> list[Pair]:
    """Read how a foreign key compares its columns. Takes no lock."""
    with connection.cursor(row_factory=class_row(Pair)) as cursor:
        return cursor.execute(PAIRS, {"oid": foreign_key_oid}).fetchall()


def has_index(connection: Connection, table_oid: int, columns: Sequence[str]) -> bool:
    """Read whether a whole, valid index begins with these columns, in any order. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(HAS_INDEX, {"oid": table_oid, "columns": list(columns)}).fetchone())


def depending_keys(connection: Connection, index_oid: int) -> Sequence[str]:
    """Read which foreign keys refer to the columns of a unique index, and so depend on it. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(DEPENDING_KEYS, {"index": index_oid}).fetchall()


def parent(connection: Connection, constraint_oid: int) -> str | None:
    """Read from which table a constraint is inherited. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(PARENT, {"oid": constraint_oid}).fetchone()


def keeps_not_valid(connection: Connection, table: Table) -> bool:
    """Tell whether the server can add a foreign key to this table NOT VALID.

    It can't to a partitioned one before PostgreSQL 18
    (https://www.postgresql.org/docs/18/release-18.html). Takes no lock.
    """
    return not table.is_partitioned or connection.info.server_version >= _PARTITIONED_NOT_VALID
