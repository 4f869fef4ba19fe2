"""What clients see of a database: everything that a revision can take away from them, read from the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeVar

from psycopg import Connection
from psycopg.rows import class_row

T = TypeVar("T")
# What online changes keep beside a table (homeops_new_…, homeops_old_…) isn't the application's.
_OURS: LiteralString = """
n.nspname !~ '^(pg_|homeops_(new|old)_|_?timescaledb)' and n.nspname not in ('information_schema', 'migrations')
"""
_OWN_RELATION: LiteralString = (
    _OURS
    + """
and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not c.relispartition and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('e', 'i'))
"""
)
_FROM: LiteralString = "from pg_class c join pg_namespace n on n.oid = c.relnamespace"
_COLUMN: LiteralString = """
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attname !~ '^homeops_(new|old)_'
"""
RELATIONS: LiteralString = f"""
select format('%I.%I', n.nspname, c.relname), case c.relkind when 'p' then 'r' else c.relkind::text end
{_FROM} where {_OWN_RELATION}
"""
COLUMNS: LiteralString = f"""
select format('%I.%I', n.nspname, c.relname) as relation, a.attname as name,
       format_type(a.atttypid, a.atttypmod) as type, a.attcollation::regcollation::text as collation,
       a.attnotnull as not_null, a.atthasdef or a.attidentity <> '' as has_default,
       a.attidentity::text as identity, a.attgenerated::text as generated
{_FROM} {_COLUMN} where c.relkind <> 'S' and {_OWN_RELATION}
"""
ROUTINES: LiteralString = f"""
select p.oid::regprocedure::text, concat_ws(' ', p.prokind, pg_get_function_arguments(p.oid), 'returns',
       coalesce(pg_get_function_result(p.oid), 'nothing'))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where {_OURS} and not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
"""
TYPES: LiteralString = f"""
select format('%I.%I', n.nspname, t.typname), coalesce(
    (select array_agg(e.enumlabel::text) from pg_enum e where e.enumtypid = t.oid),
    (select array_agg(pg_get_constraintdef(k.oid)) from pg_constraint k where k.contypid = t.oid),
    '{{}}'), t.typtype = 'd'
from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
where {_OURS} and t.typtype <> 'p' and coalesce(c.relkind = 'c', true) and t.typelem = 0 and not exists (
    select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype in ('e', 'i'))
"""
# Columns of a unique index or an exclusion come from what it depends on, so that expressions count too.
RULES: LiteralString = f"""
select format('%I.%I', n.nspname, c.relname) as relation, r.name, r.kind, r.columns, r.definition, r.target, r.refusing
{_FROM} cross join lateral (
    select k.conname as name, k.contype::text as kind,
           array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any(k.conkey)
                 union
                 select a.attname::text from pg_depend d join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
                 where k.contype = 'x' and d.classid = 'pg_class'::regclass and d.objid = k.conindid
                   and d.refobjid = c.oid) as columns,
           regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') as definition,
           nullif(k.confrelid, 0)::regclass::text as target,
           concat_ws(' ', case when k.confdeltype in ('a', 'r') then 'delete' end,
                          case when k.confupdtype in ('a', 'r') then 'update' end) as refusing
    from pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x')
    union all
    select i.indexrelid::regclass::text, 'u',
           array(select distinct a.attname::text from pg_depend d
                 join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
                 where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid and d.refobjid = c.oid),
           regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', 'USING '), null, ''
    from pg_index i
    where i.indrelid = c.oid and i.indisunique and not exists (
        select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
) r
where {_OWN_RELATION} and not exists (select from unnest(r.columns) col where col ~ '^homeops_(new|old)_')
"""
# A right on a table counts for each of its columns, so that granting column by column takes none away.
RIGHTS: LiteralString = f"""
with given as (
    select c.oid, format('%I.%I', n.nspname, c.relname) as what, g.grantee, g.privilege_type as privilege
    {_FROM} cross join lateral aclexplode(
        coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) g
    where {_OWN_RELATION} and g.grantee <> c.relowner
), every as (
    select g.what || coalesce('.' || a.attname, '') as what, g.grantee, g.privilege
    from given g left join pg_attribute a on a.attrelid = g.oid and a.attnum > 0 and not a.attisdropped
        and g.privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
    union
    select format('%I.%I.%s', n.nspname, c.relname, a.attname), g.grantee, g.privilege_type
    {_FROM} {_COLUMN} cross join lateral aclexplode(a.attacl) g where {_OWN_RELATION}
    union
    select p.oid::regprocedure::text, g.grantee, g.privilege_type
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
    where {_OURS} and g.grantee <> p.proowner
    union
    select n.nspname, g.grantee, g.privilege_type
    from pg_namespace n cross join lateral aclexplode(n.nspacl) g where {_OURS} and g.grantee <> n.nspowner
)
select what, case grantee when 0 then 'public' else pg_get_userbyid(grantee)::text end, privilege from every
"""
GUARDS: LiteralString = f"""
select format('%I.%I', n.nspname, c.relname), 'row level security' {_FROM} where c.relrowsecurity and {_OWN_RELATION}
union
select format('%I.%I', n.nspname, c.relname), 'restrictive policy ' || p.polname
{_FROM} join pg_policy p on p.polrelid = c.oid where not p.polpermissive and {_OWN_RELATION}
"""
FILLED: LiteralString = f"""
select distinct format('%I.%I', n.nspname, c.relname)
{_FROM} join pg_trigger t on t.tgrelid = c.oid
where not t.tgisinternal and t.tgtype & 7 = 7 and t.tgname !~ '^zz_homeops_' and {_OWN_RELATION} and not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = t.tgfoid and d.deptype = 'e')
"""
KEPT: LiteralString = """
select format('%I.%I.%s', n.nspname, c.relname, regexp_replace(a.attname, '^homeops_old_', ''))
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p') and not a.attisdropped and a.attname ~ '^homeops_old_'
union
select '*.' || quote_ident(c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname ~ '^homeops_old_' and c.relname !~ '^homeops_'
"""
EXTENSIONS: LiteralString = "select extname from pg_extension"


@dataclass(frozen=True)
class Column:
    """A column of a table or view. ``has_default``: a writer may leave it out."""

    relation: str
    name: str
    type: str
    collation: str
    not_null: bool
    has_default: bool
    identity: str
    generated: str


@dataclass(frozen=True)
class Rule:
    """A constraint or a unique index: ``kind`` is c, f, p, u or x; ``refusing`` what a foreign key forbids."""

    relation: str
    name: str
    kind: str
    columns: list[str]
    definition: str
    target: str | None
    refusing: str


@dataclass(frozen=True)
class Seen:
    """All that clients see. ``kept`` are old shapes that an online change still keeps in step."""

    relations: Mapping[str, str]
    columns: Mapping[tuple[str, str], Column]
    routines: Mapping[str, str]
    types: Mapping[str, tuple[frozenset[str], bool]]
    rules: list[Rule]
    rights: frozenset[tuple[str, str, str]]
    guards: frozenset[tuple[str, str]]
    filled: frozenset[str]
    kept: frozenset[str]
    extensions: frozenset[str]


NOTHING: Final = Seen({}, {}, {}, {}, [], frozenset(), frozenset(), frozenset(), frozenset(), frozenset())


def look(db: Connection) -> Seen:
    """Read it. Names are qualified, whatever the session's search_path is."""
    with db.transaction():
        db.execute("set local search_path to ''")
        return Seen(
            relations=dict(_rows(db, RELATIONS)),
            columns={(column.relation, column.name): column for column in _objects(db, COLUMNS, Column)},
            routines=dict(_rows(db, ROUTINES)),
            types={name: (frozenset(parts), is_domain) for name, parts, is_domain in _rows(db, TYPES)},
            rules=_objects(db, RULES, Rule),
            rights=frozenset(_rows(db, RIGHTS)),
            guards=frozenset(_rows(db, GUARDS)),
            filled=frozenset(name for (name,) in _rows(db, FILLED)),
            kept=frozenset(name for (name,) in _rows(db, KEPT)),
            extensions=frozenset(name for (name,) in _rows(db, EXTENSIONS)),
        )


def _rows(db: Connection, query: LiteralString) -> list[Any]:
    return db.execute(query, prepare=True).fetchall()


def _objects(db: Connection, query: LiteralString, kind: type[T]) -> list[T]:
    with db.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query, prepare=True).fetchall()
