"""Which functions alembic-utils compares: those that somebody wrote.

A range type brings constructors along. They have no text that could be parsed, and alembic-utils would
stop at the first one.
"""

from typing import Final

from alembic_utils.pg_function import PGFunction
from sqlalchemy import text
from sqlalchemy.orm import Session

_WRITTEN: Final = """
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


def _from_database(cls: type[PGFunction], sess: Session, schema: str) -> list[PGFunction]:
    return [cls.from_sql(body) for body in sess.scalars(text(_WRITTEN), {"schema": schema})]


def leave_constructors_out() -> None:
    """Let alembic-utils pass over the functions that belong to a type."""
    PGFunction.from_database = classmethod(_from_database)  # type: ignore[method-assign,assignment]
