"""Before a backfill starts: what will fire or grow, how much there is to do, and what is refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection

from homeops_db.catalog import firing, storage
from homeops_db.catalog.firing import UPDATE
from homeops_db.catalog.storage import Stored
from homeops_db.catalog.tables import Table
from homeops_db.errors import UnsafeError
from homeops_db.locking.amounts import between, count, size
from homeops_db.online.backfill import disk, notices, refusals
from homeops_db.online.backfill.estimate import Estimate, estimate
from homeops_db.online.backfill.growth import Growth, growth
from homeops_db.online.backfill.job import Job
from homeops_db.online.backfill.scope import Scope, scope

_SPARSE: Final = 0.2
_TIGHT: Final = 0.5
_RATES: Final = {True: (20_000, 190_000), False: (10_000, 120_000)}
"""Rows a second: of a slow disk with triggers, and as measured on a fast one; striped, and plain."""

_POLICIES_OFF: LiteralString = "select set_config('row_security', %s, false)"
_POLICIES: LiteralString = "select current_setting('row_security')"


@dataclass(frozen=True)
class Forecast:
    """What is to come, all of it about.

    Attributes:
        notices: What fires or grows: one short sentence each, for the log and for the result.
        rows: Rows to do over all leaves.
        rows_total: Rows there are.
        share: Rows to do among them, 0 to 1.
        wal_bytes: WAL that will be written.
        heap_bytes: By which the tables grow.
        index_bytes: By which their indexes grow.
        seconds: How long it takes without waiting, at best and at worst.
    """

    notices: Sequence[str]
    rows: int
    rows_total: int
    share: float
    wal_bytes: int
    heap_bytes: int
    index_bytes: int
    seconds: tuple[float, float]


def forecast(
    connection: Connection,
    job: Job,
    root: Table,
    leaves: Sequence[Table],
    *,
    is_striped: bool | None = None,
) -> Forecast:
    """Look at everything that a backfill will meet; nothing is changed.

    Reads the catalog, plans each leaf's statement, and reads at most 300 pages of at most 32 leaves: under a
    second for 500 partitions. Takes ROW EXCLUSIVE on one leaf after the other while its statement is planned,
    and ACCESS SHARE while its pages are read. A re-run looks again.

    Args:
        connection: In autocommit, in no transaction.
        job: What will be done.
        root: The table that is gone through.
        leaves: It and what is below it, as far as it has rows.
        is_striped: Whether updates stay on their page; judged by indexes and by the share when None.

    Raises:
        ObjectError: See `refusals.refuse`.
        UnsafeError: See there; or no index lets a foreign key find its rows; or a disk would be full.
        psycopg.OperationalError: A lock wasn't to be had within the connection's lock_timeout, or the
            connection was lost: try again.

    Source: the planner's own estimates, and factors measured on tables of all widths.
    """
    with _policies_off(connection):
        what = scope(connection, job, root, leaves)
        stored = _stored(connection, what)
        refusals.refuse(connection, what, list(stored.values()))
        read = [stored[leaf.oid] for leaf in leaves if leaf.oid in stored]
        written = [stored[oid] for oid in what.oids if oid in stored and stored[oid].kind == "r"]
        rows = estimate(connection, job, read)
        references = notices.references(connection, what)
        refusals.refuse_scans(what, references, rows)
        if is_striped is None:
            is_striped = rows.share >= _SPARSE and not firing.covering(connection, what.oids, what.columns)
        grown = growth(what.verb, rows, read, written, is_striped=is_striped and what.verb == UPDATE)
        room = _room(connection, what, written, grown)
        said = notices.notices(connection, what, references) + notices.held(connection)
    return _forecast(rows, grown, [*said, room], is_striped=is_striped)


def refuse(connection: Connection, job: Job, root: Table, leaves: Sequence[Table]) -> None:
    """Refuse what `forecast` refuses by the catalog and by plans alone, and read no page.

    Arguments, errors and locks are those of `forecast`.
    """
    with _policies_off(connection):
        what = scope(connection, job, root, leaves)
        refusals.refuse(connection, what, list(_stored(connection, what).values()))


def _stored(connection: Connection, what: Scope) -> dict[int, Stored]:
    oids = {one.oid for one in [what.root, *what.leaves, what.whole, *what.written]}
    return {one.oid: one for one in storage.stored(connection, sorted(oids))}


@contextmanager
def _policies_off(connection: Connection) -> Iterator[None]:
    """As the batches' own connections are: the server refuses what a policy would hide."""
    row = connection.execute(_POLICIES).fetchone()
    connection.execute(_POLICIES_OFF, ("off",))
    try:
        yield
    finally:
        if not connection.closed and row is not None:
            connection.execute(_POLICIES_OFF, (row[0],))


def _room(connection: Connection, what: Scope, written: Sequence[Stored], grown: Growth) -> str:
    """Say how much of the disks is free; refuse where it isn't enough."""
    found = disk.rooms(connection, _by_location(connection, written, grown), grown.wal)
    if isinstance(found, str):
        return f"free disk can't be seen: {found}"
    for one in found:
        if one.needed > one.free:
            raise UnsafeError(
                f"{what.job.subject} will take about {size(one.needed)} more on the disk of {one.path}, and "
                f"{size(one.free)} are free. Nothing was changed. Make room, or do a part of the rows by "
                "where= and VACUUM before the next."
            )
    tight = [one for one in found if one.needed > one.free * _TIGHT]
    return "; ".join(
        f"{size(one.free)} are free on the disk of {one.path}, and about {size(one.needed)} will be taken"
        for one in tight or found
    )


def _by_location(connection: Connection, written: Sequence[Stored], grown: Growth) -> dict[str, float]:
    """Share growth out to tablespaces: each index may have its own."""
    found: dict[str, float] = {}
    for one in written:
        found[one.location] = found.get(one.location, 0) + grown.heap.get(one.oid, 0)
    index = sum(grown.index.values())
    bytes_by_location = storage.index_locations(connection, [one.oid for one in written]) if index else {}
    total = sum(bytes_by_location.values())
    for location, number in bytes_by_location.items():
        found[location] = found.get(location, 0) + index * (number / total if total else 0)
    return found


def _forecast(rows: Estimate, grown: Growth, said: Sequence[str], *, is_striped: bool) -> Forecast:
    heap, index = round(sum(grown.heap.values())), round(sum(grown.index.values()))
    slow, fast = _RATES[is_striped]
    seconds = rows.rows / fast, rows.rows / slow
    parts = [f"{size(grown.wal)} of WAL"]
    parts += [f"{size(heap)} more table"] if heap else []
    parts += [f"{size(index)} more indexes"] if index else []
    number = "all" if rows.unknown else f"about {count(rows.rows)}"
    first = (
        f"{number} of about {count(rows.rows_total)} rows to do: {between(*seconds)} without waiting, about "
        f"{', '.join(parts)}"
    )
    why = [f"how many rows are to do can't be told: {rows.unknown}"] if rows.unknown else []
    return Forecast(
        [first, *why, *said],
        rows.rows,
        rows.rows_total,
        rows.share,
        round(grown.wal),
        heap,
        index,
        seconds,
    )
