"""One batch: a single round trip that does the rows and moves the position, or neither."""

import time
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from homeops_db.online.backfill.axis import Place
from homeops_db.online.backfill.job import Job, relation
from homeops_db.online.backfill.position import Position
from homeops_db.online.backfill.ranges import Range

# The range's row is locked first: whoever takes the run over waits for the batch, or the batch finds another
# epoch and does nothing. By the number of batches, one that is sent again after its connection broke finds
# that the server has done it all the same. pg_stat_get_xact_… counts this session's own work.
#
# A function, and not one statement of CTEs: that would need RETURNING to count the rows, which costs 8 % of
# the whole (measured). It belongs to the session, and is gone with it.
_FUNCTION: LiteralString = """
CREATE OR REPLACE FUNCTION pg_temp.homeops_batch(
    leaf oid, range_id bigint, our_epoch bigint, our_batches bigint, moved jsonb, is_last boolean,
    reached float8, looks boolean, work text,
    OUT row_count bigint, OUT unchanged bigint, OUT told text, OUT hot bigint
) RETURNS SETOF record LANGUAGE plpgsql AS $homeops$
DECLARE
    backfill bigint;
BEGIN
    SELECT r.backfill_id INTO backfill FROM migrations.backfill_ranges r
    WHERE r.id = range_id AND r.epoch = our_epoch AND r.batches = our_batches FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF looks THEN
        EXECUTE work INTO row_count, unchanged;
    ELSE
        EXECUTE work;
        GET DIAGNOSTICS row_count = ROW_COUNT;
        unchanged := 0;
    END IF;
    UPDATE migrations.backfill_ranges r
    SET position = moved, is_done = is_last, share_done = reached, batches = r.batches + 1,
        rows_done = r.rows_done + row_count, rows_unchanged = r.rows_unchanged + unchanged
    WHERE r.id = range_id;
    SELECT b.state, pg_stat_get_xact_tuples_hot_updated(leaf) INTO told, hot
    FROM migrations.backfills b WHERE b.id = backfill;
    RETURN NEXT;
END $homeops$
"""
_CALL: Final = sql.SQL("""
SELECT row_count, unchanged, told, hot
FROM pg_temp.homeops_batch(
    {oid}, {range}, {epoch}, {batches}, {position}, {is_done}, {share}, {looks}, {work}
)
""")
_LOOKING: Final = sql.SQL("""
WITH homeops_done AS ({work} RETURNING {still} AS still)
SELECT count(*), count(*) FILTER (WHERE still) FROM homeops_done
""")
_OTHERS: LiteralString = """
select count(*) from migrations.backfill_errors e
join migrations.backfill_ranges r on r.backfill_id = e.backfill_id
where r.id = %s and e.was_skipped and (e.relation, e.key) <> (%s, %s)
"""
_SKIP: Final = sql.SQL("""
WITH homeops_moved AS (
    UPDATE migrations.backfill_ranges r
    SET position = {position}, is_done = {is_done}, batches = r.batches + 1
    WHERE r.id = {range} AND r.epoch = {epoch} AND r.batches = {batches}
    RETURNING r.backfill_id
)
INSERT INTO migrations.backfill_errors (backfill_id, relation, key, sqlstate, message, was_skipped)
SELECT m.backfill_id, {name}, {key}, {sqlstate}, {message}, {skipped} FROM homeops_moved m
ON CONFLICT (backfill_id, relation, key) DO UPDATE
SET sqlstate = excluded.sqlstate, message = excluded.message, was_skipped = excluded.was_skipped,
    happened_at = clock_timestamp()
""")


@dataclass(frozen=True)
class Outcome:
    """What a batch did.

    Attributes:
        rows: Rows done.
        unchanged: Of these, rows that would be done again.
        state: What the backfill is told to be: running, paused, cancelled.
        hot: A counter of this session's updates that stayed on their page.
        seconds: How long it took.
    """

    rows: int
    unchanged: int
    state: str
    hot: int
    seconds: float


@dataclass(frozen=True)
class FailedRow:
    """A row that can't be done: its key, in words, and whether it was passed over."""

    name: str
    was_skipped: bool


def condition(range_: Range, upto: Place | None) -> sql.Composable:
    """Write the condition of a batch: from the position up to ``upto``, or to the window's end."""
    at = range_.position
    return (
        range_.axis.between(at.begin, upto or at.high)
        + sql.SQL(" AND ")
        + range_.axis.in_stripe(at.stripe, at.stripes)
    )


def prepare(connection: Connection) -> None:
    """Give a session what :func:`run` calls."""
    connection.execute(_FUNCTION)


def run(connection: Connection, job: Job, range_: Range, epoch: int, upto: Place | None) -> Outcome | None:
    """Do one batch. Locks the rows that it does, ROW EXCLUSIVE on their table, until its end.

    Args:
        connection: In autocommit.
        job: What is done.
        range_: Where; its position is moved.
        epoch: Of our run.
        upto: Where the batch ends; with the window when None.

    Returns:
        What it did; None when nothing was done: the range is elsewhere already, or another run's.

    Raises:
        psycopg.Error: Nothing was done, or, where the connection is lost, nobody knows.
    """
    after = range_.position.done_up_to(upto)
    todo = job.condition if range_.is_closing else job.first_condition
    work = job.statement(range_.table, sql.SQL(" AND ").join([condition(range_, upto), todo]))
    looks = job.tells_still and (range_.is_closing or not job.is_proven)
    if looks:
        work = _LOOKING.format(work=work, still=job.still)
    statement = _CALL.format(
        oid=range_.table.oid,
        range=range_.id,
        epoch=epoch,
        batches=range_.batches,
        position=Jsonb(after.as_json()),
        is_done=_is_done(range_, after),
        share=range_.share(after),
        work=work.as_string(connection),
        looks=looks,
    )
    began = time.perf_counter()
    found = connection.execute(statement).fetchone()
    if found is None:
        return None
    _move(range_, after)
    range_.rows_done += found[0]
    range_.rows_unchanged += found[1]
    range_.batches += 1
    rows, unchanged, state, hot = found
    return Outcome(rows, unchanged, state, hot, time.perf_counter() - began)


def record_error(
    connection: Connection, range_: Range, epoch: int, upto: Place, error: psycopg.Error, *, most: int
) -> FailedRow:
    """Write down the one row of a batch that can't be done, and go on behind it if so many may fail.

    Args:
        connection: In autocommit.
        range_: Where the row is.
        epoch: Of our run.
        upto: The row's place.
        error: What the server said.
        most: How many rows may fail, in all runs and all ranges.
    """
    where = condition(range_, upto)
    key = range_.axis.name(connection, relation(range_.table), where)
    key = key or dict(zip(range_.axis.columns, upto, strict=True))
    others = connection.execute(_OTHERS, (range_.id, str(range_.table), Jsonb(key))).fetchone()
    skip = others is not None and others[0] < most
    after = range_.position.done_up_to(upto) if skip else range_.position
    connection.execute(
        _SKIP.format(
            position=Jsonb(after.as_json()),
            is_done=_is_done(range_, after),
            range=range_.id,
            epoch=epoch,
            batches=range_.batches,
            name=str(range_.table),
            key=Jsonb(key),
            sqlstate=error.sqlstate or "",
            message=error.diag.message_primary or type(error).__name__,
            skipped=skip,
        )
    )
    _move(range_, after)
    range_.batches += 1
    return FailedRow(", ".join(f"{name} = {value}" for name, value in key.items()), skip)


def _is_done(range_: Range, position: Position) -> bool:
    return not position.is_open and position.low == range_.high


def _move(range_: Range, after: Position) -> None:
    range_.position = after
    range_.is_done = _is_done(range_, after)
