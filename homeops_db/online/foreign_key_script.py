"""A foreign key in a ``--sql`` script, which doesn't know whether its table is partitioned: psql asks."""

from typing import Final

from psycopg import sql

from homeops_db.catalog import constraints
from homeops_db.online import validation
from homeops_db.online.foreign_key_definition import Asked
from homeops_db.online.subject import Named, quoted
from homeops_db.online.work import Script

_LEAF: Final = "homeops_leaf"


def write(out: Script, asked: Asked, source: Named, referent: Named, *, not_valid: bool) -> None:
    """Write it: leaf by leaf for a partitioned table before PostgreSQL 18, else NOT VALID and validated."""
    if not not_valid:
        by_leaf = constraints.SCRIPTED_BY_LEAF.strip().format(table=_quoted(source))
        out.write_psql(by_leaf + " \\gset", "\\if :homeops_by_leaf")
        _write_by_leaf(out, asked, source, referent)
        out.write_psql("\\else")
    out.write(asked.sql(source, referent, not_valid=True))
    if not not_valid:
        out.write_alone(validation.statement(*source, asked.name))
        out.write_psql("\\endif")


def _write_by_leaf(out: Script, asked: Asked, source: Named, referent: Named) -> None:
    add = asked.sql((_LEAF, None), referent, not_valid=True).removeprefix(f"ALTER TABLE {_LEAF}")
    validate = validation.statement(_LEAF, None, asked.name).removeprefix(f'ALTER TABLE "{_LEAF}"')
    out.write_psql(_for_each_leaf(source, add))
    out.write("SET statement_timeout = 0")
    out.write_psql(_for_each_leaf(source, validate))
    out.write(f"SET statement_timeout = '{out.statement_timeout}'")
    out.write_together(
        *(
            f"LOCK TABLE {quoted(table)} IN {mode} MODE"
            for table, mode in sorted(
                {source: "SHARE ROW EXCLUSIVE", referent: "ACCESS EXCLUSIVE"}.items(),
                key=lambda lock: (lock[0][1] or "", lock[0][0]),
            )
        ),
        asked.sql(source, referent, not_valid=False),
    )


def _for_each_leaf(source: Named, change: str) -> str:
    query = constraints.SCRIPTED_LEAVES.strip()
    return query.format(table=_quoted(source), change=sql.quote(change)) + " \\gexec"


def _quoted(table: Named) -> str:
    return sql.quote(quoted(table))
