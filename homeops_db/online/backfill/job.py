"""What is done to rows, as SQL: filled, deleted, or copied into another table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from homeops_db.catalog.tables import Table
from homeops_db.history import backfills
from homeops_db.history.backfills import Backfill

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
        quick: A cheaper condition for the main pass, which the proof at the end makes good.
        source: The author's own condition, where nothing tells; rows outside of it are passed over.
        is_frozen: Whether nobody changes the table meanwhile, so that its pages tell what is done.
        fills: Another table that the rows go into.
        of: Its tables and columns, by their numbers in the catalog. What was done to others by the same
            names counts for nothing.
        kept: What a later run must know, and what doesn't tell it from another backfill.
        goes_on: Is asked whether a run that was broken off can be gone on with, or else begun anew.
        proof: Is called at the end, and raises where it isn't well.
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
    quick: str | None = None
    is_frozen: bool = False
    fills: Table | None = None
    of: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    goes_on: Callable[[Backfill], bool] = lambda _: True
    proof: Callable[[], None] = lambda: None

    @property
    def condition(self) -> Condition:
        """The condition of the rows to do."""
        text = self.todo or self.source
        return sql.SQL("true") if text is None else sql.SQL(f"({text})")

    @property
    def first_condition(self) -> Condition:
        """The condition of the rows of the main pass."""
        return self.condition if self.quick is None else sql.SQL(self.quick)

    @property
    def tells_still(self) -> bool:
        """Whether a row that was just done may tell that it would be done again."""
        return self.operation == "backfill" and (self.todo or self.source) is not None

    @property
    def still(self) -> Condition:
        """What tells of a row just done whether it would be done again."""
        return sql.SQL("(") + self.condition + sql.SQL(") IS TRUE")


def is_void(job: Job, known: Backfill) -> bool:
    """Whether what an earlier run did counts for nothing: its tables or columns were made anew since."""
    of = known.definition.get("of")  # a script's has none
    if of is not None and of != job.of:
        return True
    return known.state != backfills.DONE and not job.goes_on(known)


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
