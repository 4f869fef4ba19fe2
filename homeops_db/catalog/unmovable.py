"""What keeps a table from being replaced by another one of its name, whatever that is like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A subscription knows its tables by their oids, and passes over changes of all others in silence.
STUCK: LiteralString = """
select 'temporary' as kind, '' as name from pg_class where oid = %(oid)s and relpersistence = 't'
union all
select 'system', n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = %(oid)s and (n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or c.oid < 16384)
union all
select 'extension', e.extname::text from pg_depend d join pg_extension e on e.oid = d.refobjid
where d.classid = 'pg_class'::regclass and d.objid = %(oid)s and d.deptype = 'e'
  and d.refclassid = 'pg_extension'::regclass
union all
select 'subscription', s.subname::text from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid
where r.srrelid = %(oid)s
union all
select 'publication', p.pubname::text from pg_publication p where p.puballtables
union all
select 'right', current_database()::text where not has_database_privilege(current_database(), 'CREATE')
"""

SERVED: LiteralString = """
select exists (
    select from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_am m on m.oid = x.relam and m.amname in ('btree', 'hash')
    where i.indrelid = %(oid)s and i.indisvalid and i.indpred is null
      and i.indnkeyatts >= cardinality(%(names)s::text[])
      and (select array_agg(a.attname::text order by a.attname)
           from unnest((i.indkey::int2[])[0:cardinality(%(names)s::text[]) - 1]) k (number)
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
          = (select array_agg(n order by n::name) from unnest(%(names)s::text[]) n))
"""


@dataclass(frozen=True)
class Stuck:
    """One reason: temporary, system, extension, subscription, publication (of all tables), right (none)."""

    kind: str
    name: str


def stuck(connection: Connection, oid: int) -> list[Stuck]:
    """Read why a table can't be replaced. Takes no lock."""
    with connection.cursor(row_factory=class_row(Stuck)) as cursor:
        return cursor.execute(STUCK, {"oid": oid}).fetchall()


def is_served(connection: Connection, oid: int, columns: Sequence[str]) -> bool:
    """Read whether an index finds rows by the values of some columns: it begins with them. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(SERVED, {"oid": oid, "names": list(columns)}).fetchone())
