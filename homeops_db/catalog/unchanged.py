"""Whether anybody has changed a table's definition, or what hangs on it, since a look: one short read."""

from typing import LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

# Each row of the catalog that says something of the table, by the transaction that wrote it. What hangs on
# it is found by what depends on it. Statistics are written in place, and show nothing here.
PRINT: LiteralString = """
with hanging as (
    select d.classid, d.objid from pg_depend d
    where d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
)
select md5(string_agg(concat_ws(' ', kind, said.oid, written), ',' order by kind, said.oid, written))
from (
    select 'table' as kind, oid, xmin::text as written from pg_class where oid = %(oid)s
    union all select 'column', attnum::int::oid, xmin::text from pg_attribute where attrelid = %(oid)s
    union all select 'default', oid, xmin::text from pg_attrdef where adrelid = %(oid)s
    union all select 'constraint', oid, xmin::text from pg_constraint
              where conrelid = %(oid)s or confrelid = %(oid)s
    union all select 'index', indexrelid, xmin::text from pg_index where indrelid = %(oid)s
    union all select 'trigger', oid, xmin::text from pg_trigger where tgrelid = %(oid)s
    union all select 'policy', oid, xmin::text from pg_policy where polrelid = %(oid)s
    union all select 'published', oid, xmin::text from pg_publication_rel where prrelid = %(oid)s
    union all select 'statistics', oid, xmin::text from pg_statistic_ext where stxrelid = %(oid)s
    union all select 'parent', inhparent, xmin::text from pg_inherits where inhrelid = %(oid)s
    union all select 'child', inhrelid, xmin::text from pg_inherits where inhparent = %(oid)s
    union all select 'comment', objsubid::oid, xmin::text from pg_description
              where classoid = 'pg_class'::regclass and objoid = %(oid)s
    union all select 'rule', r.oid, r.xmin::text from hanging h join pg_rewrite r on r.oid = h.objid
              where h.classid = 'pg_rewrite'::regclass
    union all select 'view', c.oid, c.xmin::text from hanging h join pg_rewrite r on r.oid = h.objid
              join pg_class c on c.oid = r.ev_class and c.oid <> %(oid)s
              where h.classid = 'pg_rewrite'::regclass
    union all select 'function', p.oid, p.xmin::text from hanging h join pg_proc p on p.oid = h.objid
              where h.classid = 'pg_proc'::regclass
) said
"""


def fingerprint(connection: Connection, oid: int) -> str:
    """Read a mark that is another one as soon as the table, or what hangs on it, has been changed.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(PRINT, {"oid": oid}).fetchone())
