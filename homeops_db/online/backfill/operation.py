"""``online.backfill``: fills columns of a table in use, batch by batch."""

from collections.abc import Mapping

from homeops_db.online import subject
from homeops_db.online.backfill import job
from homeops_db.online.backfill.plan import By
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.run import Asked, Run
from homeops_db.online.shown import shown
from homeops_db.online.work import at_work, is_offline
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
    """Fill columns of a table in use."""
    what = f"{schema}.{table_name}" if schema else table_name
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415 - as below

        with writing("backfill", what) as out:
            script.write_backfill(out, (table_name, schema), values, where)
        return Backfilled("backfill", what, changed=True)
    # PostgreSQL's parser is loaded when it is needed: every command imports this module.
    from homeops_db.online.backfill import telling  # noqa: PLC0415

    with at_work("backfill", what) as work:
        table = subject.table_of(work.connection, table_name, schema, must_own=False)
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
        )
        with shown(work) as show:
            return Run(work, filled, table, Asked(workers, by, stripes, vacuum, telling=told.why), show).go()
