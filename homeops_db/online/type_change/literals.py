"""Values of the old type that are written into conditions, given as the new type has them.

The server says ``amount > (3)::double precision`` of a condition on a double. Said again for a numeric that
would compare doubles, and no query's ``amount > 3`` would use the index; for an enumeration it would mean
nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

from pglast import ast
from psycopg import Connection, sql
from psycopg.errors import DataError, NotSupportedError, ProgrammingError

from homeops_db.online.backfill import syntax
from homeops_db.online.type_change import expressions
from homeops_db.online.type_change.sides import Side

RECORDS: Final = ("new", "old")


def adapt(connection: Connection, side: Side, tree: Any, *, qualifiers: Sequence[str] = ()) -> Any:
    """Change the values that the column is compared or calculated with, wherever they stand in a tree.

    Args:
        connection: Evaluates them.
        side: The side that is left; its column is meant.
        tree: Of a statement.
        qualifiers: What stands before the column's name; nothing or the table's name where none is given.
    """
    for node in syntax.nodes(tree):
        if isinstance(node, ast.A_Expr):
            if _is_column(node.lexpr, side, qualifiers):
                node.rexpr = _adapted(connection, side, node.rexpr)
            elif _is_column(node.rexpr, side, qualifiers):
                node.lexpr = _adapted(connection, side, node.lexpr)
    return tree


def converted(connection: Connection, side: Side, value: str) -> str | None:
    """Give a value of the old type as a literal of the new one; None for what has none there.

    A length or precision of the new type isn't applied: a limit between two values stays where it is.
    """
    made = expressions.with_value(_unlimited(side.fill), side.column, value)
    try:
        with connection.transaction():
            found = connection.execute(
                f"SELECT ({made})::text, pg_typeof({made})::text, pg_typeof({value})::text".encode()
            ).fetchone()
    except (DataError, ProgrammingError, NotSupportedError):
        return None
    if found is None or found[0] is None:
        return None
    text, type_, _ = found
    return f"{sql.Literal(text).as_string(connection)}::{type_}"


def of_default(connection: Connection, side: Side, default: str) -> str:
    """Give a default as the new type has it: a value at once, what is called anew for each row as it is."""
    called = (ast.FuncCall, ast.SQLValueFunction)
    if not any(isinstance(node, called) for node in syntax.nodes(expressions.expression(default))):
        made = converted(connection, side, default)
        if made is not None:
            return made
    return expressions.with_value(side.fill, side.column, default)


def _is_column(node: Any, side: Side, qualifiers: Sequence[str]) -> bool:
    *before, name = syntax.column_path(node) or [""]
    meant = [[one] for one in qualifiers] or [[], [side.table.name]]
    return name == side.column and before in meant


def _adapted(connection: Connection, side: Side, node: Any) -> Any:
    """Convert a value, or each one of an array or a list; anything else is left as it is."""
    if isinstance(node, tuple):
        return tuple(_adapted(connection, side, item) for item in node)
    if isinstance(node, ast.A_ArrayExpr):
        node.elements = _adapted(connection, side, node.elements)
        return node
    if not isinstance(node, ast.TypeCast) or any(map(_is_no_value, syntax.nodes(node))):
        return node
    literal = converted(connection, side, expressions.printed(node))
    return node if literal is None else expressions.expression(literal)


def _is_no_value(node: Any) -> bool:
    return isinstance(
        node, ast.ColumnRef | ast.FuncCall | ast.SubLink | ast.A_ArrayExpr | ast.SQLValueFunction
    )


def _unlimited(text: str) -> str:
    """Leave out the length of a plain cast of the column."""
    tree: Any = expressions.expression(text)
    if isinstance(tree, ast.TypeCast) and isinstance(tree.arg, ast.ColumnRef):
        cast: Any = tree.typeName
        cast.typmods = None
        return expressions.printed(tree)
    return text
