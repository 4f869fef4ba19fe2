"""The state of type changes and restructures in schema ``migrations``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from homeops_db.catalog import relations
from homeops_db.history import tables
from homeops_db.naming import LEDGER_SCHEMA

DDL: Final = Path(__file__).with_name("changes.sql").read_text(encoding="utf-8")
TYPE_CHANGE: Final = "type_change"
RESTRUCTURE: Final = "restructure"
EXPANDING: Final = "expanding"
EXPANDED: Final = "expanded"
SWITCHED: Final = "switched"
CONTRACTED: Final = "contracted"
UNDONE: Final = "undone"

ROWS: LiteralString = """
select id, operation, relation, subject, version, definition, kept, state, started_at, expanded_at,
       switched_at, ended_at,
       (select count(*) from migrations.change_errors e where e.change_id = c.id)::int as errors
from migrations.changes c
"""
_LAST: LiteralString = (
    ROWS
    + """
where operation = %(operation)s and relation = %(relation)s and subject = %(subject)s
  and (state in ('expanding', 'expanded', 'switched') or definition -> 'asked' = %(asked)s)
order by state in ('expanding', 'expanded', 'switched') desc, id desc limit 1
"""
)
_BY_NUMBER: LiteralString = ROWS + "where id = %(id)s"
_OPEN: LiteralString = ROWS + "where state in ('expanding', 'expanded', 'switched') order by id"
_BEGIN: LiteralString = """
insert into migrations.changes (operation, relation, subject, version, definition)
values (%(operation)s, %(relation)s, %(subject)s, %(version)s, %(definition)s) returning id
"""
_MOVE: LiteralString = """
update migrations.changes
set state = %(state)s, kept = kept || %(kept)s,
    expanded_at = case when %(state)s = 'expanded' then coalesce(expanded_at, clock_timestamp())
                       else expanded_at end,
    switched_at = case when %(state)s = 'switched' then clock_timestamp() else switched_at end,
    ended_at = case when %(state)s in ('contracted', 'undone') then clock_timestamp() end
where id = %(id)s
"""
_KEEP: LiteralString = "update migrations.changes set kept = kept || %(kept)s where id = %(id)s"
_ERRORS: LiteralString = """
select relation, key, sqlstate, message, happened_at from migrations.change_errors
where change_id = %(id)s order by id limit %(limit)s
"""
_CLEAR: LiteralString = "delete from migrations.change_errors where change_id = %(id)s"


@dataclass(frozen=True)
class Change:
    """One change of shape.

    Attributes:
        operation: type_change or restructure.
        relation: The table.
        subject: The column of a type change, the table itself of a restructure.
        definition: What the author asked for.
        kept: What the way back needs to know.
        state: expanding, expanded, switched, contracted, undone.
        errors: Rows that the other type or shape can't hold, as their writers met them.
    """

    id: int
    operation: str
    relation: str
    subject: str
    version: str | None
    definition: dict[str, Any]
    kept: dict[str, Any]
    state: str
    started_at: datetime
    expanded_at: datetime | None
    switched_at: datetime | None
    ended_at: datetime | None
    errors: int

    @property
    def way_back(self) -> str:
        """What going back would cost."""
        if self.state == EXPANDING:
            return "not begun to be used"
        if self.errors:
            has = "row has a value" if self.errors == 1 else "rows have values"
            return f"{self.errors} {has} that the other {self._other} can't hold"
        return "lossless until contract"

    @property
    def what(self) -> str:
        """What is changed: the table, or its column."""
        return f"{self.relation}.{self.subject}" if self.operation == TYPE_CHANGE else self.relation

    @property
    def _other(self) -> str:
        return "type" if self.operation == TYPE_CHANGE else "shape"


@dataclass(frozen=True)
class Failed:
    """A row that the other shape can't hold."""

    relation: str
    key: dict[str, Any] | None
    sqlstate: str | None
    message: str
    happened_at: datetime


def is_ready(connection: Connection) -> bool:
    """Tell whether the tables are there. Takes no lock."""
    return relations.exists(connection, f"{LEDGER_SCHEMA}.change_errors")


def ensure(connection: Connection) -> None:
    """Make the tables where they are missing. Called by the holder of the migration lock.

    Raises:
        DatabaseError: The role may not make them.
    """
    if not is_ready(connection):
        tables.make(connection, DDL)


def still_open(connection: Connection) -> list[Change]:
    """Read those that are under way: begun, and neither contracted nor undone. Takes no lock."""
    if not is_ready(connection):
        return []
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        return cursor.execute(_OPEN).fetchall()


def last(
    connection: Connection, operation: str, relation: str, subject: str, asked: Mapping[str, Any]
) -> Change | None:
    """Read the open change of a column or table, or the newest one that was asked for. Takes no lock."""
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        values = {
            "operation": operation,
            "relation": relation,
            "subject": subject,
            "asked": Jsonb(dict(asked)),
        }
        return cursor.execute(_LAST, values).fetchone()


def by_number(connection: Connection, number: int) -> Change:
    """Read a change again. Takes no lock."""
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        found = cursor.execute(_BY_NUMBER, {"id": number}).fetchone()
    assert found is not None
    return found


def begin(
    connection: Connection,
    operation: str,
    relation: str,
    subject: str,
    *,
    version: str | None,
    definition: dict[str, Any],
) -> int:
    """Write down that a change begins; gives its number."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            _BEGIN,
            {
                "operation": operation,
                "relation": relation,
                "subject": subject,
                "version": version,
                "definition": Jsonb(definition),
            },
        ).fetchone()
    assert isinstance(found, int)
    return found


def move(connection: Connection, number: int, state: str, **kept: Any) -> None:
    """Write down how far a change is, and what the way back must know."""
    connection.execute(_MOVE, {"id": number, "state": state, "kept": Jsonb(kept)})


def keep(connection: Connection, number: int, **kept: Any) -> None:
    """Write down what a later step must know, without going on."""
    connection.execute(_KEEP, {"id": number, "kept": Jsonb(kept)})


def errors(connection: Connection, number: int, *, limit: int = 10) -> list[Failed]:
    """Read the rows that the other shape can't hold, the oldest first. Takes no lock."""
    with connection.cursor(row_factory=class_row(Failed)) as cursor:
        return cursor.execute(_ERRORS, {"id": number, "limit": limit}).fetchall()


def clear_errors(connection: Connection, number: int) -> int:
    """Forget what writers have met: whoever proves that both shapes are equal begins anew. Says how many."""
    return connection.execute(_CLEAR, {"id": number}).rowcount
