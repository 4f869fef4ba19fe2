"""Columns as the catalog has them, and what a change did to the files of their table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A column that is inherited names its nearest parent. A partition key may also use it in an expression:
# then, as for a plain key column, the column itself depends on the table.
COLUMN: LiteralString = """
select a.attnum as number, a.attname as name, quote_ident(a.attname) as quoted,
       format_type(a.atttypid, a.atttypmod) as type,
       t.typnotnull or exists (select from pg_constraint c where c.contypid = t.oid) as is_constrained_domain,
       (select format('%%I.%%I', n.nspname, l.collname) from pg_collation l
        join pg_namespace n on n.oid = l.collnamespace where l.oid = a.attcollation) as collation,
       a.attnotnull as is_not_null, pg_get_expr(d.adbin, d.adrelid) as default,
       a.attgenerated::text as generated, a.attidentity::text as identity,
       a.attstorage::text as storage, a.attcompression::text as compression,
       col_description(a.attrelid, a.attnum) as comment,
       exists (select from pg_constraint c where c.conrelid = a.attrelid and c.contype = 'p'
               and a.attnum = any(c.conkey)) as is_in_primary_key,
       exists (select from pg_index i where i.indrelid = a.attrelid and i.indisreplident
               and a.attnum = any(i.indkey)) as is_in_replica_identity,
       exists (select from pg_partitioned_table p
               where p.partrelid = a.attrelid and a.attnum = any(p.partattrs))
       or exists (select from pg_depend p where p.classid = 'pg_class'::regclass and p.objid = a.attrelid
                  and p.objsubid = a.attnum and p.refobjid = a.attrelid and p.refobjsubid = 0
                  and p.deptype = 'i') as is_in_partition_key,
       parent.name as parent, coalesce(parent.is_not_null, false) as parent_is_not_null
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join lateral (
    select format('%%I.%%I', n.nspname, c.relname) as name, p.attnotnull as is_not_null
    from pg_inherits i
    join pg_attribute p on p.attrelid = i.inhparent and p.attname = a.attname and not p.attisdropped
    join pg_class c on c.oid = i.inhparent
    join pg_namespace n on n.oid = c.relnamespace
    where i.inhrelid = a.attrelid and p.attnum > 0
    order by p.attnotnull desc, i.inhseqno
    limit 1
) parent on true
where a.attrelid = %(oid)s and a.attname = %(name)s and a.attnum > 0 and not a.attisdropped
"""

# The files of a table and of its indexes, and how often it was read through by this transaction. An
# index that ALTER TYPE makes anew without building it keeps its file, under another oid.
FOOTPRINT: LiteralString = """
select pg_relation_filenode(%(oid)s::oid)::bigint as file,
       array(select format('%%s %%s', x.relname, pg_relation_filenode(x.oid))
             from pg_index i join pg_class x on x.oid = i.indexrelid
             where i.indrelid = %(oid)s order by 1) as indexes,
       pg_stat_get_xact_numscans(%(oid)s)::bigint as scans
"""
NOT_VALID: LiteralString = """
select c.conname as name from pg_constraint c
where c.conrelid = %(oid)s and c.contype = 'c' and not c.convalidated
"""
COUNTS_SCANS: LiteralString = "select current_setting('track_counts')::boolean"

# -1 until PostgreSQL 16, and NULL since, mean that there is none.
STATISTICS: LiteralString = """
select n.nspname as schema, s.stxname as name, coalesce(s.stxstattarget, -1)::int as target
from pg_depend d
join pg_statistic_ext s on s.oid = d.objid
join pg_namespace n on n.oid = s.stxnamespace
where d.classid = 'pg_statistic_ext'::regclass and d.refclassid = 'pg_class'::regclass
  and d.refobjid = %(oid)s and d.refobjsubid = %(number)s
order by 1, 2
"""

HAS_STATISTICS: LiteralString = """
select exists (select from pg_stats where schemaname = %(schema)s and tablename = %(table)s
               and attname = %(name)s)
"""

IS_DIMENSION: LiteralString = """
select exists (select from _timescaledb_catalog.dimension d
               join _timescaledb_catalog.hypertable h on h.id = d.hypertable_id
               where h.schema_name = %(schema)s and h.table_name = %(table)s and d.column_name = %(name)s)
"""

# Of a partition there is one.
PARENT: LiteralString = """
select format('%%I.%%I', n.nspname, c.relname)
from pg_inherits i
join pg_class c on c.oid = i.inhparent
join pg_namespace n on n.oid = c.relnamespace
where i.inhrelid = %(oid)s
order by i.inhseqno
"""

GENERATED: LiteralString = """
select a.attname from pg_attribute a
where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''
order by a.attnum
"""

# A hash that tells two values apart byte by byte: the type's own where equal means the same, else of what is
# sent to clients (numeric with its digits, citext with its case), or of the text where nothing can be sent.
HASHES: LiteralString = """
select a.attname as name,
       case when h.called is not null then h.called
            when t.typsend <> 0 then format('hash_record_extended(ROW(%%I.%%I({value})), {seed})',
                                            f.pronamespace::regnamespace::name, f.proname)
            else 'hashtextextended(({value})::text collate "C", {seed})' end as form
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation
left join pg_proc f on f.oid = t.typsend
cross join lateral (select case
    when t.typtype = 'e' then 'hashenumextended({value}, {seed})'
    when t.typnamespace <> 'pg_catalog'::regnamespace then null
    when t.typname in ('int2', 'int4', 'int8', 'oid')
    then format('hash%%sextended({value}, {seed})', t.typname)
    when t.typname in ('text', 'varchar') and coalesce(l.collisdeterministic, true)
    then 'hashtextextended({value}, {seed})'
    when t.typname = 'uuid' then 'uuid_hash_extended({value}, {seed})'
    when t.typname = 'timestamp' then 'timestamp_hash_extended({value}, {seed})'
    when t.typname = 'timestamptz' then 'timestamp_hash_extended({value} at time zone ''UTC'', {seed})'
    when t.typname in ('bool', 'date', 'time', 'bytea') then 'hash_record_extended(ROW({value}), {seed})'
    end as called) h
where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
"""

IDENTITIES: LiteralString = """
select a.attname, format('%%I.%%I', n.nspname, s.relname)
from pg_attribute a
join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid
                and d.refobjsubid = a.attnum and d.classid = 'pg_class'::regclass and d.deptype = 'i'
join pg_class s on s.oid = d.objid and s.relkind = 'S'
join pg_namespace n on n.oid = s.relnamespace
where a.attrelid = %(oid)s and a.attidentity <> ''
order by a.attnum
"""

NAMES: LiteralString = """
select a.attname from pg_attribute a
where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

TYPE_NAME: LiteralString = "select format_type(%(oid)s::oid, %(modifier)s::int)"
NO_PATH: LiteralString = "select set_config('search_path', '', true)"
IS_ENUM: LiteralString = "select typtype = 'e' from pg_type where oid = to_regtype(%(name)s)"

HAS_NOT_NULL_CONSTRAINTS: LiteralString = "select current_setting('server_version_num')::int >= 180000"


@dataclass(frozen=True)
class Column:
    """One column. ``default`` is also what a generated column is generated from."""

    number: int
    name: str
    quoted: str
    type: str
    is_constrained_domain: bool
    collation: str | None
    is_not_null: bool
    default: str | None
    generated: str
    identity: str
    storage: str
    compression: str
    comment: str | None
    is_in_primary_key: bool
    is_in_replica_identity: bool
    is_in_partition_key: bool
    parent: str | None
    parent_is_not_null: bool

    def __str__(self) -> str:
        words = [self.type, f"collation {self.collation}" if self.collation else ""]
        words += ["NOT NULL" if self.is_not_null else ""]
        if self.identity:
            words.append("identity")
        elif self.default is not None:
            words.append(f"{'generated as' if self.generated else 'default'} {self.default}")
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Footprint:
    """The file of a table and those of its indexes, and how often this transaction has scanned it."""

    file: int
    indexes: Sequence[str]
    scans: int


@dataclass(frozen=True)
class Statistics:
    """Extended statistics; ``target`` is -1 where none was set."""

    schema: str
    name: str
    target: int


def column(connection: Connection, table_oid: int, name: str) -> Column | None:
    """Read the column of that name. Takes no lock."""
    with connection.cursor(row_factory=class_row(Column)) as cursor:
        return cursor.execute(COLUMN, {"oid": table_oid, "name": name}).fetchone()


def qualified(connection: Connection, table_oid: int) -> list[Column]:
    """Read all columns of a table, in words that mean the same under any search path. Takes no lock."""
    with connection.transaction(force_rollback=True):
        connection.execute(NO_PATH)
        found = (column(connection, table_oid, name) for name in names(connection, table_oid))
        return [one for one in found if one is not None]


def identities(connection: Connection, table_oid: int) -> dict[str, str]:
    """Read the sequences of identity columns, qualified and quoted, by column. Takes no lock."""
    return dict(connection.execute(IDENTITIES, {"oid": table_oid}).fetchall())


def hashes(connection: Connection, table_oid: int) -> dict[str, str]:
    """Read what hashes a value of each column: SQL with places, ``{value}`` and ``{seed}``. Takes no lock."""
    return dict(connection.execute(HASHES, {"oid": table_oid}).fetchall())


def generated(connection: Connection, table_oid: int) -> list[str]:
    """Read the names of a table's generated columns. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(GENERATED, {"oid": table_oid}).fetchall()


def names(connection: Connection, table_oid: int) -> list[str]:
    """Read the names of a table's columns, in their order. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(NAMES, {"oid": table_oid}).fetchall()


def footprint(connection: Connection, table_oid: int) -> Footprint:
    """Read the files of a table, and how often the open transaction has scanned it. Takes no lock."""
    with connection.cursor(row_factory=class_row(Footprint)) as cursor:
        row = cursor.execute(FOOTPRINT, {"oid": table_oid}).fetchone()
    assert row is not None
    return row


def counts_scans(connection: Connection) -> bool:
    """Read whether the server counts scans at all (track_counts). Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(COUNTS_SCANS).fetchone())


def statistics(connection: Connection, table_oid: int, number: int) -> list[Statistics]:
    """Read the extended statistics that a column is part of. Takes no lock."""
    with connection.cursor(row_factory=class_row(Statistics)) as cursor:
        return cursor.execute(STATISTICS, {"oid": table_oid, "number": number}).fetchall()


def has_statistics(connection: Connection, schema: str, table: str, name: str) -> bool:
    """Read whether the planner knows anything of a column's values. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        values = {"schema": schema, "table": table, "name": name}
        return bool(cursor.execute(HAS_STATISTICS, values).fetchone())


def is_dimension(connection: Connection, schema: str, table: str, name: str) -> bool:
    """Read whether a hypertable is cut into chunks by a column. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        values = {"schema": schema, "table": table, "name": name}
        return bool(cursor.execute(IS_DIMENSION, values).fetchone())


def has_not_null_constraints(connection: Connection) -> bool:
    """Read whether NOT NULL is a constraint that can be added NOT VALID: since PostgreSQL 18."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(HAS_NOT_NULL_CONSTRAINTS).fetchone())


def type_name(connection: Connection, type_: str, *, is_qualified: bool = False) -> str:
    """Have the server name a type that is given as SQL, as `Column` has it. Takes no lock.

    Args:
        connection: Its search path finds the type.
        type_: SQL.
        is_qualified: Whether the name shall mean the same under any search path.

    Raises:
        psycopg.ProgrammingError: There is no such type.
    """
    asked = connection.execute(f"SELECT NULL::{type_}".encode()).pgresult
    assert asked is not None
    values = {"oid": asked.ftype(0), "modifier": asked.fmod(0)}
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=scalar_row) as cursor:
        if is_qualified:
            cursor.execute(NO_PATH)
        return str(cursor.execute(TYPE_NAME, values).fetchone())


def is_enum(connection: Connection, type_: str) -> bool:
    """Read whether a type, as SQL names it, is an enumeration. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(IS_ENUM, {"name": type_}).fetchone())


def parent_table(connection: Connection, table_oid: int) -> str | None:
    """Read the name of a partition's parent, or of the first table that it inherits. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(PARENT, {"oid": table_oid}).fetchone()
