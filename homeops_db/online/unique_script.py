"""A UNIQUE constraint in a ``--sql`` script, which can't know whether its table is partitioned: psql asks."""

from typing import Final

from psycopg import sql

from homeops_db.catalog import constraints
from homeops_db.online.subject import Named, quoted
from homeops_db.online.unique_by_partition import name_suffix
from homeops_db.online.unique_definition import Asked
from homeops_db.online.work import Script

_PART: Final = "homeops_part"
_INDEX: Final = "homeops_index"


def write(out: Script, asked: Asked, table: Named) -> None:
    """Write it: partition by partition for a partitioned table, else by one index."""
    name, schema = table
    is_partitioned = constraints.SCRIPTED_PARTITIONED.strip().format(table=_quoted(table))
    out.write_psql(f"{is_partitioned} \\gset", "\\if :homeops_partitioned")
    _write_by_partition(out, asked, table)
    out.write_psql("\\else")
    out.write_alone(asked.index(asked.name)(name, schema, concurrently=True))
    out.write(asked.adoption(table, asked.name))
    out.write_psql("\\endif")


def _write_by_partition(out: Script, asked: Asked, table: Named) -> None:
    only = asked.only((_PART, None), _INDEX).removeprefix(f"ALTER TABLE ONLY {_PART} ADD CONSTRAINT {_INDEX}")
    build = asked.index(_INDEX)(_PART, None, concurrently=True).removeprefix(
        f"CREATE UNIQUE INDEX CONCURRENTLY {_INDEX} ON {_PART}"
    )
    out.write(asked.only(table))
    add = "ALTER TABLE ONLY %2$s ADD CONSTRAINT %1$I"
    _write_each(out, asked, table, change=add, rest=only, which="NOT is_leaf")
    out.write("SET lock_timeout = 0", "SET statement_timeout = 0")
    create = "CREATE UNIQUE INDEX CONCURRENTLY %1$I ON %2$s"
    _write_each(out, asked, table, change=create, rest=build, which="is_leaf")
    out.write_alone()  # sets both back
    adopt = "ALTER TABLE %2$s ADD CONSTRAINT %1$I UNIQUE USING INDEX %1$I"
    _write_each(out, asked, table, change=adopt, rest=asked.deferral, which="is_leaf")
    attach = "ALTER INDEX %3$s.%4$I ATTACH PARTITION %5$s.%1$I"
    _write_each(out, asked, table, change=attach, rest="", which="true")


def _write_each(out: Script, asked: Asked, table: Named, *, change: str, rest: str, which: str) -> None:
    """Write a query that makes a statement for each partition, parents first, and have it sent."""
    names = "name, part, parent_schema, parent_name, schema"
    query = constraints.SCRIPTED_PARTITIONS.strip().format(
        change=f"format({sql.quote(change)}, {names}) || {sql.quote(rest)}",
        suffix=sql.quote(name_suffix(asked.columns)),
        constraint=sql.quote(asked.name),
        table=_quoted(table),
        which=f"level > 0 AND {which} ORDER BY level, part::text",
    )
    out.write_psql(f"{query} \\gexec")


def _quoted(table: Named) -> str:
    return sql.quote(quoted(table))
