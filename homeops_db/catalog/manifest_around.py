"""What the manifest of a table says of what depends on it: keys, views, functions, publications.

The rows are those of `manifest_table`.
"""

from typing import Final, LiteralString

REFERRING: LiteralString = """
select k.kind, quote_ident(c.conname) as name, array[k.words] as words, array[k.make] as create
from pg_constraint c
cross join lateral (values
    ('foreign key of ' || c.conrelid::regclass, pg_get_constraintdef(c.oid),
     format('ALTER TABLE %%s ADD CONSTRAINT ⟦name⟧ %%s', c.conrelid::regclass, pg_get_constraintdef(c.oid))),
    ('foreign key comment of ' || c.conrelid::regclass, obj_description(c.oid, 'pg_constraint'),
     format('COMMENT ON CONSTRAINT ⟦name⟧ ON %%s IS %%L', c.conrelid::regclass,
            obj_description(c.oid, 'pg_constraint')))
) k (kind, words, make)
where c.confrelid = %(oid)s and c.conrelid <> %(oid)s and c.contype = 'f' and c.conparentid = 0
  and k.words is not null
order by 1 desc, 2
"""

# Publications of all tables, or of a schema's, have a new table by themselves.
PUBLICATIONS: LiteralString = """
select 'publication' as kind, quote_ident(p.pubname) as name,
       array[coalesce(nullif(concat_ws(' ', d.columns, d.condition), ''), 'all')] as words,
       array[format('ALTER PUBLICATION %%I ADD TABLE ONLY ⟦table⟧%%s%%s', p.pubname, ' ' || d.columns,
                    ' ' || d.condition)] as create
from pg_publication_rel r
join pg_publication p on p.oid = r.prpubid
cross join lateral (select
    (select '(' || string_agg(quote_ident(a.attname), ', ' order by a.attnum) || ')'
     from unnest(r.prattrs::int2[]) k (number)
     join pg_attribute a on a.attrelid = r.prrelid and a.attnum = k.number) as columns,
    'WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')' as condition) d
where r.prrelid = %(oid)s
order by 2
"""

# Views above views too, each behind what it reads; by its rows' type a view or a function depends as well.
DEPENDING: LiteralString = """
with recursive above (oid, level) as (
    select %(oid)s::oid, 0
    union
    select r.ev_class, a.level + 1
    from above a
    join pg_class o on o.oid = a.oid
    join pg_depend d on (d.refclassid, d.refobjid) in (('pg_class'::regclass, o.oid),
                                                       ('pg_type'::regclass, o.reltype))
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid and r.rulename = '_RETURN' and r.ev_class <> a.oid
    where a.level < 100
), found as (
    select a.oid as relation, null::oid as rule, max(a.level) as level
    from above a where a.level > 0 group by a.oid
    union all
    select distinct r.ev_class, r.oid, 0
    from pg_depend d
    join pg_rewrite r on r.oid = d.objid and r.rulename <> '_RETURN' and r.ev_class <> d.refobjid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
      and not exists (select from above a where a.oid = r.ev_class)
)
select case when f.rule is not null then 'rule of another table'
            when v.relkind = 'm' then 'materialized view' else 'view' end as kind,
       case when f.rule is null then v.oid::regclass::text
            else (select format('%%I of %%s', r.rulename, v.oid::regclass)
                  from pg_rewrite r where r.oid = f.rule) end as name,
       coalesce(f.rule, v.oid)::bigint as oid, true as is_made
from found f
join pg_class v on v.oid = f.relation
order by f.level, 2
"""

# Policies of other tables that read this one.
POLICIES: LiteralString = """
select distinct 'policy of another table' as kind,
       format('%%I of %%s', p.polname, p.polrelid::regclass) as name, p.oid::bigint as oid, true as is_made
from pg_depend d
join pg_policy p on p.oid = d.objid and p.polrelid <> d.refobjid
where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
order by 2
"""

FUNCTIONS: LiteralString = """
select distinct 'function' as kind, p.oid::regprocedure::text as name, p.oid::bigint as oid,
       exists (select from pg_depend b where b.classid = 'pg_proc'::regclass and b.objid = p.oid
               and b.refclassid = 'pg_class'::regclass and b.refobjid = c.oid) as is_made
from pg_class c
join pg_type y on y.oid = c.reltype
join pg_depend d on d.classid = 'pg_proc'::regclass
                and (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                     or d.refclassid = 'pg_type'::regclass and d.refobjid in (y.oid, y.typarray))
join pg_proc p on p.oid = d.objid and p.prokind <> 'a'
where c.oid = %(oid)s
order by 2
"""

MATERIALIZED: LiteralString = """
select array[format('CREATE MATERIALIZED VIEW %%s (%%s) USING %%I%%s%%s AS %%s WITH %%sDATA', v.oid::regclass,
                    c.names, m.amname, ' WITH (' || array_to_string(v.reloptions, ', ') || ')',
                    ' TABLESPACE ' || quote_ident(s.spcname), rtrim(pg_get_viewdef(v.oid), ';'),
                    case when v.relispopulated then '' else 'NO ' end)]
       || array(select format('ALTER MATERIALIZED VIEW %%s ALTER COLUMN %%I SET STATISTICS %%s',
                              v.oid::regclass, a.attname, a.attstattarget)
                from pg_attribute a where a.attrelid = v.oid and a.attnum > 0 and a.attstattarget >= 0
                order by a.attnum)
       || array(select format('COMMENT ON %%s IS %%L', what, said)
                from (select format('MATERIALIZED VIEW %%s', v.oid::regclass),
                             obj_description(v.oid, 'pg_class'), 0
                      union all
                      select format('COLUMN %%s.%%I', v.oid::regclass, a.attname),
                             col_description(v.oid, a.attnum), a.attnum
                      from pg_attribute a where a.attrelid = v.oid and a.attnum > 0) s (what, said, place)
                where said is not null order by place)
       || array[format('ALTER MATERIALIZED VIEW %%s OWNER TO %%I', v.oid::regclass,
                    pg_get_userbyid(v.relowner))]
       || array(select format('REVOKE ALL ON %%s FROM %%s', v.oid::regclass, w.grantee)
                from (select distinct case g.grantee when 0 then 'PUBLIC'
                                           else quote_ident(pg_get_userbyid(g.grantee)) end as grantee
                      from (select acldefault('r', v.relowner)
                            union all
                            select defaclacl from pg_default_acl where defaclobjtype = 'r') a (rights)
                      cross join lateral aclexplode(a.rights) g) w
                where v.relacl is not null or exists (select from pg_default_acl where defaclobjtype = 'r')
                order by w.grantee)
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
                      where a.attrelid = v.oid and a.attnum > 0) g order by 1) as create,
       null as drop
from pg_class v
join pg_am m on m.oid = v.relam
left join pg_tablespace s on s.oid = v.reltablespace
cross join lateral (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) as names
                    from pg_attribute a where a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped) c
where v.oid = any(%(oids)s::oid[])
"""

MATERIALIZED_INDEXES: LiteralString = """
select 'index of ' || i.indrelid::regclass as kind, quote_ident(x.relname) as name,
       array[d.made || case when i.indisclustered then ' (cluster mark)' else '' end] as words,
       array[d.made] || case when i.indisclustered
                             then array[format('ALTER MATERIALIZED VIEW %%s CLUSTER ON ⟦name⟧',
                                                i.indrelid::regclass)]
                             else '{}' end as create
from pg_index i
join pg_class x on x.oid = i.indexrelid
cross join lateral (select overlay(pg_get_indexdef(x.oid) placing '⟦name⟧'
                                   from case when i.indisunique then 21 else 14 end
                                   for length(quote_ident(x.relname))) as made) d
where i.indrelid = %(oid)s
order by 2
"""

# What else the catalog knows: columns of the row's type, defaults of other tables, domains.
OTHERS: LiteralString = """
select distinct 'other dependent' as kind, pg_describe_object(d.classid, d.objid, d.objsubid) as name,
       array['depends on it'] as words, null::text[] as create
from pg_class c
left join pg_type y on y.oid = c.reltype
join pg_depend d on d.deptype = 'n'
                and (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                     or d.refclassid = 'pg_type'::regclass and d.refobjid in (y.oid, y.typarray))
left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
left join pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
left join pg_trigger t on d.classid = 'pg_trigger'::regclass and t.oid = d.objid
left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
left join pg_proc q on d.classid = 'pg_proc'::regclass and q.oid = d.objid
left join pg_class r on d.classid = 'pg_class'::regclass and r.oid = d.objid
left join pg_statistic_ext s on d.classid = 'pg_statistic_ext'::regclass and s.oid = d.objid
where c.oid = %(oid)s
  and d.classid not in ('pg_rewrite'::regclass, 'pg_publication_rel'::regclass)
  and not coalesce(k.contype = 'f' and k.confrelid = c.oid or k.conrelid = c.oid, false)
  and p.oid is null
  and not coalesce(t.tgrelid = c.oid or t.tgisinternal, false)
  and not coalesce(f.adrelid = c.oid, false)
  and not coalesce(q.prokind <> 'a', false)
  and not coalesce(s.stxrelid = c.oid, false)
  and not coalesce(r.oid = c.oid and d.objsubid >= 0, false)
  and not coalesce(r.oid in (select i.inhrelid from pg_inherits i where i.inhparent = c.oid), false)
  and not coalesce(r.relkind in ('i', 'I'), false)
order by 2
"""

AROUND: Final = (REFERRING, PUBLICATIONS, OTHERS)
