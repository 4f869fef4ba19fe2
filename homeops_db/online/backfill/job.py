"""What is done to rows, as SQL: filled, deleted, or copied into another table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from homeops_db.catalog.tables import Table

Condition = sql.Composable


@dataclass(frozen=True)
class Job:
    """One statement, told where to work.

    Attributes:
        operation: The name of the ``online`` function.
        subject: The table that it is about, as the author names it.
        definition: What it does, for the fingerprint by which a later run finds it again.
        statement: Writes the statement for one table and a condition; it ends before RETURNING.
        alias: What the statement calls the table.
        columns: Those that are set.
        todo: The condition of the rows to do, told from those that are done; None when nothing tells them.
        is_proven: Whether a row that is done never matches ``todo``, by what its expressions are.
        source: The author's own condition, where nothing tells; rows outside of it are passed over.
        is_frozen: Whether nobody changes the table meanwhile, so that its pages tell what is done.
        fills: Another table that the rows go into.
    """

    operation: str
    subject: str
    definition: Mapping[str, Any]
    statement: Callable[[Table, Condition], sql.Composable]
    alias: str
    columns: tuple[str, ...] = ()
    todo: str | None = None
    is_proven: bool = False
    source: str | None = None
    is_frozen: bool = False
    fills: Table | None = None

    @property
    def condition(self) -> Condition:
        """The condition of the rows to do."""
        text = self.todo or self.source
        return sql.SQL("true") if text is None else sql.SQL(f"({text})")

    @property
    def still(self) -> Condition:
        """What tells of a row just done whether it would be done again; false where that is known."""
        if self.operation != "backfill" or (self.todo or self.source) is None:
            return sql.SQL("false")
        return sql.SQL("(") + self.condition + sql.SQL(") IS TRUE")


def relation(table: Table) -> sql.Composable:
    """Write a table's name."""
    return sql.Identifier(table.schema, table.name)


def update(alias: str, values: Mapping[str, str]) -> Callable[[Table, Condition], sql.Composable]:
    """Write the UPDATE that sets columns to expressions."""
    assignments = sql.SQL(", ").join(
        sql.Identifier(column) + sql.SQL(" = (") + sql.SQL(expression) + sql.SQL(")")
        for column, expression in values.items()
    )

    def write(table: Table, condition: Condition) -> sql.Composable:
        head = sql.SQL("UPDATE ONLY {} AS {} SET ").format(relation(table), sql.Identifier(alias))
        return head + assignments + sql.SQL(" WHERE ") + condition

    return write


def delete(alias: str) -> Callable[[Table, Condition], sql.Composable]:
    """Write the DELETE."""

    def write(table: Table, condition: Condition) -> sql.Composable:
        head = sql.SQL("DELETE FROM ONLY {} AS {} WHERE ").format(relation(table), sql.Identifier(alias))
        return head + condition

    return write
