"""Indexes as the catalog has them: valid or not, and what they are apart from their name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row

# pg_get_indexdef always begins with the names of index and table; what follows is the definition.
INDEX: LiteralString = """
with described as (
    select i.indexrelid, i.indrelid, i.indisvalid, i.indisunique, c.relname, c.relkind, c.relnamespace,
           t.relname as table_name,
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
       i.indisvalid as is_valid, i.indisunique as is_unique,
       uniqueness || replace(pg_get_indexdef(i.indexrelid),
                             format('CREATE %%sINDEX %%I ON %%s%%I.%%I ', uniqueness, i.relname, only_parent,
                                    i.table_schema, i.table_name), '') as definition,
       pg_get_indexdef(i.indexrelid) as sql,
       (select o.conname from pg_constraint o
        where o.conindid = i.indexrelid and o.contype in ('p', 'u', 'x')) as constraint
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
OF_TABLE: LiteralString = INDEX + "where i.indrelid = %(oid)s order by i.relname"


@dataclass(frozen=True)
class Index:
    """One index. ``definition`` is everything but the names: two indexes with equal ones serve the same."""

    oid: int
    schema: str
    name: str
    kind: str
    table_oid: int
    table: str
    is_valid: bool
    is_unique: bool
    definition: str
    sql: str
    constraint: str | None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def index(connection: Connection, name: str, schema: str | None) -> Index | None:
    """Read the index of that name; without a schema, by the search path. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(BY_NAME, {"schema": schema, "name": name}).fetchone()


def of_table(connection: Connection, oid: int) -> Sequence[Index]:
    """Read the indexes of one table, by name. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(OF_TABLE, {"oid": oid}).fetchall()
