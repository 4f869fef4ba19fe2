"""A table's pages and keys: by what its rows can be gone through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

HEAP: LiteralString = """
select c.oid::bigint as oid, (pg_relation_size(c.oid) / current_setting('block_size')::int)::int as blocks,
       greatest(c.reltuples, 0)::float8 as tuples, c.reltuples >= 0 as is_analyzed,
       coalesce((select o.option_value::int from pg_options_to_table(c.reloptions) o
                 where o.option_name = 'fillfactor'), 100) as fillfactor,
       c.relpersistence::text as persistence,
       (pg_size_bytes(current_setting('shared_buffers')) / current_setting('block_size')::int)::int as buffers
from pg_class c
where c.oid = %(oid)s
"""

# Unique and never null; in the order and the collation in which its columns are compared; all of one
# direction, so that one comparison of rows is one range of the index.
KEYS: LiteralString = """
select x.relname::text as index, i.indisprimary as is_primary,
       array(select a.attname::text
             from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality k (attnum, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             order by k.place) as columns,
       array(select format_type(a.atttypid, -1)
             from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality k (attnum, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             order by k.place) as types,
       (select s.correlation::float8 from pg_stats s
        join pg_namespace n on n.nspname = s.schemaname
        join pg_class c on c.relnamespace = n.oid and c.relname = s.tablename
        join pg_attribute a on a.attrelid = c.oid and a.attname = s.attname
        where c.oid = i.indrelid and a.attnum = i.indkey[0] and not s.inherited) as correlation
from pg_index i
join pg_class x on x.oid = i.indexrelid
join pg_am am on am.oid = x.relam
where i.indrelid = %(oid)s and i.indisunique and i.indisvalid and i.indimmediate
  and i.indpred is null and i.indexprs is null and am.amname = 'btree'
  and (select count(distinct o) from unnest(i.indoption) o) = 1
  and not exists (
      select from unnest(i.indkey[0:i.indnkeyatts - 1], i.indcollation, i.indclass)
           k (attnum, collation_oid, opclass)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      join pg_opclass o on o.oid = k.opclass
      where k.attnum is not null
        and (not a.attnotnull or not o.opcdefault or k.collation_oid <> a.attcollation))
order by i.indisprimary desc, i.indnkeyatts, x.relname
"""

# What was SET in this session: an expression may read it (TimeZone, search_path, a role). The role isn't
# among pg_settings; it comes last, for it may not be allowed to set the others.
SESSION_SETTINGS: LiteralString = """
select s.name, current_setting(s.name) as value from pg_settings s
where s.source = 'session' and s.context in ('user', 'superuser')
union all
select 'role', current_setting('role') where current_setting('role') <> 'none'
"""

BLOCKS: LiteralString = "select (pg_relation_size(%s::oid) / current_setting('block_size')::int)::int"


@dataclass(frozen=True)
class Heap:
    """The pages of one table.

    Attributes:
        blocks: How many there are.
        tuples: Rows as the planner believes.
        is_analyzed: Whether it has reason to.
        fillfactor: How full an insert leaves a page, in percent.
        persistence: pg_class.relpersistence.
        buffers: Pages of the server's cache.
    """

    oid: int
    blocks: int
    tuples: float
    is_analyzed: bool
    fillfactor: int
    persistence: str
    buffers: int


@dataclass(frozen=True)
class Key:
    """A unique key without nulls. ``correlation`` is that of its first column with the order of the pages."""

    index: str
    is_primary: bool
    columns: Sequence[str]
    types: Sequence[str]
    correlation: float | None


def heap(connection: Connection, oid: int) -> Heap | None:
    """Read a table's pages; None where it is gone. Takes ACCESS SHARE for the read."""
    with connection.cursor(row_factory=class_row(Heap)) as cursor:
        return cursor.execute(HEAP, {"oid": oid}).fetchone()


def keys(connection: Connection, oid: int) -> list[Key]:
    """Read the keys by which a table can be gone through, the primary key first. Takes no lock."""
    with connection.cursor(row_factory=class_row(Key)) as cursor:
        return cursor.execute(KEYS, {"oid": oid}).fetchall()


def blocks(connection: Connection, oid: int) -> int:
    """Read how many pages a table has now. Takes ACCESS SHARE for the read."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(BLOCKS, (oid,)).fetchone() or 0)


def session_settings(connection: Connection) -> dict[str, str]:
    """Read what was SET in this session. Takes no lock."""
    return dict(connection.execute(SESSION_SETTINGS).fetchall())
