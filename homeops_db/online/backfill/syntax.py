"""Read by PostgreSQL's own parser: expressions and conditions of a revision, and the names in a tree."""

from collections.abc import Iterator
from typing import Any, Final

from pglast import ast, parser

from homeops_db.errors import ObjectError

ITEMS: Final = (
    ast.RangeVar,
    ast.RangeSubselect,
    ast.RangeFunction,
    ast.RangeTableFunc,
    ast.JsonTable,
    ast.JoinExpr,
)
"""What stands in FROM."""


def nodes(node: Any, *, into_selects: bool = True) -> Iterator[Any]:
    """Go through a tree; without ``into_selects``, what belongs to the outermost select alone."""
    if isinstance(node, tuple | list):
        for item in node:
            yield from nodes(item, into_selects=into_selects)
    elif isinstance(node, ast.Node):
        yield node
        for slot in node:
            value = getattr(node, slot)
            if into_selects or not isinstance(value, ast.SelectStmt):
                yield from nodes(value, into_selects=into_selects)


def column_path(node: Any) -> list[str]:
    """Give the parts of a column's name as it is written, none for other nodes; an asterisk's is empty."""
    if not isinstance(node, ast.ColumnRef):
        return []
    return [str(part.sval) if isinstance(part, ast.String) else "" for part in node.fields or ()]


def called(node: Any) -> str | None:
    """Give the name by which an item of FROM is referred to."""
    alias = node.alias if isinstance(node, ITEMS) else None
    if alias is not None:
        return str(alias.aliasname)
    return str(node.relname) if isinstance(node, ast.RangeVar) else None


def leftmost(item: Any) -> Any:
    """Give the item that an item of FROM begins with."""
    while isinstance(item, ast.JoinExpr):
        item = item.larg
    return item


def expression(text: str, what: str) -> Any:
    """Read one expression, which so can't end before its place does.

    Args:
        text: SQL.
        what: What it is, for the message.

    Raises:
        ObjectError: It is something else, or more.
    """
    statement = _alone(f"SELECT 1, {text}", text, what)
    targets: Any = statement.targetList
    if _clauses(statement) or [target.name for target in targets] != [None, None]:
        raise _refused(what, "it isn't one expression")
    return targets[1].val


def condition(text: str, what: str) -> Any:
    """Read one condition, as what stands behind WHERE.

    Raises:
        ObjectError: It is something else, or more.
    """
    statement = _alone(f"SELECT 1 WHERE {text}", text, what)
    if _clauses(statement) != ["whereClause"]:
        raise _refused(what, "it isn't one condition")
    return statement.whereClause


def _alone(statement: str, text: str, what: str) -> ast.SelectStmt:
    try:
        tokens = [token.name for token in parser.scan(text)]
        parsed: Any = parser.parse_sql(statement)
    except parser.ParseError as error:
        raise _refused(what, " ".join(str(error.args[0]).split())) from None
    if "ASCII_59" in tokens:
        raise _refused(what, "it has a semicolon")
    if tokens[-1] == "SQL_COMMENT":
        raise _refused(what, "it ends in a comment, and so would what stands behind it")
    if any(isinstance(node, ast.ParamRef | ast.SetToDefault) for node in nodes(parsed)):
        raise _refused(what, "it has DEFAULT or a parameter, and needs values")
    (only,) = parsed
    return only.stmt  # type: ignore[no-any-return]


def _clauses(statement: ast.SelectStmt) -> list[str]:
    """Give the clauses that are written; what is a mere option of others has a value always."""
    options = {"targetList", "limitOption", "op", "all", "groupDistinct"}
    return [slot for slot in statement if slot not in options and getattr(statement, slot)]


def _refused(what: str, why: str) -> ObjectError:
    return ObjectError(f"{what}: {why}. Nothing was changed. Check the revision.")
