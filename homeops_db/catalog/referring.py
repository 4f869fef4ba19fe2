"""Foreign keys that are looked up when a row is written: its own, and those that refer to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row

from homeops_db.catalog.firing import CHANGED

# conenforced came with PostgreSQL 18: read as JSON it may be missing.
FOREIGN_KEYS: LiteralString = f"""
with {CHANGED}
select k.conname::text as name, format('%%I.%%I', n.nspname, r.relname) as referent
from pg_constraint k
left join pg_constraint above on above.oid = k.conparentid
join pg_class r on r.oid = k.confrelid
join pg_namespace n on n.oid = r.relnamespace
where k.contype = 'f' and k.conrelid = any(%(oids)s::oid[])
  and above.conrelid is distinct from k.conrelid
  and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
  and exists (select from changed x where x.attrelid = k.conrelid and x.attnum = any(k.conkey))
group by k.conname, n.nspname, r.relname
order by 1, 2
"""  # noqa: S608 - of constants

# A key of the whole child table, whatever its partitions and those of the parent have of it. A child's
# rows are found by an index that begins with a column of the key.
REFERENCES: LiteralString = f"""
with recursive {CHANGED}, up (oid, conparentid) as (
    select k.oid, k.conparentid
    from pg_constraint k
    where k.contype = 'f' and k.confrelid = any(%(oids)s::oid[])
      and (%(verb)s = 'DELETE' or exists (select from changed x where x.attrelid = k.confrelid
                                          and x.attnum = any(k.confkey)))
    union
    select k.oid, k.conparentid from up u join pg_constraint k on k.oid = u.conparentid
), below (constraint_oid, oid) as (
    select u.oid, k.conrelid from up u join pg_constraint k on k.oid = u.oid where u.conparentid = 0
    union all
    select b.constraint_oid, i.inhrelid from below b join pg_inherits i on i.inhparent = b.oid
    join pg_class c on c.oid = i.inhrelid and c.relispartition
)
select k.conname::text as name, k.conrelid::bigint as table_oid,
       format('%%I.%%I', n.nspname, t.relname) as table,
       array(select a.attname::text from unnest(k.conkey) with ordinality c (number, place)
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.number
             order by c.place) as columns,
       case (case %(verb)s when 'DELETE' then k.confdeltype else k.confupdtype end)::text
           when 'c' then 'CASCADE' when 'n' then 'SET NULL' when 'd' then 'SET DEFAULT'
           when 'r' then 'RESTRICT' else 'NO ACTION' end as action,
       coalesce(lacking.bytes, 0)::bigint as scanned_bytes
from up u
join pg_constraint k on k.oid = u.oid
join pg_class t on t.oid = k.conrelid
join pg_namespace n on n.oid = t.relnamespace
left join lateral (
    select sum(pg_relation_size(c.oid)) as bytes
    from below b
    join pg_class c on c.oid = b.oid and c.relkind = 'r'
    where b.constraint_oid = k.oid and not exists (
        select from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        join pg_attribute top on top.attrelid = k.conrelid and top.attname = a.attname
                                 and top.attnum = any(k.conkey)
        where i.indrelid = c.oid and i.indisvalid
          and (i.indpred is null
               or pg_get_expr(i.indpred, i.indrelid) = format('(%%I IS NOT NULL)', a.attname)))
) lacking on true
where u.conparentid = 0 and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
order by 2, 1
"""  # noqa: S608 - of constants


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key that looks a row up when it is written."""

    name: str
    referent: str


@dataclass(frozen=True)
class Reference:
    """A foreign key of another table, which looks for rows that refer to the one that is written.

    ``scanned_bytes`` is how much it reads for each one: tables where no index begins with its columns.
    """

    name: str
    table_oid: int
    table: str
    columns: Sequence[str]
    action: str
    scanned_bytes: int


def foreign_keys(connection: Connection, oids: Sequence[int], columns: Sequence[str]) -> list[ForeignKey]:
    """Read which foreign keys of the tables have one of the columns. Takes no lock."""
    with connection.cursor(row_factory=class_row(ForeignKey)) as cursor:
        return cursor.execute(FOREIGN_KEYS, {"oids": list(oids), "columns": list(columns)}).fetchall()


def references(
    connection: Connection, oids: Sequence[int], columns: Sequence[str], verb: str
) -> list[Reference]:
    """Read which foreign keys refer to the tables; with UPDATE, to one of the columns.

    Takes ACCESS SHARE for the moment on tables that lack an index, to read their size.
    """
    values = {"oids": list(oids), "columns": list(columns), "verb": verb}
    with connection.cursor(row_factory=class_row(Reference)) as cursor:
        return cursor.execute(REFERENCES, values).fetchall()
