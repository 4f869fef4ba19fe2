"""Indexes in a ``--sql`` script, which can't know what kind of table it meets: psql asks."""

from psycopg import sql

from homeops_db.catalog import indexes
from homeops_db.online.index_definition import Asked, rest_of
from homeops_db.online.subject import Named, quoted
from homeops_db.online.work import Script


def write_create(out: Script, asked: Asked, table: Named) -> None:
    """Write the building: by partition, by chunk, or concurrently."""
    name, schema = table
    rest, unique = rest_of(asked, asked.name)
    create = f"CREATE {'UNIQUE ' if unique else ''}INDEX"
    _ask(out, indexes.SCRIPTED_OF_TABLE, table)
    out.write_psql(r"\if :homeops_partitioned")
    own = sql.Identifier(asked.name).as_string()
    out.write(f"{create} {own} ON ONLY {quoted(table)} {rest}")
    _write_each(out, asked, table, f"{create} %1$I ON ONLY %2$s", rest, which="NOT is_leaf")
    out.write("SET lock_timeout = 0", "SET statement_timeout = 0")
    _write_each(out, asked, table, f"{create} CONCURRENTLY %1$I ON %2$s", rest, which="is_leaf")
    out.write_alone()  # sets both back
    attach = "ALTER INDEX %3$s.%4$I ATTACH PARTITION %5$s.%1$I"
    _write_each(out, asked, table, attach, "", which="true")
    out.write_psql(r"\elif :homeops_hypertable")
    out.write_alone(asked.per_chunk(name, schema, concurrently=False))
    out.write_psql(r"\else")
    out.write_alone(asked(name, schema, concurrently=True))
    out.write_psql(r"\endif")


def write_drop(out: Script, index: Named, *, if_exists: bool) -> None:
    """Write the dropping: concurrently where that can be."""
    name = f"{'IF EXISTS ' if if_exists else ''}{quoted(index)}"
    _ask(out, indexes.SCRIPTED_OF_INDEX, index)
    out.write_psql(r"\if :homeops_short")
    out.write(f"DROP INDEX {name}")
    out.write_psql(r"\else")
    out.write_alone(f"DROP INDEX CONCURRENTLY {name}")
    out.write_psql(r"\endif")


def write_reindex(out: Script, named: Named, *, is_table: bool) -> None:
    """Write the building anew: chunk by chunk for a hypertable."""
    asking = indexes.SCRIPTED_OF_TABLE if is_table else indexes.SCRIPTED_OF_INDEX
    each = indexes.SCRIPTED_CHUNKS if is_table else indexes.SCRIPTED_CHUNK_INDEXES
    _ask(out, asking, named)
    out.write("SET lock_timeout = 0", "SET statement_timeout = 0")
    out.write_psql(r"\if :homeops_hypertable")
    out.write_psql(each.strip().format(name=sql.quote(quoted(named))) + r" \gexec")
    out.write_psql(r"\else")
    out.write(f"REINDEX {'TABLE' if is_table else 'INDEX'} CONCURRENTLY {quoted(named)}")
    out.write_psql(r"\endif")
    out.write_alone()


def _ask(out: Script, template: str, named: Named) -> None:
    out.write_psql(indexes.SCRIPTED_HYPERTABLES.strip() + r" \gset")
    out.write_psql(template.strip().format(name=sql.quote(quoted(named))) + r" \gset")


def _write_each(out: Script, asked: Asked, table: Named, change: str, rest: str, *, which: str) -> None:
    """Write a query that makes a statement for each partition, the lowest first, and have it sent."""
    names = "name, part, parent_schema, parent_name, schema"
    query = indexes.SCRIPTED_PARTITIONS.strip().format(
        change=f"format({sql.quote(change)}, {names})" + (f" || {sql.quote(' ' + rest)}" if rest else ""),
        index=sql.quote(asked.name),
        table=sql.quote(quoted(table)),
        which=which,
    )
    out.write_psql(f"{query} \\gexec")
