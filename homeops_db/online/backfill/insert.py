"""``online.batched_insert``: copies rows into a table in use, batch by batch."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, get_args

import sqlalchemy as sa
from psycopg import Connection

from homeops_db.catalog import tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online import subject
from homeops_db.online.backfill.asked import Asked, refuse_odd
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.shown import shown
from homeops_db.online.work import at_work, is_offline
from homeops_db.online.work import script as writing

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
    """Copy the rows of a select into a table, while reads and writes go on.

    ::

        online.batched_insert("items", "SELECT title, type, library_id FROM temp_media_import",
                              schema="media")

    The first table of the select's FROM is gone through batch by batch; what the select joins or looks up
    is read as it is at each batch. So a select that gives other rows in batches than at once (GROUP BY,
    DISTINCT, LIMIT, window functions) is refused.

    Where that table has a unique key without nulls, it is gone through by it, while others read and write.
    A row that was committed before the call, and that nobody touches until the end, is copied exactly once.
    Of what others write meanwhile nothing is promised but this: a row is copied as it is when its batch
    comes, and rows with keys behind the last one at the start are not. A row that gets another key meanwhile
    may be missed, or copied twice.

    Where it has none (an import, a staging table), only its pages tell what is done. Then nobody may write
    to it until the end: writers wait. Should the lock be lost on the way, or a run be broken off, then the
    rows themselves are asked whether anybody has written since; only if not, it goes on. A ``--sql`` script
    can't do that, and refuses such a table when it runs.

    Args:
        table_name: The table that the rows go into; partitions get theirs. Its defaults, identity and
            triggers do what they do.
        select: One SELECT, as SQL or as SQLAlchemy's; the names in it are found by the search path.
        schema: The schema of ``table_name``; by the search path when None.
        columns: Those that get the select's outputs, in their order. When None: the columns that the
            outputs are named like, or all in their own order where an output has no name.
        on_conflict: "error", or "nothing" to leave a row as it is whose unique key is there already.
        workers: How many connections copy at once.
        vacuum: Whether the table is vacuumed and analyzed at the end.

    How hard it pushes is said by `online.pace`; it is steered by ``homeops-db backfill``.

    Returns:
        What was done; ``rows`` are those that were inserted. ``changed`` is False where there were none, or
        an interrupted run of the same revision had inserted them.

    Raises:
        ObjectError: No such table or column; the server can't read the select; the rows come from the table
            that they go into; a privilege is missing; or a run was broken off, and nobody can tell any more
            which rows it has copied.
        UnsafeError: The select would give other rows in batches; row-level security would hide some; a disk
            would be full. Nothing was changed.
        ViolationError: More rows are turned away (by a constraint, a type, a trigger) than
            ``pace(max_errors=…)`` allows; they are named by the key of the table that they come from.
        LockTimeoutError: A lock wasn't to be had, or it had to wait for too long. What was copied stays.
        OnlineError: It was cancelled, or the lock on a table without a key was lost and somebody wrote.

    Locks: ROW EXCLUSIVE on the table that is filled and ACCESS SHARE on those that are read, for about 20 ms
    at a time; what foreign keys and triggers of the first one take. SHARE UPDATE EXCLUSIVE on it during
    VACUUM. A table without a key is locked in SHARE from the beginning to the end, and while it waits or is
    paused too: reads go on, writes wait.

    A re-run goes on where the last batch was committed. It begins anew where the table was made anew, or is
    empty although rows were copied; and where a changed table without a key is copied with
    ``on_conflict="nothing"`` into one whose key tells the rows apart. Its downgrade is `batched_delete`, or
    dropping the table. Method: https://www.postgresql.org/docs/17/sql-select.html, piece by piece as
    `backfill` does it.
    """
    refuse_odd(workers, None)
    _refuse_options(columns, on_conflict)
    what = f"{schema}.{table_name}" if schema else table_name
    # The engine is loaded when it is needed: every command that reads the revisions imports this module.
    from homeops_db.online.backfill import source  # noqa: PLC0415
    from homeops_db.online.backfill.copying import Copying  # noqa: PLC0415
    from homeops_db.online.backfill.run import Run  # noqa: PLC0415

    read = source.read(select)
    names = columns if columns is not None else read.columns
    if is_offline():
        from homeops_db.online.backfill import script  # noqa: PLC0415

        with writing("batched_insert", what) as out:
            script.write_insert(out, (table_name, schema), read, names, on_conflict, vacuum=vacuum)
        return Backfilled("batched_insert", what, changed=True)
    with at_work("batched_insert", what) as work, shown(work) as show, ExitStack() as stack:
        target = subject.table_of(work.connection, table_name, schema, must_own=False)
        root = subject.table_of(work.connection, read.name, read.schema, must_own=False)
        _refuse_circle(work.connection, root, target)
        source.check(work.connection, read)
        copying = Copying(work, root, target, read, names, on_conflict == "nothing")
        job = copying.job(stack)
        asked = Asked(workers, vacuum=vacuum, is_only=read.is_only, telling=copying.telling)
        return Run(work, job, root, asked, show).go()


def _refuse_options(columns: Sequence[str] | None, on_conflict: str) -> None:
    if on_conflict not in get_args(OnConflict):
        raise ObjectError(
            f'on_conflict is {on_conflict!r}: it must be "error" or "nothing". Nothing was changed. Check '
            "the revision."
        )
    if columns is not None and (isinstance(columns, str) or not columns):
        raise ObjectError(
            f"columns is {columns!r}: it must be a list of names, or be left out. Nothing was changed. Check "
            "the revision."
        )


def _refuse_circle(connection: Connection, root: Table, target: Table) -> None:
    """Refuse to copy a table into itself: each batch would meet the rows of those before."""
    source, filled = ({part.oid for part in tables.tree(connection, table.oid)} for table in (root, target))
    if source & filled:
        raise ObjectError(
            f"The rows come from {root} and go into {target}, which is the same table or a part of it: each "
            "batch would meet the rows of those before. Nothing was changed. Send it as one statement by "
            "op.execute(), or copy the rows into a table of their own first."
        )
