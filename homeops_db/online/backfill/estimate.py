"""How many rows are to do: counted in small tables, and in large ones estimated from some of their pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection, sql
from psycopg.errors import QueryCanceled, UndefinedTable

from homeops_db.catalog.storage import Stored
from homeops_db.online.backfill.job import Job

_PAGES: Final = 300
"""Read of one table at most: 2.4 MB."""

_TABLES: Final = 32
"""Of many partitions, so many are looked into: the largest, and some of the others."""

_PATIENCE: Final = "5s"
_PASSING: Final = ("08", "40", "55", "57", "58")  # of no row's making


@dataclass(frozen=True)
class Estimate:
    """Rows to do, about.

    Attributes:
        todo: Rows to do, by the table's oid.
        total: Rows in all, likewise.
        row_bytes: What one row takes on its page.
        unknown: Why rows to do can't be told from the others; all are counted then.
    """

    todo: Mapping[int, float]
    total: Mapping[int, float]
    row_bytes: float
    unknown: str | None = None

    @property
    def rows(self) -> int:
        """Rows to do over all tables."""
        return round(sum(self.todo.values()))

    @property
    def rows_total(self) -> int:
        """Rows in all tables."""
        return round(sum(self.total.values()))

    @property
    def share(self) -> float:
        """Rows to do among all, 0 to 1; 1 where there are none."""
        return min(1.0, sum(self.todo.values()) / (sum(self.total.values()) or 1)) if self.rows_total else 1.0


@dataclass(frozen=True)
class _Sample:
    pages: float
    rows: int
    todo: int
    row_bytes: float | None


def estimate(connection: Connection, job: Job, tables: Sequence[Stored]) -> Estimate:
    """Estimate the rows to do.

    What the planner believes of a table's size is scaled to what it is now; a table that was never analyzed
    has as many rows a page as its sample. Reads at most 300 pages of at most 32 tables, each under ACCESS
    SHARE, read-only, and for 5 s at most.

    Args:
        connection: In autocommit.
        job: Its condition.
        tables: The leaves.

    Raises:
        psycopg.OperationalError: A table's lock wasn't to be had, or the connection was lost.
    """
    samples: dict[int, _Sample] = {}
    unknown = None
    for table in _picked(tables):
        try:
            if (sample := _sample(connection, job, table)) is not None:
                samples[table.oid] = sample
        except psycopg.Error as error:
            if connection.closed or _is_passing(error):
                raise
            unknown = f"its condition fails on a row: {error.diag.message_primary} ({error.sqlstate})"
            if isinstance(error, QueryCanceled):
                unknown = f"its condition takes more than {_PATIENCE} on some pages"
            break
    return _summed(tables, samples, unknown)


def _picked(tables: Sequence[Stored]) -> list[Stored]:
    ordered = sorted(tables, key=lambda table: table.bytes, reverse=True)
    if len(ordered) <= _TABLES:
        return ordered
    largest, rest = ordered[: _TABLES // 2], ordered[_TABLES // 2 :]
    return largest + rest[:: -(-len(rest) // (_TABLES // 2))]


def _sample(connection: Connection, job: Job, table: Stored) -> _Sample | None:
    """Look into one table; None when it is gone. Nothing that the condition calls can write."""
    pages = min(table.pages, _PAGES)
    part: sql.Composable = sql.SQL("")
    if table.pages > _PAGES:
        part = sql.SQL(" TABLESAMPLE SYSTEM ({})").format(100 * _PAGES / table.pages)
    alias = sql.Identifier(job.alias)
    width = sql.SQL("pg_column_size({}.*)").format(alias) if table.is_readable else sql.SQL("NULL::int")
    query = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE todo), avg(width)::float8 FROM ("
        "SELECT ({}) IS TRUE AS todo, {} AS width FROM ONLY {} AS {}{}) sampled"
    ).format(
        job.condition,
        width,
        sql.Identifier(table.schema, table.name),
        alias,
        part,
    )
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("select set_config('statement_timeout', %s, true)", (_PATIENCE,))
            found = connection.execute(query).fetchone()
    except UndefinedTable:
        return None
    assert found is not None
    return _Sample(pages, *found)


def _summed(tables: Sequence[Stored], samples: Mapping[int, _Sample], unknown: str | None) -> Estimate:
    seen = samples.values()
    rows, pages = sum(one.rows for one in seen), sum(one.pages for one in seen)
    share = sum(one.todo for one in seen) / rows if rows and unknown is None else 1.0
    total: dict[int, float] = {}
    todo: dict[int, float] = {}
    for table in tables:
        sample = samples.get(table.oid)
        total[table.oid] = _rows(table, sample, rows / pages if pages else 0.0)
        is_sampled = sample is not None and sample.rows > 0 and unknown is None
        own = sample.todo / sample.rows if is_sampled and sample is not None else share
        todo[table.oid] = total[table.oid] * own
    weighed = [(one.row_bytes, one.rows) for one in seen if one.row_bytes is not None and one.rows]
    if weighed:
        width = sum(size * number for size, number in weighed) / sum(number for _, number in weighed)
    else:
        width = sum(table.bytes for table in tables) / (sum(total.values()) or 1)
    return Estimate(todo, total, width, unknown)


def _rows(table: Stored, sample: _Sample | None, density: float) -> float:
    if sample is not None and table.pages <= _PAGES:
        return float(sample.rows)
    if table.tuples >= 0 and table.analyzed_pages:
        return table.tuples / table.analyzed_pages * table.pages
    if sample is not None and sample.pages:
        density = sample.rows / sample.pages
    return table.pages * density


def _is_passing(error: psycopg.Error) -> bool:
    return not isinstance(error, QueryCanceled) and (error.sqlstate or "08")[:2] in _PASSING
