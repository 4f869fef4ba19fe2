"""Laws that a catalog can break: keys without an index, things left over, things that don't hold."""

import re
from typing import Final, LiteralString

from psycopg import Connection

_OURS: LiteralString = "n.nspname !~ '^(pg_|_?timescaledb)' and n.nspname <> 'information_schema'"
# An index serves a key whose columns, in any order, are its first ones.
FOREIGN_KEYS: LiteralString = f"""
select k.conrelid::regclass::text, k.conname, array(
           select quote_ident(a.attname) from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any(k.conkey)),
       array(
           select coalesce(pg_get_expr(i.indpred, i.indrelid), '')
           from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
           where i.indrelid = k.conrelid and i.indisvalid and i.indisready and m.amname = 'btree'
             and i.indnkeyatts >= cardinality(k.conkey)
             and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
             and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] <@ k.conkey)
from pg_constraint k join pg_namespace n on n.oid = k.connamespace
where k.contype = 'f' and k.conparentid = 0 and {_OURS}
order by 1, 2
"""
UNFINISHED: LiteralString = f"""
select 'index ' || i.indexrelid::regclass || ' is invalid'
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where not (i.indisvalid and i.indisready and i.indislive) and {_OURS}
"""
UNPROVEN: LiteralString = f"""
select 'constraint ' || k.conname || ' of ' || k.conrelid::regclass || ' is not valid'
from pg_constraint k join pg_namespace n on n.oid = k.connamespace where not k.convalidated and {_OURS}
"""
LEFT: LiteralString = """
select 'schema ' || nspname from pg_namespace where nspname ~ '^homeops_'
union all
select 'column ' || attrelid::regclass || '.' || attname from pg_attribute where attname ~ '^homeops_' and not attisdropped
union all
select 'trigger ' || tgname || ' of ' || tgrelid::regclass from pg_trigger where tgname ~ '^zz_homeops_'
union all
select 'relation ' || oid::regclass from pg_class where relname ~ '^homeops_' and relnamespace <> 'migrations'::regnamespace
union all
select 'constraint ' || conname from pg_constraint where conname ~ '^homeops_'
union all
select 'function ' || p.oid::regprocedure from pg_proc p
where p.pronamespace = 'migrations'::regnamespace and p.proname ~ '_[0-9]+$'
union all
select 'change ' || id || ' of ' || relation || ' is ' || state from migrations.changes
where state not in ('contracted', 'undone')
union all
select 'error of change ' || change_id from migrations.change_errors
"""
_FILLED: Final = re.compile(r'\(*("[^"]+"|\w+) IS NOT NULL\)*')


def unindexed(db: Connection) -> list[str]:
    """Name the foreign keys that no index serves."""
    return [
        f"{name} of {table}: no index begins with {', '.join(columns)}"
        for table, name, columns, predicates in db.execute(FOREIGN_KEYS).fetchall()
        if not any(_serves(predicate, columns) for predicate in predicates)
    ]


def _serves(predicate: str, columns: list[str]) -> bool:
    """An index for all rows, or for those whose key is filled: the others refer to nothing."""
    terms = (_FILLED.fullmatch(term) for term in predicate.split(" AND ") if predicate)
    return all(term is not None and term[1] in columns for term in terms)


def unfinished(db: Connection) -> list[str]:
    """Name the indexes that are there and don't count."""
    return _lines(db, UNFINISHED)


def unproven(db: Connection) -> list[str]:
    """Name the constraints that nobody has proven."""
    return _lines(db, UNPROVEN)


def left(db: Connection) -> list[str]:
    """Name what online changes have left behind."""
    return _lines(db, LEFT)


def _lines(db: Connection, query: LiteralString) -> list[str]:
    return sorted(line for (line,) in db.execute(query).fetchall())
