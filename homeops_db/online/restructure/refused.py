"""What the server refuses of another shape, gathered: all of it is named at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg.errors import (
    DataError,
    DependentObjectsStillExist,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from homeops_db.catalog.manifest import Item
from homeops_db.errors import ObjectError, ViolationError
from homeops_db.online.restructure.sides import Side

REFUSED: Final = (ProgrammingError, NotSupportedError, DataError, DependentObjectsStillExist, IntegrityError)
"""What the server says of a shape that something can't be said of."""


class Refused:
    """What the server has refused, until all is tried."""

    def __init__(self, side: Side) -> None:
        self.side, self.found = side, dict[str, str]()

    @contextmanager
    def noted(self, item: Item) -> Iterator[None]:
        """Go on behind an item that is refused."""
        try:
            yield
        except IntegrityError as error:
            raise ViolationError(
                f"Rows of {self.side.table} don't agree with {item} in their new shape: "
                f"{error.diag.message_primary} ({error.diag.message_detail}). Nothing was switched. Mend the "
                "rows, then run the same command again; or name it in drop=."
            ) from error
        except REFUSED as error:
            self.found[str(item)] = str(error.diag.message_primary)

    def end(self) -> None:
        """Say all of it."""
        if self.found:
            named = "; ".join(f"{item} ({why})" for item, why in self.found.items())
            raise ObjectError(
                f"{self.side.table} can't get this shape, for the server refuses to give it: {named}. "
                "Nothing was switched. Change it or drop it in a revision before, or name it in drop=."
            )
