"""What needs a column: views, indexes, constraints, policies and whatever else the catalog knows of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A child's column goes with its parent's, unless the child has it by itself too. What a partition has of
# its parent's indexes, constraints and triggers isn't named a second time. What belongs to the column
# alone goes with it: its default, a plain index and a constraint on nothing else, a sequence it owns.
DEPENDENTS: LiteralString = """
with gone as (
    select a.attrelid, a.attnum
    from pg_attribute a
    where a.attrelid = any(%(oids)s::oid[]) and a.attname = %(name)s and a.attnum > 0
      and not a.attisdropped and (a.attrelid = %(oid)s or (not a.attislocal and a.attinhcount = 1))
), needing as (
    select d.classid, d.objid, d.objsubid
    from gone g
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = g.attrelid
                        and d.refobjsubid = g.attnum
), found as (
    select * from needing
    union
    select d.classid, d.objid, d.objsubid
    from needing s
    join pg_class c on c.oid = s.objid and c.relkind = 'S'
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
    where s.classid = 'pg_class'::regclass
), described as (
    select f.classid, f.objid, f.objsubid, x.relkind, o.contype, v.relkind as view,
           pg_describe_object(f.classid, f.objid, f.objsubid) as text,
           case when r.rulename = '_RETURN' then (select format('%%I.%%I', n.nspname, v.relname)
                                                  from pg_namespace n where n.oid = v.relnamespace)
                when o.oid is not null then format('%%I of %%s', o.conname, o.conrelid::regclass)
                when d.oid is not null then format('%%I of %%s', a.attname, d.adrelid::regclass)
           end as name,
           a.attgenerated <> '' as is_generated,
           coalesce(x.relkind = 'S' or x.relispartition or o.coninhcount > 0 or o.conparentid <> 0
                    or o.contype = 'n' or t.tgisinternal or t.tgparentid <> 0, false)
           or coalesce(o.contype = 'c' and cardinality(o.conkey) = 1, false)
           or (coalesce(o.contype in ('u', 'x'), i.indexrelid is not null)
               and i.indnatts = 1 and i.indexprs is null and i.indpred is null and not i.indisreplident)
           or exists (select from gone g where g.attrelid = d.adrelid and g.attnum = d.adnum)
           or coalesce(a.attinhcount > 0, false) as goes_too
    from found f
    left join pg_rewrite r on f.classid = 'pg_rewrite'::regclass and r.oid = f.objid
    left join pg_class v on v.oid = r.ev_class and r.rulename = '_RETURN'
    left join pg_class x on f.classid = 'pg_class'::regclass and x.oid = f.objid
    left join pg_constraint o on f.classid = 'pg_constraint'::regclass and o.oid = f.objid
    left join pg_index i on i.indexrelid = coalesce(x.oid, case when o.contype in ('u', 'x')
                                                                then o.conindid end)
    left join pg_attrdef d on f.classid = 'pg_attrdef'::regclass and d.oid = f.objid
    left join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    left join pg_trigger t on f.classid = 'pg_trigger'::regclass and t.oid = f.objid
)
select kind, kind_said || coalesce(name, text) as text
from (
    select case when view = 'm' then 'materialized view'
                when view is not null then 'view'
                when contype = 'f' then 'foreign key'
                when contype = 'p' then 'primary key'
                when contype = 'c' then 'check constraint'
                when contype is not null then 'constraint'
                when classid = 'pg_attrdef'::regclass and is_generated then 'generated column'
                when classid = 'pg_attrdef'::regclass then 'default'
                when classid = 'pg_rewrite'::regclass then 'rule'
                when classid = 'pg_policy'::regclass then 'policy'
                when classid = 'pg_trigger'::regclass then 'trigger'
                when classid = 'pg_publication_rel'::regclass then 'publication'
                when classid = 'pg_statistic_ext'::regclass then 'statistics'
                when classid = 'pg_proc'::regclass then 'function'
                when relkind in ('i', 'I') then 'index'
                else 'other' end as kind,
           name, text, goes_too
    from described
) d
cross join lateral (select case when name is null then '' when kind = 'default' then 'default of column '
                                else kind || ' ' end as kind_said) s
where not goes_too
order by 1, 2
"""

# ALTER TYPE, and ADD COLUMN with a default, are refused while a column elsewhere is of the table's row type.
ROW_TYPE_USERS: LiteralString = """
select format('%%I of %%s', a.attname, a.attrelid::regclass)
from pg_class c
join pg_type t on t.oid = c.reltype
join pg_attribute a on a.atttypid in (t.oid, t.typarray) and not a.attisdropped
join pg_class u on u.oid = a.attrelid and u.relkind in ('r', 'p', 'm', 'f')
where c.oid = any(%(oids)s::oid[])
order by 1
"""

IN_ONE_TEXT: LiteralString = "select string_agg(n.text, ', ') from ({query}) n"

# The same for a table that is named in a script: placeholders' place is taken by SQL.
_TREE: LiteralString = """array(
    with recursive tree (oid) as (
        select {table}::regclass::oid
        union all
        select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid
    ) select oid from tree)"""


@dataclass(frozen=True)
class Dependent:
    """One object that needs a column. ``text`` is its kind and name, in the server's words."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def dependents(connection: Connection, oid: int, oids: Sequence[int], name: str) -> list[Dependent]:
    """Read what needs a column, apart from what belongs to the column alone. Takes no lock.

    Args:
        connection: Any.
        oid: The table.
        oids: The table and its children, whose columns go with the table's.
        name: The column.
    """
    with connection.cursor(row_factory=class_row(Dependent)) as cursor:
        return cursor.execute(DEPENDENTS, {"oid": oid, "oids": list(oids), "name": name}).fetchall()


def in_script(table: str, name: str) -> str:
    """Write a query for a script that gives the same in one text, NULL where nothing needs the column.

    Args:
        table: The table as an SQL literal that regclass reads.
        name: The column as an SQL literal.
    """
    given = {"oid": f"{table}::regclass", "oids": _TREE.format(table=table), "name": name}
    return IN_ONE_TEXT.format(query=DEPENDENTS % given)


def row_type_users(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Read which columns elsewhere are of the row type of one of the tables. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(ROW_TYPE_USERS, {"oids": list(oids)}).fetchall()
