"""Which selects give the same in batches as at once; what others have is refused by its name."""

import re
from typing import Any, Final

from pglast import ast
from pglast.enums import JoinType, SetOperation

from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.online.backfill import syntax

_SYSTEM: Final = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_AGGREGATES: Final = re.compile(
    r"any_value|array_agg|avg|bit_(and|or|xor)|bool_(and|or)|corr|count|covar_(pop|samp)|every|grouping"
    r"|jsonb?_(object_)?agg\w*|max|min|range_(intersect_)?agg|regr_\w+|string_agg|stddev\w*|sum"
    r"|var_(pop|samp)|variance|xmlagg"
)
_AGGREGATE_OPTIONS: Final = ("agg_star", "agg_distinct", "agg_within_group", "agg_order", "agg_filter")
_AT_ONCE: Final = "Send it as one statement by op.execute()"
_CLAUSES: Final[dict[str, tuple[str, str, str]]] = {
    "intoClause": ("INTO", "the rows go into the table of the insert", "Take it out"),
    "distinctClause": ("DISTINCT", "each batch would look at its own rows only", _AT_ONCE),
    "groupClause": ("GROUP BY", "each batch would group its own rows only", _AT_ONCE),
    "havingClause": ("HAVING", "each batch would group its own rows only", _AT_ONCE),
    "limitCount": ("LIMIT", "each batch would give that many rows", "Say by WHERE which rows are meant"),
    "limitOffset": ("OFFSET", "each batch would skip that many rows", "Say by WHERE which rows are meant"),
    "sortClause": ("ORDER BY", "rows come in the order of their batches", "Take it out"),
    "lockingClause": ("FOR UPDATE or FOR SHARE", "its locks would end with each batch", "Take it out"),
}


def refuse(statement: ast.SelectStmt) -> None:
    """Refuse a select by its clauses and its outputs.

    Raises:
        ObjectError: It is VALUES, or has a parameter.
        UnsafeError: In batches it would give other rows than at once.
    """
    if statement.valuesLists:
        raise ObjectError(
            "The select is VALUES. Nothing was changed. For rows that stand in the revision, use "
            "op.bulk_insert()."
        )
    if statement.op != SetOperation.SETOP_NONE:
        raise unsafe(
            "UNION, INTERSECT or EXCEPT",
            "batches go through one table",
            f"Write a batched insert for each part of UNION ALL. For the others: {_AT_ONCE}",
        )
    for clause, refusal in _CLAUSES.items():
        if getattr(statement, clause):
            raise unsafe(*refusal)
    for node in syntax.nodes(statement):
        _refuse_anywhere(node)
    for node in syntax.nodes(statement.targetList, into_selects=False):
        _refuse_in_output(node)


def driving(statement: ast.SelectStmt) -> ast.RangeVar:
    """Find the first table of FROM: the one that is gone through.

    Raises:
        ObjectError: There is none.
        UnsafeError: A join makes rows where it has none, or hides it.
    """
    item: Any = statement.fromClause[0] if statement.fromClause else None
    while isinstance(item, ast.JoinExpr):
        _refuse_join(item)
        item = item.larg
    with_clause: Any = statement.withClause
    is_with = (
        isinstance(item, ast.RangeVar)
        and not item.schemaname
        and item.relname in {query.ctename for query in (with_clause.ctes if with_clause else ())}
    )
    if is_with or not isinstance(item, ast.RangeVar):
        what = (
            "missing"
            if item is None
            else "a WITH query"
            if is_with
            else "a sub-select, a function or a sample"
        )
        raise ObjectError(
            f"The first table of the select's FROM is {what}, and batches go through a real one. Nothing was "
            "changed. Begin FROM with the table whose rows are wanted, and join the rest to it."
        )
    return item


def refuse_references(statement: ast.SelectStmt, driving: ast.RangeVar) -> None:
    """Refuse what a sub-select in place of the table would hide, or lead to another table.

    Raises:
        UnsafeError: A system column, or a name that two tables have.
    """
    name = syntax.called(driving)
    paths = [path for path in map(syntax.column_path, syntax.nodes(statement)) if path]
    for *tables, column in paths:
        if column in _SYSTEM and (not tables or tables[-1] == name):
            raise unsafe(
                f"the system column {column}",
                "the first table is read through a sub-select, which has none",
                "Leave it out, or say of which other table it is",
            )
    beside, anywhere = (
        any(
            syntax.called(node) == name
            for node in syntax.nodes(where, into_selects=deep)
            if node is not driving
        )
        for where, deep in ((statement.fromClause, False), (statement, True))
    )
    has_schema = driving.alias is None and any(tables[1:] and tables[-1] == name for *tables, _ in paths)
    if beside or (anywhere and has_schema):
        raise unsafe(
            f"two tables that are called {name}", "only one of them is meant", "Write AS behind both"
        )


def unsafe(what: str, why: str, instead: str) -> UnsafeError:
    """Make the error of a select that can't be had in batches."""
    return UnsafeError(f"The select has {what}, and {why}. Nothing was changed. {instead}.")


def aggregates() -> UnsafeError:
    """Make the error of a select that aggregates."""
    return unsafe("an aggregate", "each batch would take its own rows only", _AT_ONCE)


def _refuse_anywhere(node: Any) -> None:
    if isinstance(node, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt):
        raise unsafe(
            "a WITH query that writes", "each batch would write again", "Write it before, on its own"
        )
    if isinstance(node, ast.ParamRef):
        raise ObjectError(
            f"The select has ${node.number}, which has no value. Nothing was changed. Write the value."
        )


def _refuse_in_output(node: Any) -> None:
    if isinstance(node, ast.JsonObjectAgg | ast.JsonArrayAgg):
        raise aggregates()
    if not isinstance(node, ast.FuncCall):
        return
    if node.over is not None:
        raise unsafe("a window function", "each batch would see its own rows only", _AT_ONCE)
    path: Any = node.funcname
    *schema, name = (part.sval for part in path)
    is_known = schema in ([], ["pg_catalog"]) and _AGGREGATES.fullmatch(name)
    if is_known or any(getattr(node, option) for option in _AGGREGATE_OPTIONS):
        raise aggregates()


def _refuse_join(join: ast.JoinExpr) -> None:
    if join.jointype in (JoinType.JOIN_RIGHT, JoinType.JOIN_FULL):
        raise unsafe(
            "RIGHT JOIN or FULL JOIN behind its first table",
            "each batch would give the rows again that match none of its own",
            "Begin FROM with the table whose rows are all wanted, and join the others by LEFT JOIN",
        )
    alias: Any = join.alias
    if alias is not None:
        raise unsafe(
            f"a join that is called {alias.aliasname}",
            "that hides the table that batches go through",
            "Give the tables in it names instead",
        )
