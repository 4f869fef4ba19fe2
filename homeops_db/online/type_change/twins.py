"""Twins in words: an index, a check, a key or statistics, said of the shadow instead of the column."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pglast import ast, parse_sql
from psycopg import Connection, sql

from homeops_db.catalog import columns, constraints, hanging, indexes, tables
from homeops_db.catalog.hanging import Hanging
from homeops_db.catalog.tables import Table
from homeops_db.online import index, subject
from homeops_db.online.type_change import expressions, literals
from homeops_db.online.type_change.sides import Side

_TRIED: Final = "homeops_tried"


def index_writer(connection: Connection, one: Hanging, side: Side, name: str) -> index.Render:
    """Give what writes the twin of an index, or of a constraint's index, for a table."""
    text = one.index_definition or one.definition
    assert text is not None
    adapted = expressions.printed(literals.adapt(connection, side, parse_sql(text)[0].stmt))
    table = tables.by_oid(connection, one.table_oid)
    assert table is not None
    tablespace = indexes.tablespace(connection, str(one.name), one.schema or table.schema)

    def write(table: str, schema: str | None, *, concurrently: bool) -> str:
        statement: Any = parse_sql(adapted)[0].stmt
        statement.idxname = name
        statement.concurrent = concurrently
        statement.relation.schemaname, statement.relation.relname = schema, table
        statement.relation.inh = True  # the server says ON ONLY of a partitioned table's
        statement.tableSpace = tablespace
        for element in (*statement.indexParams, *(statement.indexIncludingParams or ())):
            _rename(element, side)
        if statement.whereClause is not None:
            expressions.renamed(statement.whereClause, {side.column: side.shadow})
        return expressions.printed(statement)

    return write


def check(connection: Connection, side: Side, one: Hanging, table: str, name: str) -> str:
    """Write the statement that adds the twin of a check to a table, given as SQL."""
    add = f"ALTER TABLE {table} ADD CONSTRAINT {sql.Identifier(name).as_string()} {one.definition}"
    statement: Any = literals.adapt(connection, side, parse_sql(add)[0].stmt)
    expressions.renamed(statement.cmds[0].def_.raw_expr, {side.column: side.shadow})
    return expressions.printed(statement)


def key(one: Hanging, table: Table, name: str, side: Side) -> str:
    """Write the statement that adds the twin of a foreign key, NOT VALID."""
    here, named = (identifier.as_string() for identifier in _names(table, name))
    statement: Any = parse_sql(f"ALTER TABLE {here} ADD CONSTRAINT {named} {one.definition}")[0].stmt
    made = statement.cmds[0].def_
    if one.is_ours:
        made.fk_attrs = _renamed(made.fk_attrs, side)
        made.fk_del_set_cols = _renamed(made.fk_del_set_cols, side)
    if one.is_to_us:
        made.pk_attrs = _renamed(made.pk_attrs, side)
    made.skip_validation, made.initially_valid = True, False
    return expressions.printed(statement)


def statistics(connection: Connection, one: Hanging, side: Side, name: str, clone: str | None = None) -> str:
    """Write the statement that makes the twin of extended statistics, maybe for a clone of the table."""
    assert one.definition is not None
    statement: Any = literals.adapt(connection, side, parse_sql(one.definition)[0].stmt)
    statement.defnames = (*statement.defnames[:-1], ast.String(sval=name))
    if clone is not None:
        # Not where the session makes things: a role may have no right there.
        statement.defnames = (ast.String(sval="pg_temp"), ast.String(sval=name))
        statement.relations[0].schemaname, statement.relations[0].relname = None, clone
    for element in statement.exprs:
        _rename(element, side)
    return expressions.printed(statement)


def tries(
    connection: Connection, found: Sequence[Hanging], side: Side, clone: str
) -> Iterator[tuple[str, str]]:
    """Write each twin for an empty clone of the table that has the shadow; with what each one is.

    A key can't be tried on a clone: whether there can be one between the two types is.
    """
    for one in found:
        if one.kind in (hanging.INDEX, hanging.UNIQUE, hanging.PRIMARY_KEY):
            yield str(one), index_writer(connection, one, side, _TRIED)(clone, None, concurrently=False)
        elif one.kind == hanging.CHECK:
            yield str(one), check(connection, side, one, subject.quoted((clone, None)), _TRIED)
        elif one.kind == hanging.STATISTICS:
            yield str(one), statistics(connection, one, side, _TRIED, clone)
        else:
            yield from _comparisons(connection, side, one)


def _comparisons(connection: Connection, side: Side, one: Hanging) -> Iterator[tuple[str, str]]:
    found = constraints.by_oid(connection, one.oid)
    assert found is not None
    for own, other in zip(found.columns, found.referent_columns, strict=True):
        is_ours, is_to_us = one.is_ours and own == side.column, one.is_to_us and other == side.column
        if is_ours == is_to_us:  # another column, or both ends are ours
            continue
        if is_ours:
            column = columns.column(connection, found.referent_oid, other)
        else:
            column = columns.column(connection, found.table_oid, own)
        assert column is not None
        referring, referred = (side.type, column.type) if is_ours else (column.type, side.type)
        made = f"CREATE TEMPORARY TABLE homeops_referred (it {referred} PRIMARY KEY)"
        made += f"; CREATE TEMPORARY TABLE homeops_referring (it {referring} REFERENCES homeops_referred)"
        yield f"{one}: from {referring} to {referred}", made


def _rename(element: Any, side: Side) -> None:
    """Rename the column in an element of an index or of statistics: a name, or an expression."""
    element.name = side.shadow if element.name == side.column else element.name
    if element.expr is not None:
        expressions.renamed(element.expr, {side.column: side.shadow})


def _renamed(names: Sequence[Any] | None, side: Side) -> Any:
    if names is None:
        return None
    return tuple(ast.String(sval=side.shadow) if one.sval == side.column else one for one in names)


def _names(table: Table, name: str) -> tuple[sql.Identifier, sql.Identifier]:
    return sql.Identifier(table.schema, table.name), sql.Identifier(name)
