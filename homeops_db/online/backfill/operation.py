"""``online.backfill``: fills columns of a table in use, batch by batch."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from homeops_db.catalog import columns
from homeops_db.catalog.tables import Table
from homeops_db.online import subject
from homeops_db.online.backfill.asked import Asked, By, refuse_odd
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.shown import shown
from homeops_db.online.work import Work, at_work, is_offline
from homeops_db.online.work import script as writing


def backfill(
    table_name: str,
    values: Mapping[str, str],
    *,
    schema: str | None = None,
    where: str | None = None,
    workers: int = 1,
    by: By | None = None,
    stripes: int | None = None,
    vacuum: bool = True,
) -> Backfilled:
    """Fill columns of a table in use: faster than one UPDATE, and unnoticed by the traffic.

    ::

        online.backfill("transactions", {"amount_decimal": "amount::numeric(15,2)"}, schema="financial",
                        where="amount_decimal IS NULL AND amount IS NOT NULL")

    Exactly the rows that are meant get what the expressions give, while others insert, update, delete and
    move rows; a row that somebody has filled meanwhile keeps its value. What tells rows that are done
    from the others is found out by asking the server: expressions that are immutable and don't read what
    they set, or ``IS NULL`` of a filled column in ``where``. Then the table is gone through page by page,
    and at the end one read of all of it proves that nothing is left; else there is another pass. Where
    nothing tells (``n + 1``), it is gone through by a unique key, and each row is done once; a row whose key
    is changed meanwhile may then be missed or done again. Values that the application itself writes to the
    column are kept only where ``where`` says ``IS NULL`` of it: else what differs is to do.

    Args:
        table_name: The table; with its partitions, chunks or inheritance children.
        values: SQL expressions by column. They may name the table's columns, as in an UPDATE.
        schema: The table's schema; by the search path when None.
        where: The condition of the rows that are meant, in SQL; all when None.
        workers: How many connections work at once, each on pages or keys of its own.
        by: "ctid" or "key", where the choice shall not be left to the catalog.
        stripes: In how many passes a window of pages is done, a power of two; 1 for plain windows.
            Chosen when None: 8 where updates can stay on their page, else 1.
        vacuum: Whether each table is vacuumed and analyzed at the end.

    How hard it pushes, and what it waits for, is said by `online.pace`. It is watched and steered from
    another terminal by ``homeops-db backfill``.

    Returns:
        What was done: rows, batches, how each table was gone through and why, what fired, what was waited
        for. ``changed`` is False when there was nothing to do, or an interrupted run of the same revision
        had done it.

    Raises:
        ObjectError: No such table or column; the server can't read an expression; nothing tells, and there
            is no key; a privilege is missing.
        UnsafeError: Row-level security would hide rows, rows would move to another partition, or a disk
            would be full. Nothing was changed.
        ViolationError: More rows can't be done than ``pace(max_errors=…)`` allows. The others stay done.
        LockTimeoutError: A row or the table wasn't to be had, or there was a reason to wait for longer than
            ``give_up_after``. What was done stays.
        OnlineError: It was cancelled, or the server refused something else. What was done stays.

    Locks: the rows of a batch (FOR NO KEY UPDATE) and ROW EXCLUSIVE on the table, for about 20 ms at a time;
    ACCESS SHARE and one snapshot for as long as the proof reads the table; SHARE UPDATE EXCLUSIVE during
    VACUUM. A batch that meets a locked row gives up after ``lock_timeout``, and takes fewer rows. At the end,
    transactions that have written to the table and not yet ended are waited for, by looking.

    A re-run goes on where the last batch was committed; two runs at once: the second follows the first. Its
    downgrade is that of the column. Method: windows in stripes are ours (docs/architecture.md); stored ranges
    and batches that aim at a duration are those of GitLab's batched background migrations, waiting by signals
    and steering from outside those of gh-ost.
    """
    refuse_odd(workers, stripes)
    what = f"{schema}.{table_name}" if schema else table_name
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415 - as below

        with writing("backfill", what) as out:
            script.write_backfill(out, (table_name, schema), values, where, vacuum=vacuum)
        return Backfilled("backfill", what, changed=True)
    asked = Asked(workers, by, stripes, vacuum)
    with at_work("backfill", what) as work:
        table = subject.table_of(work.connection, table_name, schema, must_own=False)
        return fill(work, table, values, where, asked)


def fill(work: Work, table: Table, values: Mapping[str, str], where: str | None, asked: Asked) -> Backfilled:
    """Fill columns as a part of an operation that is at work; see `backfill`."""
    # The engine is loaded when it is needed: every command that reads the revisions imports this module.
    from homeops_db.online.backfill import job, telling  # noqa: PLC0415
    from homeops_db.online.backfill.run import Run  # noqa: PLC0415

    told = telling.tell(work, table, values, where)
    filled = job.Job(
        "backfill",
        str(table),
        {"values": dict(values), "where": where},
        job.update(table.name, values),
        table.name,
        tuple(values),
        told.todo,
        told.is_proven,
        where,
        told.quick,
        of={"table": table.oid, **_numbers(work, table, values)},
    )
    with shown(work) as show:
        return Run(work, filled, table, replace(asked, telling=told.why), show).go()


def _numbers(work: Work, table: Table, names: Iterable[str]) -> dict[str, int]:
    found = {name: columns.column(work.connection, table.oid, name) for name in names}
    return {f"column {name}": column.number for name, column in found.items() if column is not None}
