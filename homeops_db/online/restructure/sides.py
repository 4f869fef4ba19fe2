"""The two tables of a restructure: which one the application knows, and what makes each from the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from homeops_db.catalog.manifest import Item
from homeops_db.catalog.tables import Table

NEW: Final = "homeops_new_"
OLD: Final = "homeops_old_"
LOG: Final = "homeops_log"


@dataclass(frozen=True)
class Field:
    """A column of a shape.

    Attributes:
        name: Its name.
        type: Its type, as the server names it.
        collation: Its collation, quoted; its type's own when None.
        generated: What it is generated from, as SQL behind its type; empty when it isn't.
    """

    name: str
    type: str
    collation: str | None = None
    generated: str = ""

    @property
    def declared(self) -> str:
        """The column as CREATE TABLE has it."""
        collated = f" COLLATE {self.collation}" if self.collation else ""
        name = sql.Identifier(self.name).as_string()
        return f"{name} {self.type}{collated}{self.generated}"


@dataclass(frozen=True)
class Shape:
    """What a table is on one side of the switch.

    Attributes:
        fields: Its columns in their order.
        key: The columns by which a row is found, the same rows as by the other shape's.
        formulas: SQL by column, which reads the other shape's columns. A column without one isn't made from
            the other shape: it keeps what it has, and is its default in a new row.
        only: What hangs on this shape alone, by the author's will.
        partition_by: What it is partitioned by.
        partitions: Its partitions' bounds by name.
    """

    fields: Sequence[Field]
    key: Sequence[str]
    formulas: Mapping[str, str]
    only: Sequence[Item] = ()
    partition_by: str | None = None
    partitions: Mapping[str, str] | None = None

    def field(self, name: str) -> Field | None:
        """Give a column by its name."""
        return next((one for one in self.fields if one.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Give what `from_json` reads."""
        return {
            "fields": [[one.name, one.type, one.collation, one.generated] for one in self.fields],
            "key": list(self.key),
            "formulas": dict(self.formulas),
            "only": [
                [one.kind, one.name, list(one.words), None if one.create is None else list(one.create)]
                for one in self.only
            ],
            "partition_by": self.partition_by,
            "partitions": dict(self.partitions or {}),
        }


def from_json(given: Mapping[str, Any]) -> Shape:
    """Read a shape as it was stored."""
    return Shape(
        tuple(Field(*one) for one in given["fields"]),
        tuple(given["key"]),
        given["formulas"],
        tuple(
            Item(kind, name, tuple(words), None if create is None else tuple(create))
            for kind, name, words, create in given["only"]
        ),
        given["partition_by"],
        given["partitions"],
    )


@dataclass(frozen=True)
class Side:
    """One side of the switch.

    Before it the application's table has the old shape and the shadow the new one, after it the other way
    round. Everything is said once for both: what is built before the switch is what ``undo_contract`` builds
    again on the other side.

    Attributes:
        table: The application's table.
        change_id: The number of the change.
        is_switched: Whether the application's table has the new shape.
        live: The shape of the application's table.
        other: The shape of the shadow.
    """

    table: Table
    change_id: int
    is_switched: bool
    live: Shape
    other: Shape

    @property
    def schema(self) -> str:
        """The schema that the shadow is in, under the table's own name. It tells on which side a table is."""
        return f"{OLD if self.is_switched else NEW}{self.change_id}"

    @property
    def here(self) -> str:
        """The application's table, as SQL."""
        return sql.Identifier(self.table.schema, self.table.name).as_string()

    @property
    def shadow(self) -> str:
        """The shadow, as SQL."""
        return sql.Identifier(self.schema, self.table.name).as_string()

    @property
    def only(self) -> str:
        """What stands before the application's table where it is read: it alone, unless it has partitions."""
        return "" if self.live.partition_by else "ONLY "

    @property
    def log(self) -> str:
        """The table of keys whose rows are to be carried over, as SQL."""
        return sql.Identifier(self.schema, LOG).as_string()

    @property
    def carried(self) -> list[Field]:
        """The shadow's columns that are made from the application's."""
        return [one for one in self.other.fields if one.name in self.other.formulas]
