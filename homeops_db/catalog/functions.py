"""Functions that somebody wrote, as CREATE FUNCTION says them."""

from typing import Final

WRITTEN: Final = """
select pg_get_functiondef(p.oid)
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang
where n.nspname = :schema and p.prokind = 'f' and l.lanname <> 'internal'
  and not exists (
      select from pg_depend d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
"""
"""Those of a schema, but an extension's and the constructors of types; for SQLAlchemy's text()."""
