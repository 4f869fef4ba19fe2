"""What keeps the rows of a table from being written as they are asked to be: rules, policies, keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

from homeops_db.catalog.firing import DELETE, INSERT, UPDATE

_RULE_EVENTS: Final = {INSERT: ["3", "2"], DELETE: ["4"], UPDATE: ["2"]}  # ON CONFLICT minds both kinds

RULES: LiteralString = """
select r.rulename::text as name, format('%%I.%%I', n.nspname, c.relname) as table
from pg_rewrite r
join pg_class c on c.oid = r.ev_class
join pg_namespace n on n.oid = c.relnamespace
where r.ev_class = any(%(oids)s::oid[]) and r.ev_type::text = any(%(events)s) and r.ev_enabled::text <> 'D'
order by 2, 1
"""

# Whatever row_security says at the moment: switched off, the server refuses instead.
HIDING: LiteralString = """
select format('%%I.%%I', n.nspname, c.relname)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any(%(oids)s::oid[]) and c.relrowsecurity and row_security_active(c.oid)
order by 1
"""

# A foreign key is given to a table by its owner, and to another one's by who has REFERENCES there.
CLOSED: LiteralString = """
select format('%%I.%%I', n.nspname, c.relname)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any(%(referring)s::oid[]) and not pg_has_role(c.relowner, 'USAGE')
   or c.oid = any(%(referred)s::oid[]) and not has_any_column_privilege(c.oid, 'REFERENCES')
order by 1
"""

COMPARING: LiteralString = """
select format('%%I of %%I.%%I', t.tgname, n.nspname, c.relname)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where t.tgrelid = any(%(oids)s::oid[]) and not t.tgisinternal and t.tgqual is not null
  and pg_get_triggerdef(t.oid) ~ 'WHEN .*\\m(old|new)\\.\\*'
order by 1
"""

# A key may use a column in an expression: then the column depends on the table.
PARTITION_KEYS: LiteralString = """
with recursive up (oid) as (
    select o from unnest(%(oids)s::oid[]) o
    union
    select i.inhparent from up u join pg_inherits i on i.inhrelid = u.oid
)
select a.attname::text as column, format('%%I.%%I', n.nspname, c.relname) as table
from up u
join pg_partitioned_table p on p.partrelid = u.oid
join pg_class c on c.oid = u.oid
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attname = any(%(columns)s)
where a.attnum = any(p.partattrs)
   or exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
              and d.objsubid = a.attnum and d.refobjid = c.oid and d.refobjsubid = 0 and d.deptype = 'i')
order by 2, 1
"""

_HAS_DIMENSIONS: LiteralString = "select to_regclass('_timescaledb_catalog.dimension') is not null"
DIMENSIONS: LiteralString = """
with up (oid) as (
    select o from unnest(%(oids)s::oid[]) o
    union
    select i.inhparent from pg_inherits i where i.inhrelid = any(%(oids)s::oid[])
)
select d.column_name::text as column, format('%%I.%%I', n.nspname, c.relname) as table
from up u
join pg_class c on c.oid = u.oid
join pg_namespace n on n.oid = c.relnamespace
join _timescaledb_catalog.hypertable h on h.schema_name = n.nspname and h.table_name = c.relname
join _timescaledb_catalog.dimension d on d.hypertable_id = h.id
where d.column_name = any(%(columns)s)
order by 2, 1
"""


@dataclass(frozen=True)
class Rule:
    """A rule that rewrites the statement."""

    name: str
    table: str


@dataclass(frozen=True)
class KeyColumn:
    """A column by which a table is cut into partitions or chunks."""

    column: str
    table: str


def rules(connection: Connection, oids: Sequence[int], verb: str) -> list[Rule]:
    """Read which rules would do something else in the statement's place. Takes no lock."""
    with connection.cursor(row_factory=class_row(Rule)) as cursor:
        return cursor.execute(RULES, {"oids": list(oids), "events": _RULE_EVENTS[verb]}).fetchall()


def hiding(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Read in which tables row level security would hide rows from our role. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(HIDING, {"oids": list(oids)}).fetchall()


def key_columns(connection: Connection, oids: Sequence[int], columns: Sequence[str]) -> list[KeyColumn]:
    """Read by which of the columns the tables, or those above, are cut into pieces. Takes no lock."""
    values = {"oids": list(oids), "columns": list(columns)}
    with connection.cursor(row_factory=scalar_row) as cursor:
        has_dimensions = cursor.execute(_HAS_DIMENSIONS).fetchone()
    with connection.cursor(row_factory=class_row(KeyColumn)) as cursor:
        found = cursor.execute(PARTITION_KEYS, values).fetchall()
        return found + (cursor.execute(DIMENSIONS, values).fetchall() if has_dimensions else [])


def closed(connection: Connection, referring: Sequence[int], referred: Sequence[int]) -> list[str]:
    """Name tables that our role may not give a foreign key, or let one refer to. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(CLOSED, {"referring": list(referring), "referred": list(referred)}).fetchall()


def comparing_rows(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Name triggers whose condition reads the whole row. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(COMPARING, {"oids": list(oids)}).fetchall()
