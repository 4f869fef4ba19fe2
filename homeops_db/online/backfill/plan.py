"""Chooses how a table is gone through, and says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import firing, heap
from homeops_db.catalog.heap import Heap, Key
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.backfill import axis as axes
from homeops_db.online.backfill.asked import By
from homeops_db.online.backfill.axis import Axis
from homeops_db.online.backfill.job import Job, relation
from homeops_db.online.backfill.size import WIDER, Stripes

STRIPES: Final = 8
_SMALL: Final = 64  # pages; a window of several stripes is larger
_ROOMY: Final = 60  # percent; with that much room on each page, updates stay there by themselves
_CORRELATED: Final = 0.9
_SPARSE: Final = 0.2
_SAMPLE: Final = 32  # pages
_CACHED: Final = 8
_LISTED: Final = 20
_NAMED: Final = 3


@dataclass
class Plan:
    """How one table is gone through.

    Attributes:
        table: A leaf.
        axis: By what.
        stripes: Into how many stripes its windows are cut.
        blocks: Its pages at the beginning.
        rows: Its rows, about.
        rows_per_block: Rows of one page, about.
        why: In words.
    """

    table: Table
    axis: Axis
    stripes: Stripes
    blocks: int
    rows: float
    rows_per_block: float
    why: str

    def __str__(self) -> str:
        how = "striped" if self.stripes.most > 1 else "plain"
        by = "ctid" if self.axis.is_ctid else f"key ({', '.join(self.axis.columns)})"
        number = f", S={self.stripes.most}" if self.stripes.most > 1 else ""
        changes = "".join(f"; {change}" for change in self.stripes.changes)
        return f"{how} {by}{number}, because {self.why}{changes}"


def make(
    connection: Connection,
    job: Job,
    table: Table,
    *,
    telling: str,
    by: By | None = None,
    stripes: int | None = None,
    workers: int = 1,
    share: float = 1.0,
) -> Plan | None:
    """Choose how one leaf is gone through; None where it was dropped meanwhile.

    Args:
        connection: Takes ACCESS SHARE for the reads.
        job: What is done.
        table: The leaf.
        telling: What tells rows that are done from the others, or why nothing does.
        by: The author's choice.
        stripes: The author's choice, a power of two.
        workers: How many work at once.
        share: How many of the rows are to do, 0 to 1, about.

    Raises:
        ObjectError: It has no key, and nothing tells.
    """
    found = heap.heap(connection, table.oid)
    if found is None:
        return None
    keys = heap.keys(connection, table.oid)
    axis, why = _axis(job, table, keys[0] if keys else None, telling, by)
    number = stripes or STRIPES
    because = "no index covers what is set, so new versions fit on the pages of the old ones"
    covering = [one.name for one in firing.covering(connection, [table.oid], job.columns)]
    plain = _stripes(job, found, axis, keys[0] if keys else None, share) or _covered(covering)
    if stripes:
        because = f"{stripes} stripes were asked for"
    elif plain is not None:
        number, because = 1, plain
    density = _rows_per_block(connection, table, found)
    return Plan(
        table,
        axis,
        # Several workers' batches keep each other's dead rows for a while: a page is visited again later.
        Stripes(number, found.buffers / _CACHED * density, span=1 if workers == 1 else WIDER),
        found.blocks,
        found.tuples if found.is_analyzed else found.blocks * density,
        density,
        f"{why}; {because}",
    )


def _axis(job: Job, table: Table, key: Key | None, telling: str, by: By | None) -> tuple[Axis, str]:
    if by == "key" or (by is None and job.todo is None and not job.is_frozen):
        if key is None:
            raise _without_key(table, telling)
        return axes.by_key(job.alias, key), "it was asked for" if by else telling
    if job.todo is None and not job.is_frozen:
        raise ObjectError(
            f"{job.subject} can't be gone through by ctid: {telling}, and rows change their place meanwhile. "
            'Nothing was changed. Leave by= out, or say by="key".'
        )
    return axes.by_pages(job.alias, key), "it was asked for" if by else telling


def _without_key(table: Table, telling: str) -> ObjectError:
    return ObjectError(
        f"{table} has no unique key without nulls, so nobody could tell how far a broken run was: {telling}. "
        "Nothing was changed. Give where= a condition that a row no longer meets when it is done, like "
        '"new_column IS NULL", or the table a primary key.'
    )


def _stripes(job: Job, found: Heap, axis: Axis, key: Key | None, share: float) -> str | None:
    """Say why striping can't pay; None where it does."""
    reasons = (
        (job.operation != "backfill", "nothing is updated in place"),
        (found.blocks < _SMALL, f"{found.blocks} pages are few"),
        (found.fillfactor <= _ROOMY, f"with fillfactor {found.fillfactor} every page has room"),
        (share < _SPARSE, f"only about {share:.0%} of the rows are to do"),
        (not axis.is_ctid and not _is_correlated(key), "the key's order isn't that of the pages"),
    )
    return next((why for holds, why in reasons if holds), None)


def _covered(indexes: Sequence[str]) -> str | None:
    return f"{', '.join(indexes)} must get every row anew: build indexes afterwards" if indexes else None


def _is_correlated(key: Key | None) -> bool:
    return key is not None and key.correlation is not None and abs(key.correlation) >= _CORRELATED


def _rows_per_block(connection: Connection, table: Table, found: Heap) -> float:
    if found.is_analyzed and found.blocks:
        return max(1.0, found.tuples / found.blocks)
    query = sql.SQL("SELECT count(*) FROM ONLY {} WHERE ctid < {}::tid").format(
        relation(table), f"({_SAMPLE},0)"
    )
    counted = connection.execute(query).fetchone()
    return max(1.0, (counted[0] if counted else 0) / max(1, min(found.blocks, _SAMPLE)))


def described(plans: Sequence[Plan]) -> str:
    """Say how each table is gone through, a line each; of very many, a line for all that are alike."""
    if len(plans) <= _LISTED:
        return "\n".join(f"{one.table}: {one}" for one in plans)
    names: dict[str, list[str]] = {}
    for one in plans:
        names.setdefault(str(one), []).append(str(one.table))
    return "\n".join(f"{_listed(tables)}: {text}" for text, tables in names.items())


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
