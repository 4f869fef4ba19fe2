"""``online.batched_insert``: copies rows into a table in use, batch by batch."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from psycopg import sql

from homeops_db.catalog import columns as catalog_columns
from homeops_db.catalog import heap
from homeops_db.catalog.tables import Table
from homeops_db.online import subject
from homeops_db.online.backfill import job
from homeops_db.online.backfill.frozen import frozen
from homeops_db.online.backfill.ground import Asked
from homeops_db.online.backfill.job import Condition, Job
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.run import Run
from homeops_db.online.shown import shown
from homeops_db.online.work import at_work, is_offline
from homeops_db.online.work import script as writing

if TYPE_CHECKING:
    from homeops_db.online.backfill.source import Source

OnConflict = Literal["error", "nothing"]


def batched_insert(
    table_name: str,
    select: str | sa.Select[Any],
    *,
    schema: str | None = None,
    columns: Sequence[str] | None = None,
    on_conflict: OnConflict = "error",
    workers: int = 1,
    vacuum: bool = True,
) -> Backfilled:
    """Copy the rows of a select into a table, while reads and writes go on."""
    what = f"{schema}.{table_name}" if schema else table_name
    # PostgreSQL's parser is loaded when it is needed: every command imports this module.
    from homeops_db.online.backfill import source  # noqa: PLC0415

    read = source.read(select)
    names = columns if columns is not None else read.columns
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415

        with writing("batched_insert", what) as out:
            script.write_insert(out, (table_name, schema), read, names, on_conflict)
        return Backfilled("batched_insert", what, changed=True)
    with at_work("batched_insert", what) as work, shown(work) as show, ExitStack() as stack:
        target = subject.table_of(work.connection, table_name, schema, must_own=False)
        root = subject.table_of(work.connection, read.name, read.schema, must_own=False)
        source.check(work.connection, read)
        has_key = bool(heap.keys(work.connection, root.oid))
        order = catalog_columns.names(work.connection, root.oid)
        copied = Job(
            "batched_insert",
            str(target),
            {"select": read.text, "columns": names and list(names), "on_conflict": on_conflict},
            _statement(target, read, names, order, on_conflict),
            read.called,
            is_frozen=not has_key,
            fills=target,
        )
        if not has_key:
            stack.enter_context(frozen(work, root))
        asked = Asked(
            workers,
            vacuum=vacuum,
            is_only=read.is_only,
            telling="its key tells how far it is" if has_key else "nobody may change it meanwhile",
        )
        return Run(work, copied, root, asked, show).go()


def _statement(
    target: Table,
    read: "Source",
    names: Sequence[str] | None,
    order: Sequence[str],
    on_conflict: OnConflict,
) -> Callable[[Table, Condition], sql.Composable]:
    into = sql.SQL("INSERT INTO {} ").format(job.relation(target))
    if names is not None:
        into += sql.SQL("({}) ").format(sql.SQL(", ").join(map(sql.Identifier, names)))
    end = sql.SQL(" ON CONFLICT DO NOTHING" if on_conflict == "nothing" else "")

    def write(table: Table, condition: Condition) -> sql.Composable:
        piece = read.narrowed(job.relation(table).as_string(), condition.as_string(), order)
        return into + sql.SQL(piece) + end

    return write
