"""Cuts tables into ranges: one for a single worker, several for several, so that none waits for another."""

from collections.abc import Sequence
from typing import Final

from psycopg import Connection

from homeops_db.catalog import heap
from homeops_db.online.backfill import ranges
from homeops_db.online.backfill.axis import Place
from homeops_db.online.backfill.job import relation
from homeops_db.online.backfill.plan import Plan
from homeops_db.online.backfill.ranges import Range

_PER_WORKER: Final = 4
_FEWEST_BLOCKS: Final = 64


def cut(connection: Connection, plan: Plan, workers: int, *, is_closing: bool = False) -> list[Range]:
    """Cut one leaf, up to the last page or key that it has now; an empty one has no range.

    Args:
        connection: Takes ACCESS SHARE for the reads.
        plan: How the leaf is gone through.
        workers: How many work at once.
        is_closing: Whether the ranges belong to a closing pass.
    """
    parts = 1 if workers == 1 else workers * _PER_WORKER
    if plan.axis.is_ctid:
        blocks = heap.blocks(connection, plan.table.oid)
        parts = max(1, min(parts, blocks // _FEWEST_BLOCKS))
        made = ranges.by_pages(plan.table, plan.axis, blocks, parts, is_closing=is_closing)
    else:
        last = plan.axis.last(connection, relation(plan.table))
        if last is None:
            return []
        places = [*_between(connection, plan, parts, last), last]
        made = ranges.by_key(plan.table, plan.axis, places, is_closing=is_closing)
    for one in made:
        one.rows = plan.rows / len(made)
    return made


def _between(connection: Connection, plan: Plan, parts: int, last: Place) -> list[Place]:
    """Give the bounds between the parts: keys of rows from pages that lie evenly over the table."""
    if parts == 1 or plan.blocks < _FEWEST_BLOCKS:
        return []
    sampled = _sample(connection, plan, last)
    step = len(sampled) / parts
    chosen = [sampled[int(step * number)] for number in range(1, parts)] if step >= 1 else []
    return [place for place, following in zip(chosen, [*chosen[1:], last], strict=True) if place != following]


def _sample(connection: Connection, plan: Plan, last: Place) -> Sequence[Place]:
    share = min(100.0, 100 * 200 / max(1, plan.blocks))
    return plan.axis.sampled(connection, relation(plan.table), share, last)
