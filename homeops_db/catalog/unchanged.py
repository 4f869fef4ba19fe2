"""Whether anybody has changed a table's definition, or what hangs on it, since a look: one short read."""

from typing import LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

# Each row of the catalog that says something of the table, by the transaction that wrote it. What hangs on
# it is found by what depends on it, also on views. Statistics are written in place, and show nothing here; a
# materialized view is another one after each REFRESH.
PRINT: LiteralString = """
with recursive above (oid) as (
    select %(oid)s::oid
    union
    select r.ev_class
    from above a
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.oid
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid and r.rulename = '_RETURN'
), hanging as (
    select d.classid, d.objid from pg_depend d
    where d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
), found (class, oid, written) as (
    select 'pg_class'::regclass, c.oid, c.xmin::text from above a join pg_class c on c.oid = a.oid
    union all select 'pg_class'::regclass, c.oid, c.xmin::text
              from above a join pg_index i on i.indrelid = a.oid join pg_class c on c.oid = i.indexrelid
    union all select 'pg_attribute'::regclass, attnum::int::oid, xmin::text from pg_attribute
              where attrelid = %(oid)s
    union all select 'pg_attrdef'::regclass, oid, xmin::text from pg_attrdef where adrelid = %(oid)s
    union all select 'pg_constraint'::regclass, oid, xmin::text from pg_constraint
              where conrelid = %(oid)s or confrelid = %(oid)s
    union all select 'pg_index'::regclass, indexrelid, xmin::text from pg_index where indrelid = %(oid)s
    union all select 'pg_trigger'::regclass, t.oid, t.xmin::text
              from above a join pg_trigger t on t.tgrelid = a.oid
    union all select 'pg_policy'::regclass, oid, xmin::text from pg_policy where polrelid = %(oid)s
    union all select 'pg_policy'::regclass, p.oid, p.xmin::text
              from hanging h join pg_policy p on p.oid = h.objid
              where h.classid = 'pg_policy'::regclass and p.polrelid <> %(oid)s
    union all select 'pg_publication_rel'::regclass, oid, xmin::text from pg_publication_rel
              where prrelid = %(oid)s
    union all select 'pg_statistic_ext'::regclass, oid, xmin::text from pg_statistic_ext
              where stxrelid = %(oid)s
    union all select 'pg_inherits'::regclass, inhparent, xmin::text from pg_inherits where inhrelid = %(oid)s
    union all select 'pg_inherits'::regclass, inhrelid, xmin::text from pg_inherits where inhparent = %(oid)s
    union all select 'pg_rewrite'::regclass, r.oid, r.xmin::text
              from above a join pg_rewrite r on r.ev_class = a.oid
    union all select 'pg_rewrite'::regclass, r.oid, r.xmin::text
              from hanging h join pg_rewrite r on r.oid = h.objid
              where h.classid = 'pg_rewrite'::regclass
    union all select 'pg_proc'::regclass, p.oid, p.xmin::text from hanging h join pg_proc p on p.oid = h.objid
              where h.classid = 'pg_proc'::regclass
)
select md5(string_agg(concat_ws(' ', class, said.oid, written), ',' order by class, said.oid, written))
from (
    select class::text, oid, written from found
    union
    select 'said of ' || f.class, f.oid, d.xmin::text
    from found f join pg_description d on d.classoid = f.class and d.objoid = f.oid
) said
"""


def fingerprint(connection: Connection, oid: int) -> str:
    """Read a mark that is another one as soon as the table, or what hangs on it, has been changed.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(PRINT, {"oid": oid}).fetchone())
