"""What becomes of a value that is assigned to a column, and what an expression reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# How an assignment makes a value of the column's type. A function with three arguments is told whether it
# was asked for by a cast: then it cuts what is too long, and else it refuses. A domain is what it stands
# for; of an array the elements count, of which a cast can't be told apart so.
ASSIGNMENT: LiteralString = """
with recursive own as (
    select a.atttypid as type, a.atttypmod as modifier from pg_attribute a
    where a.attrelid = %(oid)s and a.attname = %(name)s and a.attnum > 0 and not a.attisdropped
),
below (type, modifier, level, is_inside) as (
    select o.type, o.modifier, 0, false from own o
    union all
    select case t.typtype when 'd' then t.typbasetype else t.typelem end, greatest(b.modifier, t.typtypmod),
           b.level + 1, b.is_inside or t.typtype <> 'd'
    from below b join pg_type t on t.oid = b.type
    where t.typtype = 'd' or (t.typcategory = 'A' and t.typelem <> 0)
)
select format_type(o.type, -1) as type, format_type(o.type, o.modifier) as cast,
       format_type(b.type, -1) as base, b.modifier as modifier,
       case when not b.is_inside then f.name end as length_function,
       t.typtype = 'c' or (b.is_inside and f.name is not null) as is_made_of_parts
from own o
cross join lateral (select * from below order by level desc limit 1) b
join pg_type t on t.oid = b.type
left join lateral (
    select format('%%I.%%I', n.nspname, p.proname) as name
    from pg_cast c
    join pg_proc p on p.oid = c.castfunc and p.pronargs = 3
    join pg_namespace n on n.oid = p.pronamespace
    where c.castsource = b.type and c.casttarget = b.type and b.modifier >= 0
) f on true
"""

# pg_depend doesn't say that the whole row is read: column 0 of the expression does.
READ_BY_INDEX: LiteralString = """
with index as (select i.indrelid, i.indexprs from pg_index i where i.indexrelid = to_regclass(%(index)s)),
direct as (
    select (regexp_matches(i.indexprs::text, ':varattno (-?[0-9]+)', 'g'))[1]::int as number from index i
),
through_generated as (
    select (regexp_matches(d.adbin::text, ':varattno (-?[0-9]+)', 'g'))[1]::int as number
    from index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attgenerated <> ''
                       and exists (select from direct where number in (0, a.attnum))
    join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
)
select a.attname
from index i
join pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and not a.attisdropped
where exists (select from (table direct union all table through_generated) r where r.number in (0, a.attnum))
order by a.attnum
"""

# 19: BEFORE, FOR EACH ROW, UPDATE. Those of a type change leave what its filling sets as it is.
TRIGGERS_BEFORE_UPDATE: LiteralString = """
select distinct t.tgname
from pg_trigger t
where t.tgrelid = any(%(oids)s) and not t.tgisinternal and t.tgenabled in ('O', 'A') and t.tgtype & 19 = 19
  and not starts_with(t.tgname::text, 'zz_homeops_')
  and (t.tgattr::text = ''
       or exists (select from pg_attribute a where a.attrelid = t.tgrelid and a.attname = any(%(names)s)
                  and a.attnum = any(t.tgattr)))
order by 1
"""


@dataclass(frozen=True)
class Assignment:
    """What becomes of a value that is assigned to a column.

    Attributes:
        type: The column's type without its modifier.
        cast: The same with it.
        base: The type below a domain, without a modifier.
        modifier: Its modifier, -1 for none.
        length_function: What refuses or cuts a value that is too long; None where nothing does.
        is_made_of_parts: Whether parts of a value are cut or refused, which can't be asked for.
    """

    type: str
    cast: str
    base: str
    modifier: int
    length_function: str | None
    is_made_of_parts: bool


def assignment(connection: Connection, table_oid: int, name: str) -> Assignment | None:
    """Read what becomes of a value that is assigned to the column of that name. Takes no lock."""
    with connection.cursor(row_factory=class_row(Assignment)) as cursor:
        return cursor.execute(ASSIGNMENT, {"oid": table_oid, "name": name}).fetchone()


def read_by_index(connection: Connection, index: str) -> list[str]:
    """Read the columns in an index' expressions, and those behind generated ones. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(READ_BY_INDEX, {"index": index}).fetchall()


def triggers_before_update(
    connection: Connection, table_oids: Sequence[int], names: Sequence[str]
) -> list[str]:
    """Read which triggers may change a row when these columns of it are set. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        given = {"oids": list(table_oids), "names": list(names)}
        return cursor.execute(TRIGGERS_BEFORE_UPDATE, given).fetchall()
