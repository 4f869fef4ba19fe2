"""What a backfill adds to the server's disks, by factors that were measured on tables of all widths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeops_db.catalog.firing import DELETE, INSERT, UPDATE
from homeops_db.catalog.storage import Stored
from homeops_db.online.backfill.estimate import Estimate

# PostgreSQL 15, rows of 113 to 476 bytes, one to six indexes: WAL within 10 % of what these give.
_WAL_OF_ROW: Final = {UPDATE: 120, INSERT: 60, DELETE: 55}
_WAL_OF_INDEX: Final = 70
_INDEX_ENTRY: Final = 25
_LINE: Final = 12  # a row's line pointer, and what aligns it
_STRIPED_WAL: Final = 0.53
_HEAP: Final = {False: 1.07, True: 0.22}  # plain, striped
_INDEX: Final = {False: 1.0, True: 0.25}


@dataclass(frozen=True)
class Growth:
    """Bytes, about.

    Attributes:
        wal: Of WAL.
        heap: By which the tables grow, by the oid of each.
        index: By which their indexes grow, likewise.
    """

    wal: float
    heap: Mapping[int, float]
    index: Mapping[int, float]


def growth(
    verb: str, estimate: Estimate, read: Sequence[Stored], written: Sequence[Stored], *, is_striped: bool
) -> Growth:
    """Estimate what grows.

    Args:
        verb: UPDATE, INSERT or DELETE.
        estimate: Rows to do.
        read: The tables that it is of.
        written: Those that the rows go to: the same ones, unless rows are inserted.
        is_striped: Whether updates stay on their page.
    """
    if verb == INSERT:
        return _inserted(estimate, written)
    rows = estimate.todo
    if verb == DELETE:
        wal = sum(_pages_wal(one, rows[one.oid]) + rows[one.oid] * _WAL_OF_ROW[verb] for one in _logged(read))
        return Growth(wal, {}, {})
    row = estimate.row_bytes
    wal = sum(
        rows[one.oid] * (row + _WAL_OF_ROW[verb] + one.indexes * _WAL_OF_INDEX)
        + _pages_wal(one, rows[one.oid])
        + one.index_bytes * _part(one, estimate)
        for one in _logged(read)
    )
    return Growth(
        wal * (_STRIPED_WAL if is_striped else 1),
        {one.oid: rows[one.oid] * (row + _LINE) * _HEAP[is_striped] for one in read},
        {one.oid: one.index_bytes * _part(one, estimate) * _INDEX[is_striped] for one in read},
    )


def _inserted(estimate: Estimate, written: Sequence[Stored]) -> Growth:
    """Of several partitions nobody knows beforehand which get the rows: the first stands for all."""
    if not written:
        return Growth(0, {}, {})
    rows, one = estimate.rows, written[0]
    indexes = max(table.indexes for table in written)
    wal = rows * (estimate.row_bytes + _WAL_OF_ROW[INSERT] + indexes * _WAL_OF_INDEX)
    return Growth(
        wal if one.persistence == "p" else 0,
        {one.oid: rows * (estimate.row_bytes + _LINE)},
        {one.oid: rows * indexes * _INDEX_ENTRY},
    )


def _logged(tables: Sequence[Stored]) -> list[Stored]:
    return [one for one in tables if one.persistence == "p"]


def _pages_wal(table: Stored, rows: float) -> float:
    """Each page goes into the WAL whole when it is first changed after a checkpoint."""
    return min(rows, table.pages) * table.page_bytes


def _part(table: Stored, estimate: Estimate) -> float:
    total = estimate.total[table.oid]
    return min(1.0, estimate.todo[table.oid] / total) if total else 0.0
