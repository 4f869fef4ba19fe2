"""The proof that both columns of every row belong together, read page by page without a lock.

A row that is written while the table is read, or that moves behind the reader's back, has been looked at by
the trigger that checks: so reading each page once is enough, and no snapshot is held for longer than a part
takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import DataError, RaiseException
from psycopg.rows import tuple_row

from homeops_db.catalog import heap, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ViolationError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online.older_snapshots import Moment
from homeops_db.online.type_change import complete, sync
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

_PAGES: Final = 4096
_NAMED: Final = 10

_SAFE: Final = """
CREATE OR REPLACE FUNCTION pg_temp.homeops_differs(new {table}) RETURNS boolean LANGUAGE plpgsql AS {body}
"""
_BODY: Final = """
BEGIN
    RETURN {differs};
EXCEPTION WHEN OTHERS THEN
    RETURN true;
END
"""


@dataclass(frozen=True)
class Different:
    """A row whose columns don't belong together: its table, its key and both values, in words."""

    table: Table
    key: str
    values: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.values}"


def find(work: Work, side: Side) -> list[Different]:
    """Read all rows, and give up to ten whose columns don't belong together.

    Locks: ACCESS SHARE, for as long as a part of the table takes to read.
    """
    found: list[Different] = []
    for leaf in tables.tree(work.connection, side.table.oid):
        if not leaf.is_partitioned and len(found) < _NAMED:
            found += _of_leaf(work.connection, side, leaf, _NAMED - len(found))
    return found


def refuse(work: Work, side: Side, change: Change) -> Moment:
    """Prove that both columns of every row belong together; what writers met until now is forgotten.

    Returns:
        Since when they do; see `complete`.

    Raises:
        ViolationError: They don't in some rows, which are named.
    """
    known = complete.known(work.connection, side, change)
    complete.forget(work.connection, side, change)
    has_met = changes.clear_errors(work.connection, change.id) > 0
    found = find(work, side)
    if found:
        raise violated(side, [str(one) for one in found])
    return complete.note(work, side, change, None if has_met else known)


def refuse_met(connection: Connection, side: Side, change_id: int) -> None:
    """Refuse when a writer has met a value that the other column can't hold since the proof.

    Raises:
        ViolationError: One has.
    """
    met = changes.errors(connection, change_id, limit=_NAMED)
    if met:
        raise violated(side, [f"{one.relation} {one.key or ''}: {one.message}" for one in met])


def violated(side: Side, rows: Sequence[str]) -> ViolationError:
    """Say which rows keep the switch from being done."""
    return ViolationError(
        f"Column {side.table}.{side.column} can't be switched: its value as {side.type} is missing or "
        f"another one in {'at least ' if len(rows) == _NAMED else ''}{len(rows)} "
        f"row{'' if len(rows) == 1 else 's'}. Nothing was switched; both columns go on being kept alike. "
        "Mend these values, then run the same command again:\n" + "\n".join(f"  {row}" for row in rows)
    )


def _of_leaf(connection: Connection, side: Side, leaf: Table, most: int) -> list[Different]:
    about = heap.heap(connection, leaf.oid)
    if about is None:
        return []
    found: list[Different] = []
    # To the end of the table as it is now: rows behind that were written since, and looked at.
    for first in range(0, max(1, about.blocks), _PAGES):
        if len(found) < most:
            found += _of_pages(connection, side, leaf, first, most - len(found))
    return found


def _of_pages(connection: Connection, side: Side, leaf: Table, first: int, most: int) -> list[Different]:
    try:
        return _ask(connection, side, leaf, first, most, sync.differs(side))
    except (DataError, RaiseException):  # an expression fails for some row: look at each by itself
        body = _BODY.format(differs=sync.differs(side, "new"))
        table = sql.Identifier(leaf.schema, leaf.name).as_string(connection)
        function = _SAFE.format(table=table, body=sql.Literal(body).as_string(connection))
        connection.execute(function.encode())
        here = sql.Identifier(leaf.name).as_string(connection)
        return _ask(connection, side, leaf, first, most, f"pg_temp.homeops_differs({here})")


def _ask(  # noqa: PLR0917
    connection: Connection, side: Side, leaf: Table, first: int, most: int, differs: str
) -> list[Different]:
    keys = heap.keys(connection, leaf.oid)
    query = sql.SQL(
        "SELECT jsonb_build_object({named})::text, {live}::text, {shadow}::text FROM ONLY {table} "
        "WHERE ctid >= {first}::tid AND ctid < {end}::tid AND ({differs}) LIMIT {most}"
    ).format(
        named=sql.SQL(", ").join(
            sql.SQL("{}, {}::text").format(sql.Literal(name), sql.Identifier(name))
            for name in (keys[0].columns if keys else ("ctid",))
        ),
        live=sql.Identifier(side.column),
        shadow=sql.Identifier(side.shadow),
        table=sql.Identifier(leaf.schema, leaf.name),
        first=f"({first},0)",
        end=f"({first + _PAGES},0)",
        differs=sql.SQL(differs),
        most=most,
    )
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [
            Different(leaf, named, f"{live} is {shadow if shadow is not None else 'missing'} there")
            for named, live, shadow in cursor.execute(query).fetchall()
        ]
