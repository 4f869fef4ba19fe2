"""What the batches of a ``--sql`` script ask the catalog while they run; it becomes part of their PL/pgSQL.

Words in braces are replaced by variables there. None of these takes a lock.
"""

from typing import Final, LiteralString

COLUMN_NAMES: Final[LiteralString] = """
select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
where a.attrelid = {relation} and a.attnum > 0 and not a.attisdropped
"""

COLUMN_NUMBERS: Final[LiteralString] = """
select coalesce(jsonb_object_agg('column ' || a.attname, a.attnum), '{{}}') from pg_attribute a
where a.attrelid = {relation} and a.attname = any({names}) and a.attnum > 0 and not a.attisdropped
"""

# The columns that a view reads of a table, also in its sub-selects, and through generated columns: all of
# them where it reads a whole row (column 0), for which pg_depend has no entry.
READ_BY_VIEW: Final[LiteralString] = r"""
with rule as (
    select r.oid, r.ev_action::text ~ '\{{VAR :varno \d+ :varattno 0 ' as has_whole_row
    from pg_rewrite r where r.ev_class = to_regclass({view})
), direct as (
    select p.refobjsubid as number
    from rule
    join pg_depend p on p.classid = 'pg_rewrite'::regclass and p.objid = rule.oid
                    and p.refclassid = 'pg_class'::regclass and p.refobjid = {relation}
), through_generated as (
    select (regexp_matches(d.adbin::text, ':varattno (-?[0-9]+)', 'g'))[1]::int as number
    from direct
    join pg_attribute a on a.attrelid = {relation} and a.attnum = direct.number and a.attgenerated <> ''
    join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
)
select array(select a.attname::text
             from rule
             join pg_attribute a on a.attrelid = {relation} and a.attnum > 0
             where rule.has_whole_row or a.attnum in (table direct union all table through_generated))
"""

# A page of 8 kB has room for 291 rows. Where relpages is 0, nobody has counted yet.
ROWS_PER_PAGE: Final[LiteralString] = """
select case when c.relpages > 0 and c.reltuples > 0
            then ceil(least(291, greatest(1, c.reltuples / c.relpages)))::int else 100 end
from pg_class c where c.oid = {relation}
"""
IS_THERE: Final[LiteralString] = "exists (select from pg_class c where c.oid = {relation})"

# Who holds one of these locks may have written rows that can't be seen yet. A prepared transaction has no
# pid; autovacuum and CREATE INDEX CONCURRENTLY hold another lock.
WRITERS: Final[LiteralString] = """
select array(
    select distinct l.virtualtransaction from pg_locks l
    where l.locktype = 'relation' and l.relation = {relation} and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      and l.pid is distinct from pg_backend_pid())
"""

NAME: Final[LiteralString] = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = {relation}
"""

HAS_COLUMNS: Final[LiteralString] = """
exists (select from pg_attribute a
        where a.attrelid = {relation}::regclass and a.attname = any({names}) and not a.attisdropped)
"""

# The type of an expression, with its length: as a table that was made of it (homeops_type) has it.
RETYPE: Final[LiteralString] = """
select concat(format('ALTER TABLE {table} ALTER COLUMN %I DROP DEFAULT, ALTER COLUMN %1$I TYPE %s USING (%s)',
                     {column}, format_type(a.atttypid, a.atttypmod), {expression}),
              ', ALTER COLUMN ' || quote_ident({column})
                  || ' SET DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
from pg_attribute a
left join pg_attribute c on c.attrelid = {relation}::regclass and c.attname = {column}
left join pg_attrdef d on d.adrelid = c.attrelid and d.adnum = c.attnum
where a.attrelid = 'pg_temp.homeops_type'::regclass and a.attname = 'value'
"""

# Several columns get other types and values at once, so that each is made of what was there before. A type is
# given, or is that of the same column of another table; defaults are said again.
RESHAPE: Final[LiteralString] = """
select {alter} || string_agg(
           concat(case when d.oid is not null then format('ALTER COLUMN %I DROP DEFAULT, ', v.name) end,
                  format('ALTER COLUMN %I TYPE %s USING (%s)', v.name,
                         coalesce(v.type, format_type(a.atttypid, a.atttypmod)), v.expression),
                  ', ALTER COLUMN ' || quote_ident(v.name) || ' SET DEFAULT '
                      || pg_get_expr(d.adbin, d.adrelid)), ', ')
from (values {values}) v (name, expression, type, relation)
join pg_attribute c on c.attrelid = {relation}::regclass and c.attname = v.name
left join pg_attribute a on a.attrelid = to_regclass(v.relation) and a.attname = v.name
left join pg_attrdef d on d.adrelid = c.attrelid and d.adnum = c.attnum and c.attgenerated = ''
"""

KNOWN: Final[LiteralString] = """
select a.attname from pg_attribute a
where a.attrelid = {relation}::regclass and a.attnum > 0 and not a.attisdropped
"""
HAS_TRIGGER: Final[LiteralString] = """
exists (select from pg_trigger t where t.tgrelid = {relation}::regclass and t.tgname = {trigger})
"""
