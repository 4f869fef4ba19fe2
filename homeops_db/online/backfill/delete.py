"""``online.batched_delete``: removes rows of a table in use, batch by batch."""

from homeops_db.online import subject
from homeops_db.online.backfill import job
from homeops_db.online.backfill.ground import Asked
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.run import Run
from homeops_db.online.shown import shown
from homeops_db.online.work import at_work, is_offline
from homeops_db.online.work import script as writing


def batched_delete(
    table_name: str,
    where: str,
    *,
    schema: str | None = None,
    workers: int = 1,
    vacuum: bool = True,
) -> Backfilled:
    """Remove the rows that meet a condition, while reads and writes go on."""
    what = f"{schema}.{table_name}" if schema else table_name
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415 - loads PostgreSQL's parser

        with writing("batched_delete", what) as out:
            script.write_delete(out, (table_name, schema), where)
        return Backfilled("batched_delete", what, changed=True)
    with at_work("batched_delete", what) as work, shown(work) as show:
        table = subject.table_of(work.connection, table_name, schema, must_own=False)
        removed = job.Job(
            "batched_delete",
            str(table),
            {"where": where},
            job.delete(table.name),
            table.name,
            todo=where,
            is_proven=True,
        )
        asked = Asked(workers, vacuum=vacuum, telling="a row that is removed is done")
        return Run(work, removed, table, asked, show).go()
