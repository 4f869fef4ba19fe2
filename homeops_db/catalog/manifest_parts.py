"""What the manifest of a table says of its indexes, constraints, statistics, and what the server says.

The rows are those of `manifest_table`.
"""

from typing import Final, LiteralString

# The server writes an index's own name right behind INDEX: it is cut out by its place. With the ONLY that it
# says of a partitioned table, the partitions would have none.
INDEXES: LiteralString = r"""
select k.kind, quote_ident(x.relname) as name, array[k.words] as words, k.make as create
from pg_index i
join pg_class x on x.oid = i.indexrelid
left join pg_constraint c on c.conindid = x.oid and c.conrelid = i.indrelid and c.contype in ('p', 'u', 'x')
left join pg_tablespace s on s.oid = x.reltablespace
cross join lateral (select regexp_replace(overlay(pg_get_indexdef(x.oid) placing '⟦name⟧'
                                                  from case when i.indisunique then 21 else 14 end
                                                  for length(quote_ident(x.relname))),
                                          '(⟦name⟧ ON )ONLY ', '\1') as made) d
cross join lateral (values
    ('index', case when c.oid is null then d.made || case when i.indisvalid then '' else ' (invalid)' end end,
     array[d.made]),
    ('index options', case when c.oid is not null then array_to_string(x.reloptions, ', ') end,
     array[format('ALTER INDEX ⟦schema⟧.⟦name⟧ SET (%%s)', array_to_string(x.reloptions, ', '))]),
    ('index tablespace', s.spcname,
     array['ALTER INDEX ⟦schema⟧.⟦name⟧ SET TABLESPACE ' || quote_ident(s.spcname)]),
    ('index comment', obj_description(x.oid, 'pg_class'),
     array[format('COMMENT ON INDEX ⟦schema⟧.⟦name⟧ IS %%L', obj_description(x.oid, 'pg_class'))]),
    ('index statistics targets',
     (select string_agg(format('column %%s: %%s', a.attnum, a.attstattarget), ', ' order by a.attnum)
      from pg_attribute a where a.attrelid = x.oid and a.attstattarget >= 0),
     array(select format('ALTER INDEX ⟦schema⟧.⟦name⟧ ALTER COLUMN %%s SET STATISTICS %%s', a.attnum,
                         a.attstattarget)
           from pg_attribute a where a.attrelid = x.oid and a.attstattarget >= 0 order by a.attnum)),
    ('cluster mark', case when i.indisclustered then 'set' end,
     array['ALTER TABLE ⟦table⟧ CLUSTER ON ⟦name⟧']),
    ('replica identity index', case when i.indisreplident then 'set' end,
     array['ALTER TABLE ⟦table⟧ REPLICA IDENTITY USING INDEX ⟦name⟧'])
) k (kind, words, make)
where i.indrelid = %(oid)s and k.words is not null
order by k.kind, 2
"""

# Keys come before what refers to them. Triggers of constraints are the server's own (tgconstraint).
CONSTRAINTS: LiteralString = """
select k.kind, quote_ident(c.conname) as name, array[k.words] as words, array[k.make] as create
from pg_constraint c
cross join lateral (
    select case c.contype when 'c' then 'check constraint' when 'p' then 'primary key'
                          when 'u' then 'unique constraint' when 'x' then 'exclusion constraint'
                          when 'f' then 'foreign key' when 'n' then 'not null constraint' end as kind) n
cross join lateral (values
    (1, n.kind, case when c.contype <> 'n' then pg_get_constraintdef(c.oid) end,
     'ALTER TABLE ⟦table⟧ ADD CONSTRAINT ⟦name⟧ ' || pg_get_constraintdef(c.oid)),
    (2, n.kind || ' comment', obj_description(c.oid, 'pg_constraint'),
     format('COMMENT ON CONSTRAINT ⟦name⟧ ON ⟦table⟧ IS %%L', obj_description(c.oid, 'pg_constraint')))
) k (place, kind, words, make)
where c.conrelid = %(oid)s and c.contype <> 't' and k.words is not null
order by k.place, array_position(array['p', 'u', 'x', 'c', 'f'], c.contype::text), 2
"""

STATISTICS: LiteralString = """
select k.kind, s.full_name as name, array[k.words] as words, array[k.make] as create
from (select e.*, format('%%I.%%I', e.stxnamespace::regnamespace::name, e.stxname) as full_name
      from pg_statistic_ext e where e.stxrelid = %(oid)s) s
cross join lateral (select obj_description(s.oid, 'pg_statistic_ext') as said) d
cross join lateral (values
    (1, 'statistics', overlay(pg_get_statisticsobjdef(s.oid) placing '⟦name⟧' from 19
                              for length(s.full_name)),
     overlay(pg_get_statisticsobjdef(s.oid) placing '⟦name⟧' from 19 for length(s.full_name))),
    (2, 'statistics target', case when s.stxstattarget >= 0 then s.stxstattarget::text end,
     format('ALTER STATISTICS ⟦name⟧ SET STATISTICS %%s', s.stxstattarget)),
    (3, 'statistics comment', d.said, format('COMMENT ON STATISTICS ⟦name⟧ IS %%L', d.said)),
    (4, 'statistics owner', pg_get_userbyid(s.stxowner)::text,
     format('ALTER STATISTICS ⟦name⟧ OWNER TO %%I', pg_get_userbyid(s.stxowner)))
) k (place, kind, words, make)
where k.words is not null
order by k.place, 2
"""

# What `worded` says, object by object. A partition's triggers come with its place (tgparentid).
SAID: LiteralString = """
select 'policy' as kind, quote_ident(p.polname) as name, p.oid::bigint as oid, true as is_made
from pg_policy p where p.polrelid = %(oid)s
union all
select 'trigger', quote_ident(t.tgname), t.oid::bigint, t.tgparentid = 0
from pg_trigger t where t.tgrelid = %(oid)s and not t.tgisinternal
union all
select 'rule', quote_ident(r.rulename), r.oid::bigint, true
from pg_rewrite r where r.ev_class = %(oid)s
order by 1, 2
"""

PARTS: Final = (INDEXES, CONSTRAINTS, STATISTICS)
