"""What hangs on a column, object by object, with the words in which each can be made again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

DEFAULT: Final = "default"
GENERATED: Final = "generated column"
INDEX: Final = "index"
CHECK: Final = "check constraint"
PRIMARY_KEY: Final = "primary key"
UNIQUE: Final = "unique constraint"
FOREIGN_KEY: Final = "foreign key"
REFERRING: Final = "foreign key of another table"
STATISTICS: Final = "statistics"
SEQUENCE: Final = "sequence"
VIEW: Final = "view"
MATERIALIZED_VIEW: Final = "materialized view"
RULE: Final = "rule"
POLICY: Final = "policy"
TRIGGER: Final = "trigger"
PUBLICATION: Final = "publication"
FUNCTION: Final = "function"

# What the objects of a parent give its partitions isn't named a second time. A constraint's own index hangs
# on the constraint, and a view on its rule. NOT NULL constraints (since 18) belong to the column itself.
HANGING: LiteralString = """
with used as (
    select distinct d.classid, d.objid, d.refobjid as table_oid
    from pg_depend d
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.refclassid = 'pg_class'::regclass and d.refobjid = any(%(oids)s::oid[]) and a.attname = %(name)s
      and a.attnum > 0 and not a.attisdropped
)
select case when f.adrelid = u.table_oid and f.adnum = own.attnum then 'default'
            when f.oid is not null then 'generated column'
            when x.relkind in ('i', 'I') then 'index'
            when x.relkind = 'S' then 'sequence'
            when c.contype = 'c' then 'check constraint'
            when c.contype = 'p' then 'primary key'
            when c.contype = 'u' then 'unique constraint'
            when c.contype = 'f' and c.conrelid = any(%(oids)s::oid[]) and own.attnum = any(c.conkey)
                then 'foreign key'
            when c.contype = 'f' then 'foreign key of another table'
            when c.contype = 'x' then 'exclusion constraint'
            when s.oid is not null then 'statistics'
            when v.relkind = 'v' and r.rulename = '_RETURN' then 'view'
            when v.relkind = 'm' then 'materialized view'
            when r.oid is not null then 'rule'
            when p.oid is not null then 'policy'
            when t.oid is not null then 'trigger'
            when b.oid is not null then 'publication'
            when u.classid = 'pg_proc'::regclass then 'function'
            else 'other' end as kind,
       case when r.rulename = '_RETURN' then v.oid else u.objid end::bigint as oid,
       u.table_oid::bigint as table_oid,
       coalesce(c.conrelid, 0)::bigint as constrained_oid,
       coalesce(x.relname, c.conname, s.stxname,
                case when r.rulename = '_RETURN' then v.relname end, r.rulename, p.polname,
                t.tgname)::text as name,
       (select nspname from pg_namespace
        where oid = coalesce(x.relnamespace, s.stxnamespace))::text as schema,
       case when r.rulename = '_RETURN'
            then pg_describe_object('pg_class'::regclass, v.oid, 0)
            when f.oid is not null and g.attgenerated <> ''
            then format('%%s generated column %%s.%%I', case g.attgenerated when 'v' then 'virtual'
                                                      else 'stored' end, f.adrelid::regclass, g.attname)
            else pg_describe_object(u.classid, u.objid, 0) end as text,
       coalesce(pg_get_indexdef(x.oid), pg_get_constraintdef(c.oid),
                pg_get_statisticsobjdef(s.oid)) as definition,
       case when c.contype in ('p', 'u') then pg_get_indexdef(c.conindid) end as index_definition,
       obj_description(u.objid, (select relname from pg_class where oid = u.classid)) as comment,
       coalesce((select i.indisclustered from pg_index i
                 where i.indexrelid in (x.oid, case when c.contype in ('p', 'u') then c.conindid end)),
                false) as is_clustered,
       coalesce((select json_object_agg(a.attnum, a.attstattarget) from pg_attribute a
                 where a.attrelid = x.oid and x.relkind in ('i', 'I') and a.attstattarget >= 0),
                (select json_build_object('0', s.stxstattarget) where s.stxstattarget >= 0),
                '{}') as targets,
       coalesce(c.contype = 'f' and c.conrelid = any(%(oids)s::oid[]) and own.attnum = any(c.conkey),
                false) as is_ours,
       coalesce(c.contype = 'f' and c.confrelid = u.table_oid and own.attnum = any(c.confkey),
                false) as is_to_us
from used u
join pg_attribute own on own.attrelid = u.table_oid and own.attname = %(name)s
left join pg_class x on u.classid = 'pg_class'::regclass and x.oid = u.objid
left join pg_constraint c on u.classid = 'pg_constraint'::regclass and c.oid = u.objid
left join pg_attrdef f on u.classid = 'pg_attrdef'::regclass and f.oid = u.objid
left join pg_attribute g on g.attrelid = f.adrelid and g.attnum = f.adnum
left join pg_rewrite r on u.classid = 'pg_rewrite'::regclass and r.oid = u.objid
left join pg_class v on v.oid = r.ev_class
left join pg_policy p on u.classid = 'pg_policy'::regclass and p.oid = u.objid
left join pg_trigger t on u.classid = 'pg_trigger'::regclass and t.oid = u.objid
left join pg_publication_rel b on u.classid = 'pg_publication_rel'::regclass and b.oid = u.objid
left join pg_statistic_ext s on u.classid = 'pg_statistic_ext'::regclass and s.oid = u.objid
where not coalesce(x.relispartition or c.conparentid <> 0 or c.coninhcount > 0 or c.contype = 'n'
                   or t.tgisinternal or t.tgparentid <> 0, false)
order by 1, 5, 2
"""

# The indexes of partitions that are attached to a partitioned table's.
BELOW: LiteralString = """
with recursive below (oid) as (
    select inhrelid from pg_inherits where inhparent = %(oid)s
    union all
    select i.inhrelid from below b join pg_inherits i on i.inhparent = b.oid
)
select x.indrelid::bigint as table_oid, n.nspname::text as schema, c.relname::text as name
from below b
join pg_class c on c.oid = b.oid
join pg_namespace n on n.oid = c.relnamespace
join pg_index x on x.indexrelid = c.oid
order by 2, 3
"""

# A row that is stored as a value has its columns by their numbers: under another name it would be empty.
ODD: LiteralString = """
with shapes (oid) as (
    select t.oid from pg_type t where t.typrelid = %(oid)s::oid
    union all
    select t.typarray from pg_type t where t.typrelid = %(oid)s::oid
)
select format('column %%s.%%I, which stores rows of this table', c.oid::regclass, a.attname)
from pg_attribute a
join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm')
where a.atttypid in (select oid from shapes) and not a.attisdropped
union all
select pg_describe_object(d.classid, d.objid, d.objsubid) || ' (it uses the sequence of the identity)'
from pg_depend i
join pg_attribute a on a.attrelid = i.refobjid and a.attnum = i.refobjsubid and a.attname = %(name)s
join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = i.objid
where i.classid = 'pg_class'::regclass and i.refclassid = 'pg_class'::regclass and i.refobjid = %(oid)s::oid
  and i.deptype = 'i' and d.deptype <> 'i'
union all
select format('type %%s, by which the table is made', c.reloftype::regtype)
from pg_class c where c.oid = %(oid)s::oid and c.reloftype <> 0
order by 1
"""

CONSTRAINED: LiteralString = """
with recursive up (oid) as (
    select to_regtype(%(type)s)::oid
    union all
    select t.typbasetype from up u join pg_type t on t.oid = u.oid and t.typtype = 'd'
)
select exists (select from up u join pg_type t on t.oid = u.oid
               where t.typnotnull
                  or exists (select from pg_constraint c where c.contypid = t.oid and not %(not_null_only)s))
"""

IS_COLLATABLE: LiteralString = """
select coalesce((select typcollation <> 0 from pg_type where oid = to_regtype(%(type)s)), false)
"""

HAS_STATISTICS: LiteralString = """
select exists (select from pg_statistic_ext where stxrelid = %(oid)s::oid and stxname = %(name)s)
"""


@dataclass(frozen=True)
class Below:
    """The index of one partition."""

    table_oid: int
    schema: str
    name: str


@dataclass(frozen=True)
class Hanging:
    """One object that hangs on a column.

    Attributes:
        kind: What it is.
        oid: In the catalog of its kind; of a view, its own and not that of its rule.
        table_oid: The table, or the partition, whose column it hangs on.
        constrained_oid: Of a constraint: the table that has it; else 0.
        name: Its name, without a schema.
        schema: Of an index or statistics: where it is; statistics may be elsewhere than their table.
        text: Its kind and name, in the server's words.
        definition: Of an index, a constraint, statistics: how it is made.
        index_definition: Of a unique constraint: how its index is made.
        comment: What is said of it.
        is_clustered: Whether the table was last clustered by it.
        targets: Statistics targets of an index's columns, by number; of extended statistics, as number 0.
        is_ours: Of a foreign key: whether the column refers to another one.
        is_to_us: Of a foreign key: whether the column is referred to. A table may refer to itself by both.
    """

    kind: str
    oid: int
    table_oid: int
    constrained_oid: int
    name: str | None
    schema: str | None
    text: str
    definition: str | None
    index_definition: str | None
    comment: str | None
    is_clustered: bool
    targets: Mapping[str, int]
    is_ours: bool
    is_to_us: bool

    @property
    def is_unique_index(self) -> bool:
        """Whether it is an index that turns rows away, and no constraint's."""
        return self.kind == INDEX and str(self.definition).startswith("CREATE UNIQUE INDEX")

    def __str__(self) -> str:
        return self.text


def of_column(connection: Connection, oids: Sequence[int], name: str) -> list[Hanging]:
    """Read what hangs on a column of a table and of its partitions. Takes no lock."""
    with connection.cursor(row_factory=class_row(Hanging)) as cursor:
        return cursor.execute(HANGING, {"oids": list(oids), "name": name}).fetchall()


def below_index(connection: Connection, oid: int) -> list[Below]:
    """Read the indexes of partitions that are attached to an index. Takes no lock."""
    with connection.cursor(row_factory=class_row(Below)) as cursor:
        return cursor.execute(BELOW, {"oid": oid}).fetchall()


def odd(connection: Connection, oid: int, name: str) -> list[str]:
    """Name what depends on a table's shape, or on a column's identity, without hanging on the column.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(ODD, {"oid": oid, "name": name}).fetchall()


def is_constrained(connection: Connection, type_: str, *, not_null_only: bool = False) -> bool:
    """Read whether a type, as SQL names it, is a domain that refuses values. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        given = {"type": type_, "not_null_only": not_null_only}
        return bool(cursor.execute(CONSTRAINED, given).fetchone())


def is_collatable(connection: Connection, type_: str) -> bool:
    """Read whether a type, as SQL names it, has a collation. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(IS_COLLATABLE, {"type": type_}).fetchone())


def has_statistics(connection: Connection, oid: int, name: str) -> bool:
    """Read whether a table has extended statistics of this name, in any schema. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(HAS_STATISTICS, {"oid": oid, "name": name}).fetchone())
