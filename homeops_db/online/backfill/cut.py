"""Cuts tables into ranges: one for a single worker, several for several, so that none waits for another."""

from collections.abc import Sequence
from typing import Final

from psycopg import Connection

from homeops_db.catalog import heap
from homeops_db.online.backfill import axis as axes
from homeops_db.online.backfill import ranges
from homeops_db.online.backfill.axis import Axis, Place
from homeops_db.online.backfill.job import relation
from homeops_db.online.backfill.plan import Plan
from homeops_db.online.backfill.ranges import Range

_PER_WORKER: Final = 4
_FEWEST_BLOCKS: Final = 64


def cut(connection: Connection, plan: Plan, workers: int) -> list[Range]:
    """Cut one leaf, up to the last page or key that it has now; an empty one has no range.

    Args:
        connection: Takes ACCESS SHARE for the reads.
        plan: How the leaf is gone through.
        workers: How many work at once.
    """
    parts = 1 if workers == 1 else workers * _PER_WORKER
    if plan.axis.is_ctid:
        return _pages(connection, plan, plan.axis, parts)
    last = plan.axis.last(connection, relation(plan.table))
    if last is None:
        return []
    places = [*_between(connection, plan, parts, last), last]
    return ranges.by_key(plan.table, plan.axis, places)


def cut_closing(connection: Connection, plan: Plan, workers: int) -> list[Range]:
    """Cut one leaf for a closing pass: by pages in any case, for what tells needs no order."""
    axis = axes.by_pages(plan.axis.alias, None, plan.axis.identity)
    parts = 1 if workers == 1 else workers * _PER_WORKER
    return _pages(connection, plan, axis, parts, is_closing=True)


def _pages(
    connection: Connection, plan: Plan, axis: Axis, parts: int, *, is_closing: bool = False
) -> list[Range]:
    blocks = heap.blocks(connection, plan.table.oid)
    parts = max(1, min(parts, blocks // _FEWEST_BLOCKS))
    return ranges.by_pages(plan.table, axis, blocks, parts, is_closing=is_closing)


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
