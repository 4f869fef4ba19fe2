"""What a backfill did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from homeops_db.online.work import Done


@dataclass(frozen=True)
class Backfilled(Done):
    """What a backfill, a batched insert or a batched delete did.

    Attributes:
        id: Its number in ``migrations.backfills``; 0 where there was nothing to do.
        rows: Rows done, in all its runs.
        batches: Batches of this run.
        seconds: How long this run took.
        plan: How each table was gone through, and why: "striped ctid, S=8, because …".
        notices: What fired or grew, as it was said before the start.
        waits: Seconds that were waited, by reason.
        errors: Rows that could not be done, and were passed over: migrations.backfill_errors has them.
        arriving: Rows that are left after all passes, because writers go on making such rows.
    """

    id: int = 0
    rows: int = 0
    batches: int = 0
    seconds: float = 0.0
    plan: Sequence[str] = ()
    notices: Sequence[str] = ()
    waits: Mapping[str, float] = field(default_factory=dict)
    errors: int = 0
    arriving: int = 0
