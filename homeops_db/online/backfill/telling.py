"""What tells the rows that are done from those that are to do.

Where the expressions give the same value every time, and don't read what they set, a row is done when its
columns are what the expressions give. The server itself is asked about both, on an empty clone of the table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pglast import ast
from pglast.enums import BoolExprType, NullTestType
from psycopg import Connection, sql
from psycopg.errors import (
    DataError,
    InvalidObjectDefinition,
    NotSupportedError,
    ProgrammingError,
)

from homeops_db.catalog import assignments, columns, heap, tables
from homeops_db.catalog.assignments import Assignment
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import constraint, subject
from homeops_db.online.backfill import shortcut, syntax
from homeops_db.online.subject import Named
from homeops_db.online.work import Work

_INDEX: Final = "homeops_reads"


@dataclass(frozen=True)
class Telling:
    """What tells.

    Attributes:
        todo: The condition of the rows to do, in SQL; columns are unqualified or qualified by the table's
            own name. None where nothing tells.
        why: The same in words.
        is_proven: Whether a row that is done never meets it, as far as expressions can prove that.
        quick: A cheaper condition that nearly always agrees with ``todo``, if there is one.
    """

    todo: str | None
    why: str
    is_proven: bool
    quick: str | None = None


def tell(work: Work, table: Table, values: Mapping[str, str], where: str | None) -> Telling:
    """Find out what tells, and have the server check the whole statement.

    Values are compared byte by byte (``*<>``), not by their type's idea of equality: that would take
    '1 day' and '24 hours', 'a' and 'A' in citext, boxes of one size to be the same, and there is none for
    json. NULL is as good as any other value, so an expression that gives NULL is done too.

    Args:
        work: The operation.
        table: The table.
        values: SQL expressions by the columns that they are assigned to.
        where: The condition of the rows that are meant.

    Raises:
        ObjectError: A column is missing, or the server can't read an expression or the condition.

    Locks: ACCESS SHARE on the table for some milliseconds.
    """
    empty = empty_columns((table.name, table.schema), values, where)
    made = {name: _assignment(work, table, name) for name in values}

    def ask(connection: Connection, clone: str) -> list[str]:
        if clone != table.name:  # expressions may name it
            rename = sql.SQL("ALTER TABLE pg_temp.{} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(clone), sql.Identifier(table.name)))
        connection.execute(f"EXPLAIN {_update(table, values, where)}".encode())
        found = (
            _obstacle(connection, table, name, _assigned(made[name], text), values)
            for name, text in values.items()
        )
        return [obstacle for obstacle in found if obstacle is not None]

    try:
        obstacles = subject.on_clone(work, table, ask, like="INCLUDING GENERATED INCLUDING IDENTITY")
    except (ProgrammingError, NotSupportedError, DataError) as error:
        raise constraint.refused(table, error) from error
    obstacles += [
        f"parts of a {assignment.cast}, {name}, may be cut"
        for name, assignment in made.items()
        if assignment.is_made_of_parts
    ]
    if not obstacles:
        assigned = {name: _assigned(made[name], text) for name, text in values.items()}
        if where is not None and len(empty) == len(values):
            quick = shortcut.condition(table.name, values, where)
            return replace(_by_value(work, table, assigned, where, were_empty=True), quick=quick)
        return _by_value(work, table, assigned, where, were_empty=False)
    if empty and not (_counts(work, table, values) and _has_keys(work, table)):
        return Telling(f"({where})", f"{empty[0]} IS NULL tells which rows are left ({obstacles[0]})", False)
    return Telling(None, f"nothing tells which rows are left: {obstacles[0]}", False)


def _counts(work: Work, table: Table, values: Mapping[str, str]) -> bool:
    """Whether an expression reads what is set: then a row that stays NULL mustn't be done again.

    What is generated may be generated from that.
    """
    own = {"", *values, *columns.generated(work.connection, table.oid)}
    read = [
        syntax.column_path(node)
        for name, text in values.items()
        for node in syntax.nodes(syntax.expression(text, f"The expression of {name}"))
    ]
    return any(path[-1] in own for path in read if path)


def _has_keys(work: Work, table: Table) -> bool:
    found = tables.tree(work.connection, table.oid)
    return all(heap.keys(work.connection, one.oid) for one in found if not one.is_partitioned)


def empty_columns(table: Named, values: Mapping[str, str], where: str | None) -> list[str]:
    """Find the columns that are set, and that the condition wants to be NULL in any case.

    Nothing is sent; the texts are read by PostgreSQL's own parser.

    Raises:
        ObjectError: A text isn't one expression, or not one condition.
    """
    if not values:
        raise ObjectError("No column is to be filled. Nothing was changed. Check the revision.")
    for name, text in values.items():
        syntax.expression(text, f"The expression of {name}")
    if where is None:
        return []
    found = set(_empty(syntax.condition(where, "The condition where="), table[0]))
    return [name for name in values if name in found]


def _assignment(work: Work, table: Table, name: str) -> Assignment:
    found = assignments.assignment(work.connection, table.oid, name)
    if found is None:
        raise ObjectError(f"Table {table} has no column {name}. Nothing was changed. Check the revision.")
    return found


def _update(table: Table, values: Mapping[str, str], where: str | None) -> str:
    assignments = ", ".join(f"{sql.Identifier(name).as_string()} = ({text})" for name, text in values.items())
    name = sql.Identifier("pg_temp", table.name).as_string()
    return f"UPDATE {name} SET {assignments}" + (f" WHERE ({where})" if where else "")  # noqa: S608


def _assigned(assignment: Assignment, text: str) -> str:
    """Write what is stored when the expression is assigned.

    A cast is that, but for types with a length: it cuts what an assignment refuses, so a row that can't be
    done would seem to be done.
    """
    if assignment.length_function is None:
        return f"({text})::{assignment.cast}"
    value = f"({text})::{assignment.base}"
    return f"{assignment.length_function}({value}, {assignment.modifier}, false)::{assignment.type}"


def _obstacle(
    connection: Connection, table: Table, name: str, assigned: str, values: Mapping[str, str]
) -> str | None:
    """Say why a column's value wouldn't tell: it may change by itself, or with what is set."""
    create = f"CREATE INDEX {_INDEX} ON {sql.Identifier('pg_temp', table.name).as_string()} "
    try:
        with connection.transaction():
            connection.execute(f"{create} ((({assigned}) IS NULL))".encode())
    except InvalidObjectDefinition:
        return f"the expression of {name} isn't immutable"
    except (ProgrammingError, NotSupportedError) as error:
        return f"the expression of {name} may change by itself: {error.diag.message_primary}"
    read = assignments.read_by_index(connection, f"pg_temp.{_INDEX}")
    connection.execute(f"DROP INDEX pg_temp.{_INDEX}".encode())
    own = [column for column in read if column in values]
    if not own:
        return None
    return f"the expression of {name} reads {'it' if own == [name] else ', '.join(own)}, which is set"


def _by_value(
    work: Work, table: Table, assigned: Mapping[str, str], where: str | None, *, were_empty: bool
) -> Telling:
    todo = _not_null(assigned) if were_empty else _another(table, assigned)
    if where is not None:
        # The server is free to turn conditions around, and an expression may fail for rows not meant.
        todo = f"CASE WHEN ({where}) THEN {todo} ELSE false END"
    names = ", ".join(assigned)
    oids = [part.oid for part in tables.tree(work.connection, table.oid)]
    triggers = assignments.triggers_before_update(work.connection, oids, list(assigned))
    also = f"; trigger {', '.join(triggers)} may change it again" if triggers else ""
    compared = f"{names} compared with what is assigned tells which rows are left{also}"
    return Telling(f"({todo})", compared, not triggers)


def _another(table: Table, assigned: Mapping[str, str]) -> str:
    """Write the condition that the columns aren't what is assigned."""
    stored = ", ".join(sql.Identifier(table.name, name).as_string() for name in assigned)
    meant = ", ".join(assigned.values())
    return f"ROW({stored})::record OPERATOR(pg_catalog.*<>) ROW({meant})::record"


def _not_null(assigned: Mapping[str, str]) -> str:
    """Write the same for columns that are all NULL: half as dear (measured), for every row and stripe."""
    return " OR ".join(f"({text}) IS DISTINCT FROM NULL" for text in assigned.values())


def _empty(condition: Any, table_name: str) -> Iterator[str]:
    if isinstance(condition, ast.BoolExpr) and condition.boolop == BoolExprType.AND_EXPR:
        parts: Any = condition.args
        for part in parts:
            yield from _empty(part, table_name)
    if isinstance(condition, ast.NullTest) and condition.nulltesttype == NullTestType.IS_NULL:
        *owner, column = syntax.column_path(condition.arg) or [""]
        if owner in ([], [table_name]):
            yield column
