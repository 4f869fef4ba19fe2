"""The expressions of a type change: read by the server once, so that nobody's search path matters later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pglast import ast, parse_sql
from pglast.stream import RawStream
from psycopg import Connection, sql
from psycopg.errors import DataError, InvalidObjectDefinition, NotSupportedError, ProgrammingError

from homeops_db.catalog import columns, worded
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError, UnsafeError
from homeops_db.online import constraint, subject
from homeops_db.online.backfill import syntax
from homeops_db.online.work import Work

_VIEW: Final = "homeops_expression"


@dataclass(frozen=True)
class Written:
    """An expression as its author wrote it.

    Attributes:
        what: What it is called in errors: ``up`` or ``down``.
        text: SQL.
        column: The column that it reads.
        reads: The type that the column has for it; the table's own may be another.
        gives: The type that it is to give.
    """

    what: str
    text: str
    column: str
    reads: str
    gives: str


def canonical(work: Work, table: Table, written: Written) -> str:
    """Have the server read an expression, and give it back with full names.

    Raises:
        ObjectError: It can't be read, reads other columns that aren't there, or gives another type.
        UnsafeError: Its value may change by itself.

    Locks: ACCESS SHARE on the table for some milliseconds.
    """
    refuse_odd(syntax.expression(written.text, f"The expression {written.what}="), written.what)

    def ask(connection: Connection, clone: str) -> str:
        column, name = (sql.Identifier(one).as_string() for one in (written.column, table.name))
        alter = f"ALTER TABLE pg_temp.{clone}"
        _send(connection, f"{alter} ALTER COLUMN {column} TYPE {written.reads} USING NULL")
        if table.name != clone:
            _send(connection, f"{alter} RENAME TO {name}")
        return said(connection, f"pg_temp.{name}", written)

    try:
        return subject.on_clone(work, table, ask, like="")
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(table, error) from error


def said(connection: Connection, there: str, written: Written) -> str:
    """Have the server read an expression over a temporary table, in a transaction that is rolled back.

    Raises:
        ObjectError: It reads the whole row.
        UnsafeError: Its value may change by itself.
        psycopg.Error: The server can't read it, or it gives another type.
    """
    # As it is assigned: a function that another type's value can't be assigned from is no way.
    _send(connection, f"ALTER TABLE {there} ADD COLUMN {_VIEW} {written.gives}")
    _send(connection, f"EXPLAIN UPDATE {there} SET {_VIEW} = ({written.text})")  # noqa: S608 - the author's own
    _refuse_changing(connection, there, written)
    view = f"CREATE TEMPORARY VIEW {_VIEW} AS SELECT ({written.text}) AS value FROM {there}"  # noqa: S608
    _send(connection, view)
    _send(connection, "SELECT set_config('search_path', 'pg_catalog', true)")
    select: Any = parse_sql(worded.temporary_view(connection, _VIEW))[0].stmt
    # Until PostgreSQL 15 the server names the table, which the expression is no longer bound to.
    return printed(renamed(select.targetList[0].val, {}))


def refuse_odd(tree: Any, what: str) -> None:
    """Refuse what a trigger can't evaluate for one row by itself."""
    for node in syntax.nodes(tree):
        if isinstance(node, ast.SubLink):
            raise ObjectError(
                f"The expression {what}= has a subquery, whose answer may change with other tables. Nothing "
                "was changed. Write what it looks up as an expression, like CASE … END."
            )


def renamed(tree: Any, names: Mapping[str, str]) -> Any:
    """Rename columns in a tree that speaks of one table alone; qualifiers go."""

    def rename(node: ast.ColumnRef) -> None:
        path = syntax.column_path(node)
        node.fields = (ast.String(sval=names.get(path[-1], path[-1])),)

    return _changed(tree, rename)


def of_row(text: str, record: str) -> str:
    """Write an expression over the record of a trigger: NEW or OLD."""

    def qualify(node: ast.ColumnRef) -> None:
        path = syntax.column_path(node)
        node.fields = (ast.String(sval=record), ast.String(sval=path[-1]))

    return printed(_changed(expression(text), qualify))


def of_columns(text: str, names: Mapping[str, str]) -> str:
    """Write an expression with some columns under other names."""
    return printed(renamed(expression(text), names))


def with_value(text: str, column: str, value: str) -> str:
    """Write an expression with another one in the place of a column."""
    if reads(text) != [column]:
        return f"({value})"  # the assignment itself makes it fit
    return printed(_replaced(expression(text), column, expression(value)))


def expression(text: str) -> Any:
    """Read an expression that the server has written."""
    select: Any = parse_sql(f"SELECT {text}")[0].stmt
    return select.targetList[0].val


def printed(tree: Any) -> str:
    """Write a tree as SQL."""
    if isinstance(tree, ast.IndexStmt) and tree.nulls_not_distinct:
        return _printed_index(tree)
    return str(RawStream()(tree))


def _printed_index(tree: Any) -> str:
    """The printer says NULLS NOT DISTINCT behind WITH and WHERE, where the server doesn't read it."""
    later = {name: getattr(tree, name) for name in ("options", "tableSpace", "whereClause")}
    tree.nulls_not_distinct = False
    whole = str(RawStream()(tree))
    for name in later:
        setattr(tree, name, None)
    head = str(RawStream()(tree))
    for name, value in later.items():
        setattr(tree, name, value)
    tree.nulls_not_distinct = True
    return f"{head} NULLS NOT DISTINCT{whole.removeprefix(head)}"


def reads(text: str) -> list[str]:
    """Name the columns that an expression reads."""
    found = (syntax.column_path(node) for node in syntax.nodes(expression(text)))
    return list(dict.fromkeys(path[-1] for path in found if path))


def calls_others(text: str) -> bool:
    """Whether an expression calls functions, or has operators, that aren't the server's own."""
    names = (
        node.funcname if isinstance(node, ast.FuncCall) else node.name
        for node in syntax.nodes(expression(text))
        if isinstance(node, ast.FuncCall | ast.A_Expr)
    )
    return any(name and len(name) > 1 and name[0].sval != "pg_catalog" for name in names)


def _changed(tree: Any, change: Callable[[ast.ColumnRef], None]) -> Any:
    for node in syntax.nodes(tree):
        if isinstance(node, ast.ColumnRef):
            if syntax.column_path(node)[-1:] == [""]:
                raise ObjectError(
                    "An expression reads the whole row, which a type change gives another shape. Nothing was "
                    "changed. Name the columns that it needs."
                )
            change(node)
    return tree


def _replaced(node: Any, column: str, value: Any) -> Any:
    """Put a tree in the place of a column, wherever it stands."""
    if isinstance(node, ast.ColumnRef) and syntax.column_path(node)[-1:] == [column]:
        return value
    if isinstance(node, tuple):
        return tuple(_replaced(item, column, value) for item in node)
    if isinstance(node, ast.Node):
        for slot in node:
            found = getattr(node, slot)
            if isinstance(found, ast.Node | tuple):
                setattr(node, slot, _replaced(found, column, value))
    return node


def _refuse_changing(connection: Connection, there: str, written: Written) -> None:
    """Refuse what isn't immutable, but for enums: their names are said to be stable only."""
    try:
        with connection.transaction():
            value = f"(({written.text})::{written.gives})"
            _send(connection, f"CREATE INDEX {_VIEW}_index ON {there} (({value} IS NULL))")
    except InvalidObjectDefinition as error:
        if not (columns.is_enum(connection, written.gives) or columns.is_enum(connection, written.reads)):
            raise UnsafeError(
                f"The value of {written.what}={written.text!r} may change by itself (with the time zone, "
                "say), so nobody could prove that both columns are equal. Nothing was changed. Write it so "
                "that it is immutable, like column AT TIME ZONE 'UTC'."
            ) from error


def _send(connection: Connection, statement: str) -> None:
    connection.execute(statement.encode())
