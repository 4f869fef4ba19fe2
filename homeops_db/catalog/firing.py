"""What writing the rows of a table sets off: triggers, publications, indexes, checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeVar

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

T = TypeVar("T")

UPDATE: Final = "UPDATE"
INSERT: Final = "INSERT"
DELETE: Final = "DELETE"

GENERATED: Final = "generated column"

_TRIGGER_BITS: Final = {INSERT: 4, DELETE: 8, UPDATE: 16}  # pg_trigger.tgtype

# Those that are set, and the generated ones that change with them.
CHANGED: LiteralString = """
changed as (
    select a.attrelid, a.attnum, a.attname::text as name, false as is_generated
    from pg_attribute a
    where a.attrelid = any(%(oids)s::oid[]) and a.attname = any(%(columns)s)
    union all
    select g.attrelid, g.attnum, g.attname::text, true
    from pg_attribute a
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass
                        and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
    join pg_attrdef e on e.oid = d.objid and e.adrelid = a.attrelid and e.adnum <> a.attnum
    join pg_attribute g on g.attrelid = e.adrelid and g.attnum = e.adnum and g.attgenerated <> ''
    where a.attrelid = any(%(oids)s::oid[]) and a.attname = any(%(columns)s)
)"""

# What a partition has of its parent stands there once. TimescaleDB's own triggers are its machinery.
TRIGGERS: LiteralString = f"""
with {CHANGED}
select t.tgname::text as name, format('%%I.%%I', pn.nspname, p.proname) as function,
       case when t.tgtype & 2 <> 0 then 'BEFORE' else 'AFTER' end as timing,
       coalesce((select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
                 where a.attrelid = t.tgrelid and a.attnum = any(t.tgattr::int2[])), '') as columns,
       t.tgtype & 1 <> 0 as is_for_row, t.tginitdeferred as is_deferred,
       t.tgqual is not null as has_condition,
       count(*)::int as tables, min(format('%%I.%%I', n.nspname, c.relname)) as table
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_proc p on p.oid = t.tgfoid
join pg_namespace pn on pn.oid = p.pronamespace
where t.tgrelid = any(%(oids)s::oid[]) and not t.tgisinternal and t.tgtype & %(bit)s <> 0
  and t.tgenabled::text in ('A', case current_setting('session_replication_role')
                                 when 'replica' then 'R' else 'O' end)
  and (%(bit)s <> 16 or cardinality(t.tgattr::int2[]) = 0
       or exists (select from changed x where x.attrelid = t.tgrelid and x.attnum = any(t.tgattr::int2[])))
  and not exists (select from pg_depend d join pg_extension e on e.oid = d.refobjid
                  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
                    and d.refclassid = 'pg_extension'::regclass and e.extname = 'timescaledb')
group by 1, 2, 3, 4, 5, 6, 7
order by 5 desc, 3 desc, 1
"""  # noqa: S608 - of constants

# A partition is published with its parent, and an unlogged table never.
PUBLICATIONS: LiteralString = """
with recursive up (oid) as (
    select c.oid from pg_class c where c.oid = any(%(oids)s::oid[]) and c.relpersistence = 'p'
    union
    select i.inhparent from up u join pg_inherits i on i.inhrelid = u.oid
    join pg_class c on c.oid = u.oid and c.relispartition
)
select p.pubname::text
from pg_publication p
where case %(verb)s when 'INSERT' then p.pubinsert when 'DELETE' then p.pubdelete else p.pubupdate end
  and (p.puballtables and exists (select from up)
       or exists (select from pg_publication_rel r join up u on u.oid = r.prrelid where r.prpubid = p.oid)
       or exists (select from pg_publication_namespace s join pg_class c on c.relnamespace = s.pnnspid
                  join up u on u.oid = c.oid where s.pnpubid = p.oid))
order by 1
"""

# Of a partition's index the name of the whole index; chunks have names of their own for the same one.
INDEXES: LiteralString = f"""
with {CHANGED}
select min(coalesce(w.relname, c.relname))::text as name,
       regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') as definition
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_am am on am.oid = c.relam
left join pg_class w on w.oid = pg_partition_root(c.oid)
where i.indrelid = any(%(oids)s::oid[])
  and (am.amname <> 'brin' or current_setting('server_version_num')::int < 160000)
  and exists (select from changed x
              where x.attrelid = i.indrelid
                and (x.attnum = any(i.indkey)
                     or exists (select from pg_depend d
                                where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                                  and d.refobjid = i.indrelid and d.refobjsubid = x.attnum)))
group by 2
order by 1
"""  # noqa: S608 - of constants

# Every row that is written is tried on every CHECK, also on those that old rows may contradict.
COMPUTED: LiteralString = f"""
with {CHANGED}
select 'generated column' as kind, x.name, true as is_validated
from changed x where x.is_generated
union
select case k.contype when 'c' then 'check' else 'not-null constraint' end, k.conname::text, k.convalidated
from pg_constraint k
where k.conrelid = any(%(oids)s::oid[]) and k.contype in ('c', 'n')
  and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
  and (not k.convalidated
       or k.contype = 'c' and exists (select from changed x where x.attrelid = k.conrelid
                                      and x.attnum = any(k.conkey)))
order by 1 desc, 2
"""  # noqa: S608 - of constants

ALWAYS: LiteralString = """
select count(*) from pg_trigger
where tgrelid = %(oid)s and tgname = any(%(names)s::text[]) and tgenabled = 'A'
"""

MISSES_STATEMENTS: LiteralString = """
select c.relkind = 'p' or exists (select from pg_inherits i where i.inhrelid = c.oid)
       or exists (select from pg_subscription_rel s where s.srrelid = c.oid)
from pg_class c where c.oid = %(oid)s
"""


@dataclass(frozen=True)
class Trigger:
    """A trigger that fires, on one table or on several alike.

    ``columns`` are those of UPDATE OF; ``table`` is one of the ``tables`` that have it.
    """

    name: str
    function: str
    timing: str
    columns: str
    is_for_row: bool
    is_deferred: bool
    has_condition: bool
    tables: int
    table: str


@dataclass(frozen=True)
class Covering:
    """An index that reads a column that is set. ``definition`` begins with its method."""

    name: str
    definition: str


@dataclass(frozen=True)
class Computed:
    """What is computed of each row that is written: a generated column, a check."""

    kind: str
    name: str
    is_validated: bool


def always(connection: Connection, table_oid: int, names: Sequence[str]) -> bool:
    """Read whether a table has all of some triggers, and they fire for everybody. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(ALWAYS, {"oid": table_oid, "names": list(names)}).fetchone()
    return found == len(names)


def misses_statements(connection: Connection, table_oid: int) -> bool:
    """Read whether rows of a table may be written by statements that name another one. Takes no lock.

    Those are its partitions', its parent's, and what a subscription brings.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(MISSES_STATEMENTS, {"oid": table_oid}).fetchone())


def triggers(connection: Connection, oids: Sequence[int], columns: Sequence[str], verb: str) -> list[Trigger]:
    """Read which triggers a statement fires, those for rows first, in their order. Takes no lock."""
    values = {"oids": list(oids), "columns": list(columns), "bit": _TRIGGER_BITS[verb]}
    return _read(connection, Trigger, TRIGGERS, values)


def publications(connection: Connection, oids: Sequence[int], verb: str) -> list[str]:
    """Read which publications send what is written to one of the tables. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(PUBLICATIONS, {"oids": list(oids), "verb": verb}).fetchall()


def covering(connection: Connection, oids: Sequence[int], columns: Sequence[str]) -> list[Covering]:
    """Read which indexes get each row anew whose columns are set: no such update is HOT. Takes no lock."""
    return _read(connection, Covering, INDEXES, {"oids": list(oids), "columns": list(columns)})


def computed(connection: Connection, oids: Sequence[int], columns: Sequence[str]) -> list[Computed]:
    """Read what is computed of the columns, and which checks old rows may contradict. Takes no lock."""
    return _read(connection, Computed, COMPUTED, {"oids": list(oids), "columns": list(columns)})


def _read(connection: Connection, row: type[T], query: LiteralString, values: dict[str, Any]) -> list[T]:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(query, values).fetchall()
