"""The two columns of a type change: which one the application knows, and what makes each from the other."""

from dataclasses import dataclass
from typing import Final

from homeops_db.catalog.tables import Table
from homeops_db.online import subject

NEW: Final = "homeops_new_"
OLD: Final = "homeops_old_"


@dataclass(frozen=True)
class Side:
    """One side of the switch.

    Before it the application's column has the old type and the shadow the new one, after it the other way
    round. Everything is said once for both: what is built before the switch is what ``undo_contract`` builds
    again on the other side.

    Attributes:
        table: The table.
        column: The name that the application knows, on both sides.
        is_switched: Whether the application's column has the new type.
        type: The shadow's type, as SQL.
        live_type: The type of the application's column.
        fill: SQL that makes the shadow's value; reads the application's column.
        back: SQL that makes the application's value; reads the same name, and means the shadow.
        collation: The shadow's collation, quoted; its type's own when None.
    """

    table: Table
    column: str
    is_switched: bool
    type: str
    live_type: str
    fill: str
    back: str
    collation: str | None = None

    @property
    def shadow(self) -> str:
        """The shadow's name. It tells on which side a table is."""
        return self.twin(self.column)

    @property
    def declared(self) -> str:
        """The shadow's type and collation, as a column is declared."""
        return self.type if self.collation is None else f"{self.type} COLLATE {self.collation}"

    def twin(self, name: str) -> str:
        """Name what the shadow has in the place of an object that hangs on the application's column."""
        return subject.shortened((OLD if self.is_switched else NEW) + name)
