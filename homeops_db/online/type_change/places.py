"""Lists of names after a table, as in ``FROM t AS x (a, b)``: they go by the columns' places, not by names.

Said again after the switch, such a list would mean the old column. So the two places are exchanged in it.
"""

from functools import cache
from typing import Any

from pglast import ast, parse_sql
from pglast.parser import ParseError
from psycopg import Connection

from homeops_db.catalog import columns, tables
from homeops_db.errors import ObjectError
from homeops_db.online.backfill import syntax
from homeops_db.online.type_change import expressions
from homeops_db.online.type_change.sides import Side


def exchanged(connection: Connection, side: Side, statement: str) -> str:
    """Exchange the places in the lists of a statement; one without such lists stays word by word.

    Raises:
        ObjectError: A list goes over the columns of a join.
    """
    try:
        tree = parse_sql(statement)
    except ParseError:  # in words of a newer server
        return statement
    return expressions.printed(tree[0].stmt) if exchange(connection, side, tree[0].stmt) else statement


def exchange(connection: Connection, side: Side, tree: Any) -> bool:
    """Exchange the places in the lists of a tree, and say whether there were any.

    Raises:
        ObjectError: A list goes over the columns of a join.
    """

    @cache
    def parts() -> list[tables.Table]:
        return tables.tree(connection, side.table.oid)

    queries = {node.ctename for node in syntax.nodes(tree) if isinstance(node, ast.CommonTableExpr)}
    found = False
    for node in syntax.nodes(tree):
        if not _is_listed(node):
            continue
        if isinstance(node, ast.JoinExpr) and any(
            _is_of(one, queries, parts()) for one in syntax.nodes(node)
        ):
            raise ObjectError(
                f"A list of names after a join of {side.table} goes by the places of its columns, which a "
                f"type change moves: {expressions.printed(node)}. Nothing was changed. Write it without "
                "the list."
            )
        part = _is_of(node, queries, parts())
        if part is not None:
            found |= _in_list(node.alias, _names(connection, side, part), side)
    return found


def _is_listed(node: Any) -> bool:
    return (
        isinstance(node, ast.RangeVar | ast.JoinExpr) and node.alias is not None and bool(node.alias.colnames)
    )


def _is_of(node: Any, queries: set[Any], parts: list[tables.Table]) -> tables.Table | None:
    """Give the table or partition of ours that an item of FROM is."""
    if not isinstance(node, ast.RangeVar) or (node.schemaname is None and node.relname in queries):
        return None
    named = (part for part in parts if part.name == node.relname)
    return next((part for part in named if node.schemaname in (None, part.schema)), None)


def _names(connection: Connection, side: Side, part: tables.Table) -> list[str]:
    names = columns.names(connection, part.oid)
    return names if side.shadow in names else [*names, side.shadow]


def _in_list(alias: Any, names: list[str], side: Side) -> bool:
    listed = [str(name.sval) for name in alias.colnames]
    one, other = names.index(side.column), names.index(side.shadow)
    if min(one, other) >= len(listed):
        return False
    listed += names[len(listed) : max(one, other) + 1]
    listed[one], listed[other] = listed[other], listed[one]
    alias.colnames = tuple(ast.String(sval=name) for name in listed)
    return True
