"""Objects that the server can say again in SQL: triggers, rules, policies, views, functions, publications."""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

# A table that is published under a list of columns or a condition. From PostgreSQL 15 on.
PUBLISHED: LiteralString = """
select quote_ident(p.pubname) as publication,
       string_agg(format('TABLE %%s%%s%%s', r.prrelid::regclass,
           (select ' (' || string_agg(quote_ident(a.attname), ', ' order by k.place) || ')'
            from unnest(r.prattrs::int2[]) with ordinality k (number, place)
            join pg_attribute a on a.attrelid = r.prrelid and a.attnum = k.number),
           ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')'), ', '
           order by r.prrelid::regclass::text)
       || coalesce((select string_agg(', TABLES IN SCHEMA ' || quote_ident(n.nspname), '' order by n.nspname)
                    from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid
                    where s.pnpubid = p.oid), '') as tables
from pg_publication_rel r
join pg_publication p on p.oid = r.prpubid
where p.oid in (select prpubid from pg_publication_rel where oid = any(%(oids)s::oid[]))
group by p.oid, p.pubname
"""

TRIGGER: LiteralString = """
select format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass) as drop,
       array_remove(array[pg_get_triggerdef(t.oid),
           case when t.tgenabled <> 'O'
                then format('ALTER TABLE %%s %%s TRIGGER %%I', t.tgrelid::regclass,
                            case t.tgenabled when 'A' then 'ENABLE ALWAYS' when 'R' then 'ENABLE REPLICA'
                                             else 'DISABLE' end, t.tgname) end,
           'COMMENT ON TRIGGER ' || quote_ident(t.tgname) || ' ON ' || t.tgrelid::regclass || ' IS '
               || quote_literal(obj_description(t.oid, 'pg_trigger'))], null) as create
from pg_trigger t where t.oid = any(%(oids)s::oid[])
order by t.tgname
"""

RULE: LiteralString = """
select format('DROP RULE %%I ON %%s', r.rulename, r.ev_class::regclass) as drop,
       array_remove(array[pg_get_ruledef(r.oid),
           case when r.ev_enabled <> 'O'
                then format('ALTER TABLE %%s %%s RULE %%I', r.ev_class::regclass,
                            case r.ev_enabled when 'A' then 'ENABLE ALWAYS' when 'R' then 'ENABLE REPLICA'
                                              else 'DISABLE' end, r.rulename) end,
           'COMMENT ON RULE ' || quote_ident(r.rulename) || ' ON ' || r.ev_class::regclass || ' IS '
               || quote_literal(obj_description(r.oid, 'pg_rewrite'))], null) as create
from pg_rewrite r where r.oid = any(%(oids)s::oid[])
order by r.rulename
"""

RULES_ON: LiteralString = """
select oid::bigint from pg_rewrite where ev_class = any(%(oids)s::oid[])
"""

POLICY: LiteralString = """
select format('DROP POLICY %%I ON %%s', p.polname, p.polrelid::regclass) as drop,
       array_remove(array[
           format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s', p.polname, p.polrelid::regclass,
                  case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
                  case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE'
                                when 'd' then 'DELETE' else 'ALL' end,
                  (select string_agg(case r.oid when 0 then 'PUBLIC'
                                                else quote_ident(pg_get_userbyid(r.oid)) end,
                                     ', ' order by r.place)
                   from unnest(p.polroles) with ordinality r (oid, place)))
               || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
               || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
           'COMMENT ON POLICY ' || quote_ident(p.polname) || ' ON ' || p.polrelid::regclass || ' IS '
               || quote_literal(obj_description(p.oid, 'pg_policy'))], null) as create
from pg_policy p where p.oid = any(%(oids)s::oid[])
order by p.polname
"""

# Of a function nothing but its body changes: it stays the same object, with its rights and whoever uses it.
FUNCTION: LiteralString = """
select null as drop, array[pg_get_functiondef(p.oid)] as create
from pg_proc p where p.oid = any(%(oids)s::oid[])
order by p.proname
"""

# PL/pgSQL keeps in each session what type a record's field had, and fails with every call when it is another
# one (42804), until the function is seen to have changed. A statement that changes nothing does that too.
COMPILED: LiteralString = """
select null as drop,
       array[format('ALTER ROUTINE %%s SECURITY %%s', p.oid::regprocedure,
                    case when p.prosecdef then 'DEFINER' else 'INVOKER' end)] as create
from pg_proc p
join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
where (p.oid in (select t.tgfoid from pg_trigger t where t.tgrelid = any(%(oids)s::oid[]))
       or strpos(lower(p.prosrc), lower(%(name)s)) > 0)
  and pg_has_role(p.proowner, 'USAGE')
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                  and d.deptype = 'e')
order by p.oid::regprocedure::text
"""

# All views above some views, and what each of them reads.
VIEWS: LiteralString = """
with recursive above (oid) as (
    select unnest(%(oids)s::oid[])
    union
    select r.ev_class
    from above a
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.oid
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid and r.rulename = '_RETURN'
)
select a.oid::bigint as oid, c.relkind = 'm' as is_materialized, n.nspname::text as schema,
       c.relname::text as name,
       array(select distinct d.refobjid::bigint
             from pg_rewrite r
             join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                             and d.refclassid = 'pg_class'::regclass and d.refobjid <> a.oid
             where r.ev_class = a.oid and r.rulename = '_RETURN' and d.refobjid in (select oid from above)
             order by 1) as below
from above a
join pg_class c on c.oid = a.oid
join pg_namespace n on n.oid = c.relnamespace
order by 1
"""

# What a view is beside its query: what stands on it, but other views and a materialized one's indexes.
ON_VIEWS: LiteralString = """
select distinct pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_depend d
left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
left join pg_type t on d.classid = 'pg_type'::regclass and t.oid = d.objid
left join pg_trigger g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
where (d.refclassid = 'pg_class'::regclass and d.refobjid = any(%(oids)s::oid[])
       or d.refclassid = 'pg_type'::regclass and d.refobjid in (
           select w.oid from pg_type w where w.typrelid = any(%(oids)s::oid[])
           union all select w.typarray from pg_type w where w.typrelid = any(%(oids)s::oid[])))
  and d.deptype <> 'i'
  and not (d.classid = 'pg_class'::regclass and d.objid in (select indexrelid from pg_index))
  and not coalesce(r.ev_class = any(%(oids)s::oid[]), false)
  and not coalesce(g.tgrelid = any(%(oids)s::oid[]), false)
  and not coalesce(f.adrelid = any(%(oids)s::oid[]), false)
order by 1
"""

VIEW: LiteralString = """
select format('DROP VIEW %%s', v.oid::regclass) as drop,
       array[format('CREATE VIEW %%s (%%s)%%s AS %%s', v.oid::regclass, c.names,
                    ' WITH (' || (select string_agg(o, ', ') from unnest(v.reloptions) o) || ')',
                    pg_get_viewdef(v.oid)),
             format('ALTER VIEW %%s OWNER TO %%I', v.oid::regclass, pg_get_userbyid(v.relowner))]
       || array(select format('ALTER VIEW %%s ALTER COLUMN %%I SET DEFAULT %%s', v.oid::regclass, a.attname,
                              pg_get_expr(f.adbin, f.adrelid))
                from pg_attrdef f join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
                where f.adrelid = v.oid order by a.attnum)
       || array(select pg_get_triggerdef(t.oid) from pg_trigger t
                where t.tgrelid = v.oid and not t.tgisinternal order by t.tgname)
       || array(select pg_get_ruledef(r.oid) from pg_rewrite r
                where r.ev_class = v.oid and r.rulename <> '_RETURN' order by r.rulename)
       || array(select format('COMMENT ON %%s %%I ON %%s IS %%L', what, name, v.oid::regclass, said)
                from (select 'TRIGGER', tgname, obj_description(oid, 'pg_trigger') from pg_trigger
                      where tgrelid = v.oid and not tgisinternal
                      union all
                      select 'RULE', rulename, obj_description(oid, 'pg_rewrite') from pg_rewrite
                      where ev_class = v.oid and rulename <> '_RETURN') s (what, name, said)
                where said is not null)
       || array(select format('COMMENT ON %%s IS %%L', what, said)
                from (select format('VIEW %%s', v.oid::regclass), obj_description(v.oid, 'pg_class'), 0
                      union all
                      select format('COLUMN %%s.%%I', v.oid::regclass, a.attname),
                             col_description(v.oid, a.attnum), a.attnum
                      from pg_attribute a where a.attrelid = v.oid and a.attnum > 0) s (what, said, place)
                where said is not null order by place)
       || array(select format('REVOKE ALL ON %%s FROM %%s', v.oid::regclass, w.grantee)
                from (select distinct case g.grantee when 0 then 'PUBLIC'
                                           else quote_ident(pg_get_userbyid(g.grantee)) end as grantee
                      from (select acldefault('r', v.relowner)
                            union all
                            select defaclacl from pg_default_acl where defaclobjtype = 'r') a (rights)
                      cross join lateral aclexplode(a.rights) g) w
                where v.relacl is not null or exists (select from pg_default_acl where defaclobjtype = 'r'))
       || array(select format('GRANT %%s%%s ON %%s TO %%s%%s', g.privilege_type, g.columns, v.oid::regclass,
                              case g.grantee when 0 then 'PUBLIC'
                                             else quote_ident(pg_get_userbyid(g.grantee)) end,
                              case when g.is_grantable then ' WITH GRANT OPTION' else '' end)
                from (select x.privilege_type, '' as columns, x.grantee, x.is_grantable
                      from aclexplode(coalesce(v.relacl, acldefault('r', v.relowner))) x
                      where v.relacl is not null
                         or exists (select from pg_default_acl where defaclobjtype = 'r')
                      union all
                      select x.privilege_type, format(' (%%I)', a.attname), x.grantee, x.is_grantable
                      from pg_attribute a cross join lateral aclexplode(a.attacl) x
                      where a.attrelid = v.oid and a.attnum > 0) g order by 1) as create
from unnest(%(oids)s::oid[]) with ordinality o (oid, place)
join pg_class v on v.oid = o.oid
cross join lateral (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) as names
                    from pg_attribute a where a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped) c
order by o.place
"""

TEMPORARY_VIEW: LiteralString = """
select pg_get_viewdef(c.oid) from pg_class c
where c.relnamespace = pg_my_temp_schema() and c.relname = %(name)s and c.relkind = 'v'
"""


@dataclass(frozen=True)
class Worded:
    """One object in words: how it is dropped, if it must be, and how it is made again."""

    drop: str | None
    create: list[str]


@dataclass(frozen=True)
class View:
    """A view, maybe a materialized one, and the views among those asked for that it reads."""

    oid: int
    is_materialized: bool
    schema: str
    name: str
    below: list[int]

    def __str__(self) -> str:
        return f"{'materialized ' if self.is_materialized else ''}view {self.schema}.{self.name}"


@dataclass(frozen=True)
class Published:
    """One publication, and the tables that it has by name."""

    publication: str
    tables: str


def read(connection: Connection, query: LiteralString, oids: Sequence[int]) -> list[Worded]:
    """Read objects of one kind, in the order in which they are made. Takes no lock."""
    with connection.cursor(row_factory=class_row(Worded)) as cursor:
        return cursor.execute(query, {"oids": list(oids)}, prepare=True).fetchall()


def compiled(connection: Connection, oids: Sequence[int], name: str) -> list[Worded]:
    """Read which functions may have compiled a column's type into them, and what makes them forget it."""
    with connection.cursor(row_factory=class_row(Worded)) as cursor:
        return cursor.execute(COMPILED, {"oids": list(oids), "name": name}).fetchall()


def views_above(connection: Connection, oids: Sequence[int]) -> list[View]:
    """Read the views that stand on views, these included, in the order in which they can be made.

    Takes no lock.
    """
    with connection.cursor(row_factory=class_row(View)) as cursor:
        found = {one.oid: one for one in cursor.execute(VIEWS, {"oids": list(oids)}).fetchall()}
    below = {one.oid: one.below for one in found.values()}
    return [found[oid] for oid in TopologicalSorter(below).static_order()]


def on_views(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Name what else stands on some views, in the server's words: it would go with them."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(ON_VIEWS, {"oids": list(oids)}).fetchall()


def rules_on(connection: Connection, oids: Sequence[int]) -> list[int]:
    """Read the rules of some views, by oid. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(RULES_ON, {"oids": list(oids)}).fetchall()


def published(connection: Connection, oids: Sequence[int]) -> list[Published]:
    """Read publications by some of their entries (pg_publication_rel)."""
    with connection.cursor(row_factory=class_row(Published)) as cursor:
        return cursor.execute(PUBLISHED, {"oids": list(oids)}).fetchall()


def temporary_view(connection: Connection, name: str) -> str:
    """Read what a temporary view of ours selects, in the server's words. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(TEMPORARY_VIEW, {"name": name}).fetchone())
