"""What one table is gone through by: its pages, or a unique key. Each gives every row a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, sql

from homeops_db.catalog.heap import Key

Place = Sequence[str]
"""The values of the axis' columns at one row, as text; a page is ``["(123,0)"]``: before its first row."""

_INTEGERS: Final = frozenset({"smallint", "integer", "bigint"})
_HASHES: Final = {"uuid": "uuid_hash({})", "text": "hashtext({})", "character varying": "hashtext({})"}


@dataclass(frozen=True)
class Axis:
    """The order in which one table's rows are done.

    Attributes:
        columns: ``ctid``, or those of a unique key.
        types: Of each column.
        alias: What the table is called in statements; expressions may name it.
        stripe: SQL that gives each row a whole number, the same every time.
        identity: The columns by which a row is named to people.
    """

    columns: Sequence[str]
    types: Sequence[str]
    alias: str
    stripe: str
    identity: Sequence[str] = ()

    @property
    def is_ctid(self) -> bool:
        """Whether it goes by pages."""
        return list(self.columns) == ["ctid"]

    def row(self) -> sql.Composable:
        """Write the columns as one value."""
        return _row(self._names())

    def place(self, place: Place) -> sql.Composable:
        """Write a place as one value of the same shape."""
        return _row(
            [
                sql.Literal(value) + sql.SQL(f"::{type_}")
                for value, type_ in zip(place, self.types, strict=True)
            ]
        )

    def between(self, low: Place | None, high: Place | None) -> sql.Composable:
        """Write the condition of the rows behind ``low``, up to and with ``high``; None is no bound."""
        parts = []
        if low is not None:
            parts.append(self.row() + sql.SQL(" > ") + self.place(low))
        if high is not None:
            parts.append(self.row() + sql.SQL(" <= ") + self.place(high))
        return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")

    def in_stripe(self, number: int, of: int) -> sql.Composable:
        """Write the condition of the rows of one stripe; ``of`` is a power of two."""
        if of == 1:
            return sql.SQL("true")
        return sql.SQL(f"({self.stripe})") + sql.SQL(" & {} = {}").format(of - 1, number)

    def nth(
        self, connection: Connection, relation: sql.Composable, condition: sql.Composable, number: int
    ) -> list[str] | None:
        """Find the place of the n-th row under a condition, from 1 on; None when there are fewer."""
        texts = sql.SQL(", ").join(name + sql.SQL("::text") for name in self._names())
        order = sql.SQL(", ").join(self._names())
        query = sql.SQL("SELECT {} FROM ONLY {} AS {} WHERE {} ORDER BY {} LIMIT 1 OFFSET {}").format(
            texts, relation, sql.Identifier(self.alias), condition, order, number - 1
        )
        found = connection.execute(query).fetchone()
        return None if found is None else list(found)

    def last(self, connection: Connection, relation: sql.Composable) -> list[str] | None:
        """Find the last place of all; None in an empty table. There is no max() of uuid before 18."""
        names = self._names()
        texts = sql.SQL(", ").join(name + sql.SQL("::text") for name in names)
        order = sql.SQL(", ").join(name + sql.SQL(" DESC") for name in names)
        query = sql.SQL("SELECT {} FROM ONLY {} AS {} ORDER BY {} LIMIT 1").format(
            texts, relation, sql.Identifier(self.alias), order
        )
        found = connection.execute(query).fetchone()
        return None if found is None else list(found)

    def sampled(
        self, connection: Connection, relation: sql.Composable, percent: float, last: Place
    ) -> list[list[str]]:
        """Find the places of a sample of rows before ``last``, in order."""
        texts = sql.SQL(", ").join(name + sql.SQL("::text") for name in self._names())
        query = sql.SQL(
            "SELECT {} FROM ONLY {} AS {} TABLESAMPLE SYSTEM ({}) REPEATABLE (1) WHERE {} < {} ORDER BY {}"
        ).format(
            texts,
            relation,
            sql.Identifier(self.alias),
            percent,
            self.row(),
            self.place(last),
            sql.SQL(", ").join(self._names()),
        )
        return [list(row) for row in connection.execute(query).fetchall()]

    def name(
        self, connection: Connection, relation: sql.Composable, condition: sql.Composable
    ) -> dict[str, str] | None:
        """Read by what name people know the first row under a condition."""
        columns = self.identity or self.columns
        texts = sql.SQL(", ").join(
            sql.Identifier(self.alias, column) + sql.SQL("::text") for column in columns
        )
        query = sql.SQL("SELECT {} FROM ONLY {} AS {} WHERE {} LIMIT 1").format(
            texts, relation, sql.Identifier(self.alias), condition
        )
        found = connection.execute(query).fetchone()
        return None if found is None else dict(zip(columns, found, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Give what a later run needs to go on with a range of it."""
        return {
            "columns": list(self.columns),
            "types": list(self.types),
            "stripe": self.stripe,
            "identity": list(self.identity),
        }

    def _names(self) -> list[sql.Composable]:
        return [sql.Identifier(self.alias, name) for name in self.columns]


def by_pages(alias: str, key: Key | None, identity: Sequence[str] = ()) -> Axis:
    """Go by pages. A whole number in the key puts neighbours into different stripes; else the place does."""
    named = sql.Identifier(alias, "ctid").as_string()
    stripe = _integer(alias, key) or f"pg_catalog.hashtid({named})"
    return Axis(["ctid"], ["tid"], alias, stripe, key.columns if key else identity)


def by_key(alias: str, key: Key) -> Axis:
    """Go by a key; its last column varies most."""
    name = sql.Identifier(alias, key.columns[-1]).as_string()
    hashed = _HASHES.get(key.types[-1], "hashtext({}::text)").format(name)
    stripe = _integer(alias, key) or f"pg_catalog.{hashed}"
    return Axis(key.columns, key.types, alias, stripe, key.columns)


def from_json(given: dict[str, Any], alias: str) -> Axis:
    """Make the axis of a range that was begun before."""
    return Axis(given["columns"], given["types"], alias, given["stripe"], given["identity"])


def page(block: int) -> list[str]:
    """Give the place before the first row of a page."""
    return [f"({block},0)"]


def block_of(place: Place) -> int:
    """Give the page of a place."""
    return int(place[0][1:].partition(",")[0])


def _integer(alias: str, key: Key | None) -> str | None:
    if key is None or key.types[-1] not in _INTEGERS:
        return None
    return sql.Identifier(alias, key.columns[-1]).as_string()


def _row(values: Sequence[sql.Composable]) -> sql.Composable:
    joined = sql.SQL(", ").join(values)
    return joined if len(values) == 1 else sql.SQL("ROW({})").format(joined)
