"""What belongs to a column beside its type: comment, rights, statistics target, options, sequences."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row

ATTRIBUTES: LiteralString = """
select col_description(a.attrelid, a.attnum) as comment,
       nullif(coalesce(a.attstattarget, -1), -1)::int as statistics,
       coalesce(a.attoptions, '{}')::text[] as options,
       array(select concat(g.privilege_type, case when g.is_grantable then '*' end, ' ',
                           case when g.grantee <> 0 then pg_get_userbyid(g.grantee) end)
             from aclexplode(a.attacl) g order by 1) as rights
from pg_attribute a where a.attrelid = %(oid)s and a.attname = %(name)s and not a.attisdropped
"""
OWNED: LiteralString = """
select n.nspname as schema, c.relname as name, d.deptype = 'i' as is_identity,
       q.seqtypid::regtype::text as type, q.seqstart as start, q.seqincrement as increment, q.seqmin as
       smallest, q.seqmax as largest, q.seqcache as cache, q.seqcycle as is_cycled,
       obj_description(c.oid, 'pg_class') as comment,
       array(select format('REVOKE ALL ON SEQUENCE %%s FROM %%s', c.oid::regclass, w.grantee)
             from (select distinct case g.grantee when 0 then 'PUBLIC'
                                        else quote_ident(pg_get_userbyid(g.grantee)) end as grantee
                   from pg_default_acl f cross join lateral aclexplode(f.defaclacl) g
                   where f.defaclobjtype = 'S') w)
       || array(select format('GRANT %%s ON SEQUENCE %%s TO %%s%%s', g.privilege_type, c.oid::regclass,
                              case g.grantee when 0 then 'PUBLIC'
                                             else quote_ident(pg_get_userbyid(g.grantee)) end,
                              case when g.is_grantable then ' WITH GRANT OPTION' else '' end)
                from aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) g order by 1) as rights
from pg_depend d
join pg_class c on c.oid = d.objid and c.relkind = 'S'
join pg_namespace n on n.oid = c.relnamespace
join pg_sequence q on q.seqrelid = c.oid
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
  and d.refobjsubid = %(number)s and d.deptype in ('a', 'i')
"""


@dataclass(frozen=True)
class Sequence:
    """A sequence that belongs to a column."""

    schema: str
    name: str
    is_identity: bool
    type: str
    start: int
    increment: int
    smallest: int
    largest: int
    cache: int
    is_cycled: bool
    comment: str | None
    rights: list[str]

    @property
    def identifier(self) -> sql.Identifier:
        """Its quoted name."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class Attributes:
    """What a column has beside its type; ``rights`` are like ``SELECT* alice``, where * may pass it on."""

    comment: str | None
    statistics: int | None
    options: list[str]
    rights: list[str]


def of_column(connection: Connection, oid: int, name: str) -> Attributes:
    """Read what a column has that is there. Takes no lock."""
    with connection.cursor(row_factory=class_row(Attributes)) as cursor:
        found = cursor.execute(ATTRIBUTES, {"oid": oid, "name": name}).fetchone()
    assert found is not None
    return found


def owned(connection: Connection, oid: int, number: int) -> list[Sequence]:
    """Read the sequences that belong to a column, and go with it. Takes no lock."""
    with connection.cursor(row_factory=class_row(Sequence)) as cursor:
        return cursor.execute(OWNED, {"oid": oid, "number": number}).fetchall()
