"""One run at a time: the first has a backfill, another follows it, and takes it over when it dies."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Final

from homeops_db.errors import OnlineError
from homeops_db.history import backfills
from homeops_db.history.backfills import Backfill
from homeops_db.online.backfill.job import Job
from homeops_db.online.backfill.keeper import Keeper

_POLL: Final = 0.5  # seconds


def fingerprint(job: Job, version: str | None, before: int = 0) -> str:
    """Tell a backfill from every other one: by its revision, its table, and what it does.

    ``before`` is how often the same revision has done the same before: it may mean to do it again.
    """
    told = [version, job.operation, job.subject, job.definition, *([before] if before else [])]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def take(keeper: Keeper, print_: str, follow: Callable[[Backfill], None]) -> Backfill | None:
    """Take the backfill's advisory lock, by polling; while another run has it, follow that.

    It is freed by itself when its holder dies.

    Args:
        keeper: Holds the lock from now on.
        print_: The backfill's fingerprint.
        follow: Is called with the other run's state, again and again.

    Returns:
        The backfill as the run that was followed has ended it; None when nobody was.

    Raises:
        OnlineError: The operator has cancelled it while it was followed.
    """
    followed = False
    while not keeper.try_lock(backfills.lock_key(print_)):
        found = keeper.ask(lambda connection: backfills.of_fingerprint(connection, print_))
        if found is not None:
            followed = True
            follow(found)
        time.sleep(_POLL)
    ended = keeper.ask(lambda connection: backfills.of_fingerprint(connection, print_)) if followed else None
    if ended is not None and ended.state == backfills.CANCELLED:
        raise OnlineError(
            f"Backfill {ended.id} of {ended.relation} was cancelled while this run followed it. What was "
            "done stays. A re-run of the revision goes on from there."
        )
    return ended
