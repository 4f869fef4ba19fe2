"""How an author wants a backfill done, apart from what is done to the rows."""

from dataclasses import dataclass
from typing import Final, Literal

from homeops_db.errors import ObjectError

By = Literal["ctid", "key"]

MOST_WORKERS: Final = 64
STRIPES: Final = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Asked:
    """How the author wants it done.

    Attributes:
        workers: How many connections work at once.
        by: "ctid" or "key"; chosen when None.
        stripes: A power of two; chosen when None.
        vacuum: Whether to VACUUM (ANALYZE) at the end.
        is_only: Whether partitions and children are left out.
        telling: What tells rows that are done, in words.
    """

    workers: int = 1
    by: By | None = None
    stripes: int | None = None
    vacuum: bool = True
    is_only: bool = False
    telling: str = ""


def refuse_odd(workers: int, stripes: int | None) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        ObjectError: No worker, or stripes that aren't a power of two.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST_WORKERS:
        raise ObjectError(
            f"workers is {workers!r}: it must be a whole number, 1 to {MOST_WORKERS}. Nothing was changed."
        )
    if stripes is not None and stripes not in STRIPES:
        known = ", ".join(map(str, STRIPES))
        raise ObjectError(f"stripes is {stripes!r}: it must be one of {known}. Nothing was changed.")
