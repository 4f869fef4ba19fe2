"""What the manifest of a table says of the table itself and of its columns: kind, name, words, statements.

⟦table⟧, ⟦schema⟧ and ⟦name⟧ stand for the table, its schema and the item's own name. A null in place of the
statements: it can't be made so. None of them: it is made together with something else.
"""

from typing import Final, LiteralString

# A generated column may read columns behind it: all are made at once.
TABLE: LiteralString = """
select i.kind, i.name, array[i.words] as words, i.make as create
from pg_class c
join pg_am m on m.oid = coalesce(nullif(c.relam, 0), (select oid from pg_am where amname = 'heap'))
left join pg_tablespace s on s.oid = c.reltablespace
cross join lateral (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) as names,
           string_agg(format('%%I %%s%%s%%s', a.attname, format_type(a.atttypid, a.atttypmod),
                             case when a.attcollation <> y.typcollation
                                  then ' COLLATE ' || a.attcollation::regcollation else '' end,
                             case when a.attgenerated <> ''
                                  then format(' GENERATED ALWAYS AS (%%s) %%s',
                                              pg_get_expr(d.adbin, d.adrelid),
                                              case a.attgenerated when 's' then 'STORED' else 'VIRTUAL' end)
                                  else '' end), ', ' order by a.attnum) as defined
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) k
cross join lateral (values
    ('columns', '', coalesce(k.names, ''), array[
        format('CREATE %%sTABLE ⟦table⟧ (%%s)%%s%%s%%s',
               case c.relpersistence when 'u' then 'UNLOGGED ' when 't' then 'TEMPORARY ' else '' end,
               k.defined,
               ' PARTITION BY ' || pg_get_partkeydef(c.oid), ' USING ' || quote_ident(m.amname),
               ' TABLESPACE ' || quote_ident(s.spcname))]),
    ('persistence', '', case c.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end, '{}'),
    ('access method', '', m.amname, '{}'),
    ('tablespace', '', s.spcname, '{}'),
    ('partition key', '', pg_get_partkeydef(c.oid), '{}'),
    ('row type', '', nullif(c.reloftype, 0)::regtype::text,
     array['ALTER TABLE ⟦table⟧ OF ' || nullif(c.reloftype, 0)::regtype]),
    ('table comment', '', obj_description(c.oid, 'pg_class'),
     array['COMMENT ON TABLE ⟦table⟧ IS ' || quote_literal(obj_description(c.oid, 'pg_class'))]),
    ('replica identity', '', case c.relreplident when 'n' then 'NOTHING' when 'f' then 'FULL' end,
     array['ALTER TABLE ⟦table⟧ REPLICA IDENTITY '
           || case c.relreplident when 'n' then 'NOTHING' else 'FULL' end]),
    ('row security', '', case when c.relrowsecurity then 'enabled' end,
     array['ALTER TABLE ⟦table⟧ ENABLE ROW LEVEL SECURITY']),
    ('forced row security', '', case when c.relforcerowsecurity then 'enabled' end,
     array['ALTER TABLE ⟦table⟧ FORCE ROW LEVEL SECURITY'])
) i (kind, name, words, make)
where c.oid = %(oid)s and i.words is not null
union all
select 'option', o.prefix || split_part(o.option, '=', 1), array[substr(o.option, strpos(o.option, '=') + 1)],
       array[format('ALTER TABLE ⟦table⟧ SET (%%s%%s=%%L)', o.prefix, split_part(o.option, '=', 1),
                    substr(o.option, strpos(o.option, '=') + 1))]
from pg_class c
left join pg_class t on t.oid = c.reltoastrelid
cross join lateral (select '', u from unnest(c.reloptions) u
                    union all select 'toast.', u from unnest(t.reloptions) u) o (prefix, option)
where c.oid = %(oid)s
union all
select 'parent', i.inhparent::regclass::text,
       array[coalesce(pg_get_expr(c.relpartbound, c.oid), 'inherited')
             || case when i.inhdetachpending then ' (being detached)' else '' end],
       array[case when c.relispartition
                  then format('ALTER TABLE %%s ATTACH PARTITION ⟦table⟧ %%s', i.inhparent::regclass,
                              pg_get_expr(c.relpartbound, c.oid))
                  else format('ALTER TABLE ⟦table⟧ INHERIT %%s', i.inhparent::regclass) end]
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where c.oid = %(oid)s
union all
select 'child', c.oid::regclass::text, array[coalesce(pg_get_expr(c.relpartbound, c.oid), 'inherits')],
       case when not c.relispartition
            then array[format('ALTER TABLE %%s INHERIT ⟦table⟧', c.oid::regclass)] end
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = %(oid)s
order by 1, 2
"""

# NOT VALID and NO INHERIT of NOT NULL are since PostgreSQL 18, where it is a constraint.
COLUMNS: LiteralString = """
select i.kind, a.attname::text as name, array[i.words] as words,
       case when i.change is null then '{}'
            else array[format('ALTER TABLE ⟦table⟧ %%s', i.change)] end as create
from pg_attribute a
join pg_type y on y.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_constraint n on n.conrelid = a.attrelid and n.contype = 'n' and n.conkey = array[a.attnum]
left join pg_depend p on p.refclassid = 'pg_class'::regclass and p.classid = 'pg_class'::regclass
                     and p.refobjid = a.attrelid and p.refobjsubid = a.attnum and p.deptype = 'i'
                     and a.attidentity <> ''
left join pg_sequence s on s.seqrelid = p.objid
cross join lateral (select format('GENERATED %%s AS IDENTITY (SEQUENCE NAME %%s START %%s INCREMENT %%s '
                                  'MINVALUE %%s MAXVALUE %%s CACHE %%s%%s)',
                                  case a.attidentity when 'a' then 'ALWAYS' else 'BY DEFAULT' end,
                                  s.seqrelid::regclass, s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
                                  s.seqcache,
                                  case when s.seqcycle then ' CYCLE' else '' end) as identity,
                           pg_get_constraintdef(n.oid) as not_null,
                           quote_ident(a.attname) as column,
                           case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL'
                                             when 'm' then 'MAIN' else 'EXTENDED' end as storage) q
cross join lateral (values
    ('column', format_type(a.atttypid, a.atttypmod)
        || case when a.attcollation <> y.typcollation then ' COLLATE ' || a.attcollation::regcollation
                else '' end
        || case when a.attgenerated <> ''
                then format(' GENERATED ALWAYS AS (%%s) %%s', pg_get_expr(d.adbin, d.adrelid),
                            case a.attgenerated when 's' then 'STORED' else 'VIRTUAL' end) else '' end, null),
    ('column default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
     format('ALTER COLUMN %%I SET DEFAULT %%s', a.attname, pg_get_expr(d.adbin, d.adrelid))),
    ('column not null', case when a.attnotnull or n.oid is not null
                             then coalesce(q.not_null, format('NOT NULL %%s', q.column)) end,
     coalesce('ADD CONSTRAINT ' || quote_ident(n.conname) || ' ' || q.not_null,
              format('ALTER COLUMN %%I SET NOT NULL', a.attname))),
    ('column identity', case when a.attidentity <> '' then q.identity end,
     format('ALTER COLUMN %%I ADD %%s', a.attname, q.identity)),
    ('column storage', case when a.attstorage <> y.typstorage then q.storage end,
     format('ALTER COLUMN %%I SET STORAGE %%s', a.attname, q.storage)),
    ('column compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end,
     format('ALTER COLUMN %%I SET COMPRESSION %%s', a.attname,
            case a.attcompression when 'p' then 'pglz' else 'lz4' end)),
    ('column statistics target', case when a.attstattarget >= 0 then a.attstattarget::text end,
     format('ALTER COLUMN %%I SET STATISTICS %%s', a.attname, a.attstattarget)),
    ('column options', (select string_agg(o, ', ' order by o) from unnest(a.attoptions) o),
     format('ALTER COLUMN %%I SET (%%s)', a.attname, array_to_string(a.attoptions, ', ')))
) i (kind, words, change)
where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped and i.words is not null
order by 1, a.attnum
"""

COLUMN_COMMENTS: LiteralString = """
select 'column comment' as kind, a.attname::text as name,
       array[col_description(a.attrelid, a.attnum)] as words,
       array[format('COMMENT ON COLUMN ⟦table⟧.%%I IS %%L', a.attname,
                    col_description(a.attrelid, a.attnum))] as create
from pg_attribute a
where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
  and col_description(a.attrelid, a.attnum) is not null
order by a.attnum
"""

# What ALTER DEFAULT PRIVILEGES gives to a new table is taken from it first. Who granted isn't said: with
# another owner, the server writes other grantors.
OWNER: LiteralString = """
select 'owner' as kind, '' as name, array[pg_get_userbyid(c.relowner)::text] as words,
       array[format('ALTER TABLE ⟦table⟧ OWNER TO %%I', pg_get_userbyid(c.relowner))]
       || array(select distinct format('REVOKE ALL ON ⟦table⟧ FROM %%s',
                                       case x.grantee when 0 then 'PUBLIC'
                                                      else quote_ident(pg_get_userbyid(x.grantee)) end)
                from pg_default_acl d cross join lateral aclexplode(d.defaclacl) x
                where d.defaclobjtype = 'r') as create
from pg_class c where c.oid = %(oid)s
"""

RIGHTS: LiteralString = """
select case when r.is_default then 'right withdrawn' when r.column is null then 'right'
            else 'right on column ' || r.column end as kind,
       r.grantee || ': ' || r.privilege_type as name,
       array[case when r.is_grantable then 'WITH GRANT OPTION' else 'granted' end] as words,
       array[case when r.is_default then format('REVOKE %%s ON ⟦table⟧ FROM %%s', r.privilege_type, r.grantee)
                  else format('GRANT %%s%%s ON ⟦table⟧ TO %%s%%s', r.privilege_type, ' (' || r.column || ')',
                              r.grantee, case when r.is_grantable then ' WITH GRANT OPTION' else '' end)
             end] as create
from (
    select null as column, x.privilege_type, bool_or(x.is_grantable) as is_grantable, false as is_default,
           case x.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(x.grantee)) end as grantee
    from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
    where c.oid = %(oid)s group by x.privilege_type, x.grantee
    union all
    select quote_ident(a.attname), x.privilege_type, bool_or(x.is_grantable), false,
           case x.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(x.grantee)) end
    from pg_attribute a cross join lateral aclexplode(a.attacl) x
    where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
    group by a.attname, x.privilege_type, x.grantee
    union all
    select null, x.privilege_type, false, true, quote_ident(pg_get_userbyid(x.grantee))
    from pg_class c cross join lateral aclexplode(acldefault('r', c.relowner)) x
    where c.oid = %(oid)s
      and not exists (select from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) h
                      where (h.grantee, h.privilege_type) = (x.grantee, x.privilege_type))
) r
order by 1, 2
"""

LABELS: LiteralString = """
select 'security label' as kind,
       concat_ws(' on column ', l.provider,
                 case when l.objsubid > 0 then (select quote_ident(a.attname) from pg_attribute a
                                                where a.attrelid = l.objoid and a.attnum = l.objsubid)
                 end) as name,
       array[l.label] as words,
       array[format('SECURITY LABEL FOR %%I ON %%s IS %%L', l.provider,
                    coalesce((select format('COLUMN ⟦table⟧.%%I', a.attname) from pg_attribute a
                              where a.attrelid = l.objoid and a.attnum = l.objsubid and l.objsubid > 0),
                             'TABLE ⟦table⟧'), l.label)] as create
from pg_seclabel l where l.classoid = 'pg_class'::regclass and l.objoid = %(oid)s
order by 2
"""

# An identity's sequence is in its table's schema, always, and belongs to the table's owner.
NUMBERS: LiteralString = """
select i.kind, s.oid::regclass::text as name, i.words, i.make as create
from pg_depend d
join pg_class s on s.oid = d.objid and s.relkind = 'S'
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
cross join lateral (
    select array_agg(format('GRANT %%s ON SEQUENCE ⟦name⟧ TO %%s%%s', x.privilege_type, r.grantee,
                            case when x.is_grantable then ' WITH GRANT OPTION' else '' end)
                     order by r.grantee, x.privilege_type) as granted,
           array(select distinct format('REVOKE ALL ON SEQUENCE ⟦name⟧ FROM %%s',
                                        case y.grantee when 0 then 'PUBLIC'
                                                       else quote_ident(pg_get_userbyid(y.grantee)) end)
                 from (select acldefault('s', s.relowner)
                       union all
                       select d.defaclacl from pg_default_acl d where d.defaclobjtype = 'S') f (rights)
                 cross join lateral aclexplode(f.rights) y) as withdrawn
    from aclexplode(coalesce(s.relacl, acldefault('s', s.relowner))) x
    cross join lateral (select case x.grantee when 0 then 'PUBLIC'
                                              else quote_ident(pg_get_userbyid(x.grantee)) end) r (grantee)) g
cross join lateral (values
    ('identity sequence', array[a.attname::text], '{}'),
    ('identity sequence comment', array[obj_description(s.oid, 'pg_class')],
     array[format('COMMENT ON SEQUENCE ⟦name⟧ IS %%L', obj_description(s.oid, 'pg_class'))]),
    ('identity sequence rights', coalesce(g.granted, '{}'), g.withdrawn || coalesce(g.granted, '{}'))
) i (kind, words, make)
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
  and d.deptype = 'i' and a.attidentity <> '' and i.words <> array[null::text]
order by a.attnum, 1
"""

# The sequences of identity columns, and those that a column owns.
SEQUENCES: LiteralString = """
select s.seqrelid::regclass::text as sequence, quote_ident(a.attname) as column,
       a.attidentity <> '' as is_identity,
       format('AS %%s START %%s INCREMENT %%s MINVALUE %%s MAXVALUE %%s CACHE %%s%%s', s.seqtypid::regtype,
              s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
              case when s.seqcycle then ' CYCLE' else '' end) as parameters,
       s.seqincrement as increment, s.seqmin as lowest, s.seqmax as highest,
       has_sequence_privilege(s.seqrelid, 'SELECT') as is_readable
from pg_depend d
join pg_sequence s on s.seqrelid = d.objid
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = %(oid)s
  and d.deptype in ('a', 'i')
order by a.attnum, 1
"""

BEFORE: Final = (TABLE, COLUMNS, COLUMN_COMMENTS)
AFTER: Final = (OWNER, RIGHTS, LABELS, NUMBERS)
