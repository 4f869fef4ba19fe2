"""The copy: page by page, without a lock on any row, while the triggers write down whose rows change.

A row that is updated meanwhile may come twice, before and after it has moved to a later page: its key is
written down, so both go, and it comes again.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from psycopg import Connection, sql

from homeops_db import faults
from homeops_db.catalog import heap, standstill, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import OnlineError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.locking import pace as pacing
from homeops_db.locking.pace import Pace
from homeops_db.online.backfill.asked import Asked
from homeops_db.online.backfill.job import Condition, Job, relation
from homeops_db.online.restructure import rows
from homeops_db.online.restructure.sides import Side
from homeops_db.online.shown import shown
from homeops_db.online.work import Work

# No row is locked, and nobody waits for a batch: larger ones cost the traffic nothing (docs/benchmarks.md).
_PACE: Final = Pace(
    target=timedelta(milliseconds=100), batch_rows=5000, max_batch_rows=50_000, max_errors=1000
)
_TRIES: Final = 3
_WINDOW: Final = 16_384  # pages


def copy(work: Work, side: Side, change: Change, workers: int) -> None:
    """Copy all rows into the shadow; a row that it can't hold is passed over, and found by the proof.

    Locks: ACCESS SHARE on the application's table for the time of a batch.

    Raises:
        OnlineError: Somebody goes on moving all rows of the table.
    """
    for _ in range(_TRIES):
        of = _of(work, side)
        if changes.by_number(work.connection, change.id).kept.get("copying") != of:
            work.connection.execute(f"TRUNCATE {side.shadow}".encode())
            changes.keep(work.connection, change.id, copying=of)
        _run(work, side, of, workers)
        if _of(work, side) == of:
            changes.keep(work.connection, change.id, copied=side.schema)
            return
    raise OnlineError(
        f"Table {side.table} was written anew while its rows were copied (by VACUUM FULL, CLUSTER or ALTER "
        "TABLE), and so they can't be told apart. Nothing was switched. Let that end, then run the same "
        "command again."
    )


def settle(work: Work, side: Side) -> None:
    """Take the rows out of the shadow whose keys were written down: some of them may be there twice.

    The keys stay, and the rows come again from the application's table. Reads the shadow once, by windows.
    """
    shadow = _shadow(work, side)
    keys = ", ".join(f"{rows.made(side, own)} AS {sql.Identifier(own).as_string()}" for own in side.other.key)
    columns = ", ".join(f"twin.{sql.Identifier(own).as_string()}" for own in side.other.key)
    for leaf in tables.tree(work.connection, shadow.oid):
        if leaf.is_partitioned:
            continue
        here = sql.Identifier(leaf.schema, leaf.name).as_string()
        for first in range(0, max(1, heap.blocks(work.connection, leaf.oid)), _WINDOW):
            work.connection.execute(
                f"DELETE FROM ONLY {here} AS twin WHERE ctid >= '({first},0)' AND ctid < "
                f"'({first + _WINDOW},0)' AND ({columns}) IN (SELECT {keys} FROM {side.log} AS "
                "live)".encode()
            )
    faults.point("restructure: settled")


def _run(work: Work, side: Side, of: Mapping[str, int], workers: int) -> None:
    # The engine is loaded when it is needed: every command that reads the revisions imports this package.
    from homeops_db.online.backfill.run import Run  # noqa: PLC0415

    names = [one.name for one in side.carried]
    job = Job(
        "batched_insert",
        f"{side.schema}.{side.table.name}",
        {"change": side.change_id, "columns": names},
        _statement(side),
        "live",
        is_frozen=True,  # by what is written down, it is as good as that
        fills=_shadow(work, side),
        of=of,
    )
    asked = Asked(
        workers,
        vacuum=False,
        is_only=not side.live.partition_by,
        telling="the keys of rows that change are written down",
    )
    with shown(work) as show, pacing.pace(**_paced()):
        Run(work, job, side.table, asked, show).go()


def _paced() -> dict[str, Any]:
    """Give our own pace where the author has left the default one."""
    default, current = asdict(Pace()), asdict(pacing.current())
    ours = asdict(_PACE)
    return {
        name: ours[name] for name in ours if ours[name] != default[name] and current[name] == default[name]
    }


def _statement(side: Side) -> Any:
    names = ", ".join(sql.Identifier(one.name).as_string() for one in side.carried)
    values = ", ".join(rows.assigned(side, one.name) for one in side.carried)

    def write(table: Table, condition: Condition) -> sql.Composable:
        into = f"INSERT INTO {side.shadow} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM ONLY "
        return sql.SQL(into) + relation(table) + sql.SQL(" AS live WHERE ") + condition

    return write


def _of(work: Work, side: Side) -> dict[str, int]:
    """Give the tables and their files: rows that were copied by other pages count for nothing."""
    oids = [one.oid for one in tables.tree(work.connection, side.table.oid)]
    files = {f"file of {oid}": file for oid, file in standstill.files(work.connection, oids).items()}
    return {"table": side.table.oid, "shadow": _shadow(work, side).oid, **files}


def _shadow(work: Work, side: Side) -> Table:
    return shadow(work.connection, side)


def shadow(connection: Connection, side: Side) -> Table:
    """Look up the shadow."""
    found = tables.table(connection, side.table.name, side.schema)
    assert found is not None
    return found
