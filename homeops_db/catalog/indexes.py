"""Indexes as the catalog has them: valid or not, and what they are apart from their name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# pg_get_indexdef always begins with the names of index and table; what follows is the definition.
INDEX: LiteralString = """
with described as (
    select i.indexrelid, i.indrelid, i.indisvalid, i.indisunique, i.indisexclusion, c.relname, c.relkind,
           c.relnamespace, t.relname as table_name,
           case when tn.oid = pg_my_temp_schema() then 'pg_temp' else tn.nspname end as table_schema,
           case when i.indisunique then 'UNIQUE ' else '' end as uniqueness,
           case when t.relkind = 'p' then 'ONLY ' else '' end as only_parent
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    join pg_namespace tn on tn.oid = t.relnamespace
)
select i.indexrelid::bigint as oid, n.nspname as schema, i.relname as name, i.relkind::text as kind,
       i.indrelid::bigint as table_oid, i.table_schema || '.' || i.table_name as table,
       i.indisvalid as is_valid, i.indisexclusion as is_exclusion,
       uniqueness || replace(pg_get_indexdef(i.indexrelid),
                             format('CREATE %%sINDEX %%I ON %%s%%I.%%I ', uniqueness, i.relname, only_parent,
                                    i.table_schema, i.table_name), '') as definition,
       pg_get_indexdef(i.indexrelid) as sql,
       (select o.conname from pg_constraint o
        where o.conindid = i.indexrelid and o.contype in ('p', 'u', 'x')) as constraint,
       coalesce((select h.inhparent from pg_inherits h where h.inhrelid = i.indexrelid), 0)::bigint
           as parent_oid
from described i
join pg_namespace n on n.oid = i.relnamespace
"""
BY_NAME: LiteralString = (
    INDEX
    + """
where i.indexrelid = to_regclass(case when %(schema)s::text is null then quote_ident(%(name)s)
                               else format('%%I.%%I', %(schema)s::text, %(name)s::text) end)
"""
)
BY_OID: LiteralString = INDEX + "where i.indexrelid = %(oid)s"
OF_TABLE: LiteralString = INDEX + "where i.indrelid = %(oid)s order by i.relname"

# A name that the suffix would make too long is cut in front of it (ChooseRelationName).
_SUFFIX: LiteralString = "_cc(new|old)[0-9]*$"
LEFTOVERS: LiteralString = f"""
{INDEX}
where i.indrelid = %(oid)s and not i.indisvalid and i.relname ~ '{_SUFFIX}'
  and (%(name)s::text is null
       or regexp_replace(i.relname, '{_SUFFIX}', '') = %(name)s
       or octet_length(i.relname) >= 60 and starts_with(%(name)s, regexp_replace(i.relname, '{_SUFFIX}', '')))
order by i.relname
"""

TABLESPACE: LiteralString = """
select s.spcname from pg_class c join pg_tablespace s on s.oid = c.reltablespace
where c.oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text))
"""

KEYS: LiteralString = """
select array(select pg_get_indexdef(i.indexrelid, k, true)
             from generate_series(1, i.indnkeyatts) k order by k) as expressions,
       coalesce(pg_get_expr(i.indpred, i.indrelid, true), 'true') as predicate,
       i.indnullsnotdistinct as nulls_are_equal
from pg_index i
where i.indexrelid = %(oid)s
"""

SIZE: LiteralString = "select pg_relation_size(%(oid)s::oid)"

# What follows is written into scripts, with its braces filled in: psql asks, and keeps the answers.
# The table of hypertables is there only where the extension is.
SCRIPTED_HYPERTABLES: LiteralString = """
SELECT CASE WHEN to_regclass('_timescaledb_catalog.hypertable') IS NULL THEN 'SELECT NULL::oid WHERE false'
            ELSE 'SELECT format(''%I.%I'', schema_name, table_name)::regclass::oid'
                 ' FROM _timescaledb_catalog.hypertable' END AS homeops_hypertables
"""
SCRIPTED_OF_TABLE: LiteralString = """
SELECT relkind = 'p' AS homeops_partitioned, oid IN (:homeops_hypertables) AS homeops_hypertable
FROM pg_class WHERE oid = {name}::regclass
"""
SCRIPTED_OF_INDEX: LiteralString = """
SELECT coalesce(bool_or(c.relkind = 'I' OR i.indrelid IN (:homeops_hypertables)), false) AS homeops_short,
       coalesce(bool_or(i.indrelid IN (:homeops_hypertables)), false) AS homeops_hypertable
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indexrelid = to_regclass({name})
"""
# A name that is longer than the server keeps begins with its hash: it is cut at the other end.
SCRIPTED_PARTITIONS: LiteralString = """
SELECT {change}
FROM (SELECT p.relid::regclass AS part, p.isleaf AND c.relkind <> 'p' AS is_leaf, p.level,
             c.relnamespace::regnamespace AS schema, a.relnamespace::regnamespace AS parent_schema,
             CASE WHEN octet_length(k.own) <= 63 THEN k.own
                  ELSE left(md5(k.own), 8) || '_' || k.own END AS name,
             CASE WHEN p.level = 1 THEN {index} WHEN octet_length(k.above) <= 63 THEN k.above
                  ELSE left(md5(k.above), 8) || '_' || k.above END AS parent_name
      FROM pg_partition_tree({table}::regclass) p
      JOIN pg_class c ON c.oid = p.relid
      JOIN pg_class a ON a.oid = p.parentrelid
      CROSS JOIN LATERAL (SELECT c.relname || '_' || {index}, a.relname || '_' || {index}) k (own, above)
     ) parts
WHERE level > 0 AND {which} ORDER BY level DESC, part::text
"""
SCRIPTED_CHUNKS: LiteralString = """
SELECT 'REINDEX TABLE CONCURRENTLY ' || inhrelid::regclass
FROM pg_inherits WHERE inhparent = {name}::regclass ORDER BY inhrelid::regclass::text
"""
SCRIPTED_CHUNK_INDEXES: LiteralString = f"""
WITH indexes AS ({INDEX.strip().replace("%%", "%")})
SELECT format('REINDEX INDEX CONCURRENTLY %I.%I', part.schema, part.name)
FROM indexes whole
JOIN pg_inherits h ON h.inhparent = whole.table_oid
JOIN indexes part ON part.table_oid = h.inhrelid AND part.definition = whole.definition
WHERE whole.oid = {{name}}::regclass ORDER BY part.schema, part.name
"""  # noqa: S608 - of constants


@dataclass(frozen=True)
class Index:
    """One index. ``definition`` is everything but the names: two indexes with equal ones serve the same.

    ``kind`` is pg_class.relkind; ``parent_oid`` is the partitioned index that it is attached to, or 0.
    """

    oid: int
    schema: str
    name: str
    kind: str
    table_oid: int
    table: str
    is_valid: bool
    is_exclusion: bool
    definition: str
    sql: str
    constraint: str | None
    parent_oid: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Keys:
    """What a unique index holds apart: expressions of its key, of which rows, and whether NULLs are equal."""

    expressions: list[str]
    predicate: str
    nulls_are_equal: bool


def index(connection: Connection, name: str, schema: str | None) -> Index | None:
    """Read the index of that name; without a schema, by the search path. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(BY_NAME, {"schema": schema, "name": name}).fetchone()


def by_oid(connection: Connection, oid: int) -> Index | None:
    """Read one index; None when it is gone. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(BY_OID, {"oid": oid}).fetchone()


def of_table(connection: Connection, oid: int) -> Sequence[Index]:
    """Read the indexes of one table, by name. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(OF_TABLE, {"oid": oid}).fetchall()


def leftovers(connection: Connection, oid: int, name: str | None = None) -> Sequence[Index]:
    """Read what a failed REINDEX CONCURRENTLY left on a table: of one index, or of all. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(LEFTOVERS, {"oid": oid, "name": name}).fetchall()


def keys(connection: Connection, oid: int) -> Keys | None:
    """Read what an index holds apart; None when it is gone. Takes no lock."""
    with connection.cursor(row_factory=class_row(Keys)) as cursor:
        return cursor.execute(KEYS, {"oid": oid}).fetchone()


def size(connection: Connection, oid: int) -> int:
    """Read the bytes of a relation's main file; 0 when it is gone. Takes ACCESS SHARE for the moment."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(SIZE, {"oid": oid}).fetchone() or 0)


def tablespace(connection: Connection, name: str, schema: str) -> str | None:
    """Read in which tablespace an index is; None where it is in the database's own. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(TABLESPACE, {"schema": schema, "name": name}).fetchone()
