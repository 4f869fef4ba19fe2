"""Conditions of CHECK constraints, compared as far as their form tells: by PostgreSQL's own parser."""

from collections.abc import Iterable
from typing import Any

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType, NullTestType
from pglast.stream import RawStream
from pglast.visitors import Visitor


def says_not_null(definition: str, column: str) -> bool:
    """Tell whether a CHECK holds a column to be filled: one of its parts is ``column IS NOT NULL``."""
    return any(_not_null(part) == column for part in _parts(_condition(definition)))


def is_implied(definition: str, others: Iterable[str], held: Iterable[str] = ()) -> bool:
    """Tell whether every row that other CHECKs let in passes this one too.

    Args:
        definition: ``CHECK (…)``, as the server writes it.
        others: CHECKs that hold.
        held: Columns that are NOT NULL.
    """
    known = [part for other in others for part in _parts(_condition(other))]
    return all(_follows(part, known, set(held)) for part in _parts(_condition(definition)))


def _condition(definition: str) -> ast.Node:
    text = definition.removesuffix(" NO INHERIT").removeprefix("CHECK ")
    return parse_sql(f"select {text}")[0].stmt.targetList[0].val


def _parts(node: ast.Node) -> list[ast.Node]:
    if isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR:
        return [part for arg in node.args for part in _parts(arg)]
    return [node]


def _follows(part: ast.Node, known: list[ast.Node], held: set[str]) -> bool:
    if _not_null(part) in held:
        return True
    if isinstance(part, ast.BoolExpr) and part.boolop == BoolExprType.OR_EXPR:
        return any(_follows(arg, known, held) for arg in part.args) or _said(part) in map(_said, known)
    return any(_said(part) == _said(other) or _is_longer(part, other) for other in known)


def _said(node: ast.Node) -> str:
    return str(RawStream()(node))


def _not_null(node: ast.Node) -> str | None:
    if isinstance(node, ast.NullTest) and node.nulltesttype == NullTestType.IS_NOT_NULL:
        return _said(node.arg).strip('"')
    return None


def _is_longer(new: ast.Node, old: ast.Node) -> bool:
    listed, was = _list(new), _list(old)
    return listed is not None and was is not None and listed[0] == was[0] and listed[1] >= was[1]


def _list(node: ast.Node) -> tuple[str, frozenset[str]] | None:
    """Read ``c = ANY (ARRAY['a', 'b'])``, or ``c = 'a'``, as the column and its values."""
    if not isinstance(node, ast.A_Expr) or [name.sval for name in node.name] != ["="]:
        return None
    if node.kind not in {A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_OP}:
        return None
    values = _Values()
    values(node.rexpr)
    return None if values.others else (_said(node.lexpr), frozenset(values.found))


class _Values(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.others = False

    def visit_A_Const(self, _ancestors: Any, node: ast.A_Const) -> None:  # noqa: N802
        self.found.append(_said(node))

    def visit_ColumnRef(self, _ancestors: Any, _node: ast.ColumnRef) -> None:  # noqa: N802
        self.others = True
