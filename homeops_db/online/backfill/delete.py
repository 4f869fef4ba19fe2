"""``online.batched_delete``: removes rows of a table in use, batch by batch."""

from homeops_db.errors import UnsafeError
from homeops_db.online import subject
from homeops_db.online.backfill.asked import Asked, refuse_odd
from homeops_db.online.backfill.result import Backfilled
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
    """Remove the rows that meet a condition, while reads and writes go on.

    ::

        online.batched_delete("transactions", schema="financial",
                              where="NOT EXISTS (SELECT FROM financial.accounts a WHERE a.id = account_id)")

    The table is gone through page by page, and at the end one read of all of it proves that no such row is
    left: rows that come to meet the condition meanwhile go too. Each batch looks at the condition anew. So
    one that reads the table itself sees what batches before have removed: "of each email all rows but the
    first" is safe, "rows whose email is there twice" leaves one of each.

    The rows are gone: no downgrade brings them back. Where one should, copy them before into a table of
    their own by `online.batched_insert`. A table that loses most of its rows keeps its size, as room for new
    ones. Whole partitions or chunks go faster: ``online.detach_partition``, ``drop_chunks``.

    Args:
        table_name: The table; with its partitions, chunks or inheritance children.
        where: The condition in SQL; it names a column of the table.
        schema: The table's schema; by the search path when None.
        workers: How many connections delete at once.
        vacuum: Whether each table is vacuumed and analyzed at the end.

    How hard it pushes is said by `online.pace`; it is steered by ``homeops-db backfill``.

    Returns:
        What was done; ``rows`` are those of this table, without what foreign keys removed with them.
        ``changed`` is False when there was nothing to do.

    Raises:
        ObjectError: No such table; the server can't read the condition; a privilege is missing.
        UnsafeError: The condition is the same for every row; a foreign key without an index would read
            another table for each row, for more than an hour; row-level security would hide rows.
            Nothing was changed.
        ViolationError: More rows than ``pace(max_errors=…)`` allows can't be removed, because others refer to
            them or a trigger objects. The others stay removed.
        LockTimeoutError: A row wasn't to be had, or it had to wait for too long. What was removed stays so.
        OnlineError: It was cancelled, or the server refused something else.

    Locks: the rows of a batch (FOR UPDATE) and ROW EXCLUSIVE on the table, for about 20 ms at a time; with
    foreign keys that cascade, the rows that go with them. SHARE UPDATE EXCLUSIVE during VACUUM. At the end,
    transactions that have written to the table and not yet ended are waited for, by looking. A re-run goes on
    with what it finds. Method: that of `online.backfill`, without stripes: nothing is updated in place.
    """
    # The engine is loaded when it is needed: every command that reads the revisions imports this module.
    from homeops_db.online.backfill import job  # noqa: PLC0415
    from homeops_db.online.backfill.run import Run  # noqa: PLC0415

    refuse_odd(workers, None)
    what = f"{schema}.{table_name}" if schema else table_name
    _refuse_all(what, where)
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415 - loads PostgreSQL's parser

        with writing("batched_delete", what) as out:
            script.write_delete(out, (table_name, schema), where, vacuum=vacuum)
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
            of={"table": table.oid},
        )
        asked = Asked(workers, vacuum=vacuum, telling="a row that is removed is done")
        return Run(work, removed, table, asked, show).go()


def _refuse_all(what: str, where: str) -> None:
    """Refuse what isn't one condition, and one that is the same for every row.

    Raises:
        ObjectError: It is something else, or more.
        UnsafeError: It names no column, so it can only mean all rows or none.
    """
    from homeops_db.online.backfill import syntax  # noqa: PLC0415 - loads PostgreSQL's parser

    condition = syntax.condition(where, "The condition where=")
    if not any(syntax.column_path(node) for node in syntax.nodes(condition)):
        raise UnsafeError(
            f"The condition {where!r} names no column of {what}, so it means every row, those too that come "
            "meanwhile, or none. Nothing was changed. A whole table is emptied in an instant by "
            'op.execute("TRUNCATE …"); for batches, say which rows: "id <= 1000".'
        )
