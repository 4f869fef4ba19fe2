"""Materialized views, in words in which another one can be made like each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row, tuple_row

# REFRESH, also CONCURRENTLY, writes the row of pg_class anew, as GRANT and ALTER do: its xmin is a version.
MATERIALIZED: LiteralString = """
select m.oid::bigint as oid, n.nspname::text as schema, m.relname::text as name, m.xmin::text as version,
       m.relispopulated as is_populated, rtrim(pg_get_viewdef(m.oid), ';') as definition,
       (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = m.oid and a.attnum > 0) as columns,
       concat(' USING ' || quote_ident(h.amname),
              ' WITH (' || (select string_agg(o, ', ') from (
                   select unnest(m.reloptions)
                   union all
                   select 'toast.' || unnest(t.reloptions)
                   from pg_class t where t.oid = m.reltoastrelid) x (o))
              || ')',
              ' TABLESPACE ' || quote_ident(p.spcname)) as storage,
       array[format('ALTER MATERIALIZED VIEW %%s OWNER TO %%I', w.twin, pg_get_userbyid(m.relowner))]
       || array(select format('ALTER MATERIALIZED VIEW %%s ALTER COLUMN %%I SET %%s', w.twin, a.attname,
                              s.what)
                from pg_attribute a
                join pg_type y on y.oid = a.atttypid
                cross join lateral (values
                    ('STATISTICS ' || nullif(coalesce(a.attstattarget, -1), -1)),
                    ('(' || array_to_string(a.attoptions, ', ') || ')'),
                    (case when a.attstorage <> y.typstorage
                          then 'STORAGE ' || case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL'
                                             when 'm' then 'MAIN' else 'EXTENDED' end end),
                    ('COMPRESSION ' || case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end)
                ) s (what)
                where a.attrelid = m.oid and a.attnum > 0 and s.what is not null
                order by a.attnum, s.what)
       || array(select format('COMMENT ON %%s IS %%L', what, said)
                from (select format('MATERIALIZED VIEW %%s', w.twin), obj_description(m.oid, 'pg_class'), 0
                      union all
                      select format('COLUMN %%s.%%I', w.twin, a.attname), col_description(m.oid, a.attnum),
                             a.attnum
                      from pg_attribute a where a.attrelid = m.oid and a.attnum > 0) s (what, said, place)
                where said is not null order by place)
       || array(select format('REVOKE ALL ON %%s FROM %%s', w.twin, f.grantee)
                from (select distinct case g.grantee when 0 then 'PUBLIC'
                                           else quote_ident(pg_get_userbyid(g.grantee)) end as grantee
                      from (select acldefault('r', m.relowner)
                            union all
                            select defaclacl from pg_default_acl where defaclobjtype = 'r') a (rights)
                      cross join lateral aclexplode(a.rights) g) f
                where m.relacl is not null or exists (select from pg_default_acl where defaclobjtype = 'r')
                order by f.grantee)
       || array(select format('GRANT %%s%%s ON %%s TO %%s%%s', g.privilege_type, g.columns, w.twin,
                              case g.grantee when 0 then 'PUBLIC'
                                             else quote_ident(pg_get_userbyid(g.grantee)) end,
                              case when g.is_grantable then ' WITH GRANT OPTION' else '' end)
                from (select x.privilege_type, '' as columns, x.grantee, x.is_grantable
                      from aclexplode(coalesce(m.relacl, acldefault('r', m.relowner))) x
                      where m.relacl is not null
                         or exists (select from pg_default_acl where defaclobjtype = 'r')
                      union all
                      select x.privilege_type, format(' (%%I)', a.attname), x.grantee, x.is_grantable
                      from pg_attribute a cross join lateral aclexplode(a.attacl) x
                      where a.attrelid = m.oid and a.attnum > 0) g order by 1) as create
from pg_class m
join unnest(%(oids)s::oid[], %(twins)s::text[]) with ordinality w (oid, twin, place) on w.oid = m.oid
join pg_namespace n on n.oid = m.relnamespace
left join pg_am h on h.oid = m.relam
left join pg_tablespace p on p.oid = m.reltablespace
order by w.place
"""

INDEXES: LiteralString = """
select i.indrelid::bigint as view_oid, c.relname::text as name, pg_get_indexdef(c.oid) as definition,
       p.spcname::text as tablespace,
       i.indisclustered as is_clustered, i.indisvalid as is_valid,
       obj_description(c.oid, 'pg_class') as comment,
       coalesce((select json_object_agg(a.attnum, a.attstattarget order by a.attnum) from pg_attribute a
                 where a.attrelid = c.oid and a.attstattarget >= 0), '{}') as targets
from pg_index i
join pg_class c on c.oid = i.indexrelid
left join pg_tablespace p on p.oid = c.reltablespace
where i.indrelid = any(%(oids)s::oid[])
order by 1, 2
"""

TYPES: LiteralString = """
select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_attribute a
where a.attrelid = %(oid)s::oid and a.attnum > 0
"""
VERSION: LiteralString = "select xmin::text from pg_class where oid = %(name)s::regclass"


@dataclass(frozen=True)
class Index:
    """An index of a materialized view; ``targets`` are statistics targets by column number."""

    view_oid: int
    name: str
    definition: str
    tablespace: str | None
    is_clustered: bool
    is_valid: bool
    comment: str | None
    targets: Mapping[str, int]


@dataclass(frozen=True)
class Materialized:
    """A materialized view.

    Attributes:
        oid: Its own.
        schema: Where it is.
        name: Its name.
        version: Changes with each REFRESH and ALTER.
        is_populated: Whether it has been filled.
        definition: Its query.
        columns: Its columns' names, quoted.
        storage: Access method, options and tablespace, as they are said when it is made.
        create: What else is said of the one like it, by statements.
    """

    oid: int
    schema: str
    name: str
    version: str
    is_populated: bool
    definition: str
    columns: str
    storage: str
    create: list[str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def read(connection: Connection, twins: Mapping[int, sql.Identifier]) -> list[Materialized]:
    """Read some, each in words that speak of another one of the name that is given for it. Takes no lock."""
    names = [name.as_string(connection) for name in twins.values()]
    with connection.cursor(row_factory=class_row(Materialized)) as cursor:
        return cursor.execute(MATERIALIZED, {"oids": list(twins), "twins": names}).fetchall()


def indexes(connection: Connection, oids: Collection[int]) -> list[Index]:
    """Read the indexes of some. Takes no lock."""
    with connection.cursor(row_factory=class_row(Index)) as cursor:
        return cursor.execute(INDEXES, {"oids": list(oids)}).fetchall()


def types(connection: Connection, oid: int) -> dict[str, str]:
    """Read the types of its columns by their names. Takes no lock."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return dict(cursor.execute(TYPES, {"oid": oid}).fetchall())


def version(connection: Connection, name: str) -> str:
    """Read what changes with each REFRESH and ALTER of one, by its name as SQL has it. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(VERSION, {"name": name}).fetchone())
