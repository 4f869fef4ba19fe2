"""The end of a backfill: whoever was at work before is waited for, then it is proved that nothing is left."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import locks
from homeops_db.catalog.locks import Holder
from homeops_db.catalog.tables import Table
from homeops_db.locking import report
from homeops_db.locking.watch import Cost
from homeops_db.online.backfill.job import Job, relation

PASSES: Final = 10
"""Closing passes at most: where writers go on making rows that are to do, no pass finds none."""

COUNTED: Final = 10_000
"""As far as rows are counted that are left."""

_FIRST_LOOK: Final = 0.005  # seconds: our own workers' connections have just been closed
_LOOK: Final = 0.05


def wait_for_writers(
    observe: Connection,
    tables: Sequence[Table],
    *,
    give_up_after: timedelta,
    tell: Callable[[str], bool],
) -> None:
    """Wait until every transaction has ended that has written to one of the tables, or may have, until now.

    What such a transaction wrote isn't seen before its commit, whatever its key or page: a bound that was
    taken before would miss it.

    Args:
        observe: Looks; no lock is taken, nobody waits behind us.
        tables: The leaves.
        give_up_after: How long.
        tell: Is told whom it waits for, and says whether to go on waiting.

    Raises:
        LockTimeoutError: It took too long.
    """
    began = time.monotonic()
    oids = [table.oid for table in tables]
    first = _writers(observe, oids)
    waiting, pause = first, _FIRST_LOOK
    while waiting and tell(report.described(waiting[0])):
        if time.monotonic() - began > give_up_after.total_seconds():
            raise report.stalled(
                what="rows that a transaction has written, and not committed, can't be seen",
                blockers=waiting,
                waited=timedelta(seconds=time.monotonic() - began),
                cost=Cost(),
                left="All that was committed is done; the proof that nothing is left isn't given.",
            )
        time.sleep(pause)
        pause = min(2 * pause, _LOOK)
        still = {holder.transaction for holder in _writers(observe, oids)}
        waiting = [holder for holder in first if holder.transaction in still]


def left(connection: Connection, job: Job, root: Table, *, is_only: bool, most: int) -> int:
    """Count the rows that are to do, in one statement: one snapshot of all pages, partitions and keys.

    A pass can be outrun: by a row that moves from before it to behind it.

    Args:
        connection: Takes ACCESS SHARE while it reads the whole table.
        job: What is done.
        root: The table, with all that is below it unless ``is_only``.
        is_only: Whether partitions and children are left out.
        most: As far as is counted.
    """
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} {} AS {} WHERE {} LIMIT {}) AS found").format(
        sql.SQL("ONLY" if is_only else ""), relation(root), sql.Identifier(job.alias), job.condition, most
    )
    row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _writers(connection: Connection, oids: Sequence[int]) -> list[Holder]:
    """Whoever holds what SHARE conflicts with may have written; autovacuum writes no rows."""
    ours = connection.info.backend_pid
    found = locks.holders(connection, oids, locks.SHARE, ours=ours)
    return [holder for holder in found if holder.granted and not holder.is_autovacuum]
