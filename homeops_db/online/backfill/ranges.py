"""The ranges of a backfill: stored before it starts, moved with each batch, found again by the next run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from homeops_db.catalog.tables import Table
from homeops_db.online.backfill import axis as axes
from homeops_db.online.backfill import position as positions
from homeops_db.online.backfill.axis import Axis, Place
from homeops_db.online.backfill.position import Position

_INSERT: LiteralString = """
insert into migrations.backfill_ranges (backfill_id, relation, axis, low, high, is_closing, epoch)
values (%(backfill)s, %(relation)s, %(axis)s, %(low)s, %(high)s, %(is_closing)s, %(epoch)s)
"""
_ROWS: LiteralString = """
select id, relation, axis, low, high, position, is_closing, is_done, rows_done, rows_unchanged, batches
from migrations.backfill_ranges where backfill_id = %(backfill)s order by id
"""
_POSITION: LiteralString = """
select position, is_done, rows_done, rows_unchanged, batches
from migrations.backfill_ranges where id = %s and epoch = %s
"""
_ABANDON: LiteralString = """
update migrations.backfill_ranges set is_done = true
where backfill_id = %s and is_closing and not is_done
"""
_GONE: LiteralString = "update migrations.backfill_ranges set is_done = true where id = %s and epoch = %s"


@dataclass
class Range:
    """A part of one table, done by one worker at a time.

    Attributes:
        id: Its number; 0 before it is stored.
        table: The table itself: a leaf, where there are partitions.
        axis: What it is gone through by.
        low: Behind which place it begins; None for the first of all.
        high: Up to and with which place it goes.
        position: How far it is.
        rows: Rows that it may hold, for the estimate.
    """

    id: int
    table: Table
    axis: Axis
    low: Place | None
    high: Place
    position: Position = field(default_factory=Position)
    is_closing: bool = False
    is_done: bool = False
    rows_done: int = 0
    rows_unchanged: int = 0
    batches: int = 0
    rows: float = 0.0

    def share(self, position: Position) -> float:
        """Estimate how much of it is done, 0 to 1."""
        if position.low == self.high:
            return 1.0
        reached = position.stripe / position.stripes if position.is_open else 0.0
        if self.axis.is_ctid:
            begin, end = _block(self.low), _block(self.high)
            low, high = _block(position.low or self.low), _block(position.high or position.low or self.low)
            return ((low - begin) + (high - low) * reached) / max(1, end - begin)
        return min(0.99, self.rows_done / self.rows) if self.rows else 0.0


def store(connection: Connection, backfill: int, epoch: int, made: Sequence[Range]) -> None:
    """Write new ranges down, all or none."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            _INSERT,
            [
                {
                    "backfill": backfill,
                    "relation": str(one.table),
                    "axis": Jsonb({**one.axis.as_json(), "oid": one.table.oid}),
                    "low": Jsonb(one.low),
                    "high": Jsonb(one.high),
                    "is_closing": one.is_closing,
                    "epoch": epoch,
                }
                for one in made
            ],
        )


def load(connection: Connection, backfill: int, leaves: Sequence[Table], alias: str) -> list[Range]:
    """Read the ranges of a backfill; those of tables that are gone are left out."""
    by_oid = {table.oid: table for table in leaves}
    return list(_read(connection, backfill, by_oid, alias))


def reload(connection: Connection, range_: Range, epoch: int) -> bool:
    """Read again how far a range is, when nobody knows; False when it is another run's now."""
    found = connection.execute(_POSITION, (range_.id, epoch)).fetchone()
    if found is None:
        return False
    stored, range_.is_done, range_.rows_done, range_.rows_unchanged, range_.batches = found
    range_.position = _position(stored, range_.low)
    return True


def abandon_closing(connection: Connection, backfill: int) -> None:
    """Leave the closing pass that was broken off: another one begins anew."""
    connection.execute(_ABANDON, (backfill,))


def leave(connection: Connection, range_: Range, epoch: int) -> None:
    """Mark a range of a table that was dropped as done."""
    connection.execute(_GONE, (range_.id, epoch))
    range_.is_done = True


def by_pages(table: Table, axis: Axis, blocks: int, parts: int, *, is_closing: bool = False) -> list[Range]:
    """Cut a table's pages into parts."""
    bounds = sorted({blocks * number // parts for number in range(parts + 1)})
    return [
        Range(0, table, axis, axes.page(low), axes.page(high), Position(axes.page(low)), is_closing)
        for low, high in pairwise(bounds)
    ]


def by_key(table: Table, axis: Axis, bounds: Sequence[Place]) -> list[Range]:
    """Cut a table's keys at ``bounds``, the last of which is the last key."""
    lows: list[Place | None] = [None, *bounds[:-1]]
    return [Range(0, table, axis, low, high, Position(low)) for low, high in zip(lows, bounds, strict=True)]


def _read(connection: Connection, backfill: int, by_oid: dict[int, Table], alias: str) -> Iterator[Range]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: list[dict[str, Any]] = cursor.execute(_ROWS, {"backfill": backfill}).fetchall()
    for row in rows:
        table = by_oid.get(row["axis"]["oid"])
        if table is not None:
            yield Range(
                row["id"],
                table,
                axes.from_json(row["axis"], alias),
                row["low"],
                row["high"],
                _position(row["position"], row["low"]),
                row["is_closing"],
                row["is_done"],
                row["rows_done"],
                row["rows_unchanged"],
                row["batches"],
            )


def _position(stored: dict[str, Any] | None, low: Place | None) -> Position:
    return Position(low) if stored is None else positions.from_json(stored)


def _block(place: Place | None) -> int:
    return 0 if place is None else axes.block_of(place)
