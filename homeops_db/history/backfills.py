"""The state of backfills in schema ``migrations``: written by their runs, read by everybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from homeops_db.catalog import relations
from homeops_db.errors import ObjectError
from homeops_db.history import tables
from homeops_db.naming import LEDGER_SCHEMA

DDL: Final = Path(__file__).with_name("backfills.sql").read_text(encoding="utf-8")
RUNNING: Final = "running"
PAUSED: Final = "paused"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
REPLACED: Final = "replaced"
DONE: Final = "done"

ROWS: LiteralString = """
select id, operation, relation, version, fingerprint, definition, state, phase, waiting_for, retuned,
       pace || retuned as pace, workers, plan, epoch, estimated_rows, rows_per_second, seconds_left_low,
       seconds_left_high, run_by, client, detail, started_at, heartbeat_at, finished_at,
       extract(epoch from clock_timestamp() - heartbeat_at)::float8 as heartbeat_age,
       coalesce(r.rows_done, 0)::bigint as rows_done, coalesce(r.ranges, 0)::int as ranges,
       coalesce(r.ranges_done, 0)::int as ranges_done, coalesce(r.share_done, 0)::float8 as share_done,
       (select count(*) from migrations.backfill_errors e where e.backfill_id = b.id)::int as errors
from migrations.backfills b
left join lateral (
    select sum(rows_done) as rows_done, count(*) as ranges, count(*) filter (where is_done) as ranges_done,
           avg(share_done) filter (where not is_closing) as share_done
    from migrations.backfill_ranges r where r.backfill_id = b.id
) r on true
"""
_ONE: LiteralString = ROWS + "where b.id = %(id)s"
_OF_FINGERPRINT: LiteralString = (
    ROWS + "where b.fingerprint = %(fingerprint)s and b.state <> 'replaced' order by b.id desc limit 1"
)
_INSERT: LiteralString = """
insert into migrations.backfills
    (operation, relation, version, fingerprint, definition, pace, workers, client)
values (%(operation)s, %(relation)s, %(version)s, %(fingerprint)s, %(definition)s, %(pace)s, %(workers)s,
        %(client)s) returning id
"""
_REPLACE: LiteralString = """
update migrations.backfills set state = 'replaced', finished_at = clock_timestamp()
where version = %(version)s and operation = %(operation)s and relation = %(relation)s
  and fingerprint <> %(fingerprint)s and state not in ('done', 'replaced')
"""
# Whoever takes a run over renames its epoch: a batch of the run before, should it still be under way,
# is waited for, and a later one finds that it is no longer meant.
_TAKE_OVER: LiteralString = """
update migrations.backfills
set epoch = epoch + 1, state = case when state = 'paused' then state else 'running' end,
    run_by = current_user, client = %(client)s, pace = %(pace)s, workers = %(workers)s, detail = null,
    finished_at = null, heartbeat_at = clock_timestamp(), phase = 'starting', waiting_for = null
where id = %(id)s
returning epoch
"""
_RENAME: LiteralString = "update migrations.backfill_ranges set epoch = %(epoch)s where backfill_id = %(id)s"
_SKIPPED: LiteralString = """
select count(*) from migrations.backfill_errors where backfill_id = %(id)s and was_skipped
"""
_CLEAR: LiteralString = """
delete from migrations.backfill_errors
where backfill_id = %(id)s and not (was_skipped and %(keep_skipped)s)
"""
_BEAT: LiteralString = """
update migrations.backfills
set heartbeat_at = clock_timestamp(), phase = %(phase)s, waiting_for = %(waiting_for)s, plan = %(plan)s,
    estimated_rows = %(estimated_rows)s, rows_per_second = %(rows_per_second)s,
    seconds_left_low = %(seconds_left_low)s, seconds_left_high = %(seconds_left_high)s
where id = %(id)s and epoch = %(epoch)s
returning state, pace || retuned as pace
"""
_END: LiteralString = """
update migrations.backfills
set state = %(state)s, phase = '', waiting_for = null, detail = %(detail)s, finished_at = clock_timestamp(),
    heartbeat_at = clock_timestamp(), seconds_left_low = null, seconds_left_high = null
where id = %(id)s and epoch = %(epoch)s and (state <> 'cancelled' or %(state)s = 'done')
"""


@dataclass(frozen=True)
class Backfill:
    """One backfill with what its ranges add up to.

    Attributes:
        state: What it is, or is told to be: running, paused, failed, cancelled, replaced, done.
        phase: What a running one does: starting, filling, waiting for writers, closing, vacuum.
        waiting_for: Why it waits at this moment, if it does.
        pace: The limits in force: what the author asked for, and over it what an operator changed.
        retuned: What an operator changed; it outlives the run.
        plan: How it goes through each table, and why.
        heartbeat_age: Seconds since its run last said that it lives, by the server's clock.
        share_done: How much of its ranges is done, 0 to 1.
    """

    id: int
    operation: str
    relation: str
    version: str | None
    fingerprint: str
    definition: dict[str, Any]
    state: str
    phase: str
    waiting_for: str | None
    pace: dict[str, Any]
    retuned: dict[str, Any]
    workers: int
    plan: str
    epoch: int
    estimated_rows: int | None
    rows_per_second: float | None
    seconds_left_low: float | None
    seconds_left_high: float | None
    run_by: str
    client: str | None
    detail: str | None
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    heartbeat_age: float
    rows_done: int
    ranges: int
    ranges_done: int
    share_done: float
    errors: int

    def __str__(self) -> str:
        return f"{self.operation} {self.id} of {self.relation}"


@dataclass(frozen=True)
class Told:
    """What a running backfill is told with each heartbeat. ``None`` in place of it: another run has it."""

    state: str
    pace: dict[str, Any]


def lock_key(fingerprint: str) -> int:
    """Give the key of the advisory lock for a fingerprint: 63 bits of it."""
    return int(fingerprint[:16], 16) & (2**63 - 1)


def is_ready(connection: Connection) -> bool:
    """Tell whether the tables are there. Takes no lock."""
    return relations.exists(connection, f"{LEDGER_SCHEMA}.backfill_errors")


def ensure(connection: Connection) -> None:
    """Make the tables where they are missing. Called by the holder of the migration lock.

    Raises:
        DatabaseError: The role may not make them.
    """
    if not is_ready(connection):
        tables.make(connection, DDL)


def one(connection: Connection, backfill_id: int) -> Backfill | None:
    """Read a backfill by its number."""
    with connection.cursor(row_factory=class_row(Backfill)) as cursor:
        return cursor.execute(_ONE, {"id": backfill_id}).fetchone()


def existing(connection: Connection, backfill_id: int) -> Backfill:
    """Read a backfill by a number that somebody gave.

    Raises:
        ObjectError: There is none by that number.
    """
    found = one(connection, backfill_id) if is_ready(connection) else None
    if found is None:
        raise ObjectError(
            f"There is no backfill {backfill_id}. Nothing was changed. They are listed by: "
            "homeops-db backfill list"
        )
    return found


def of_fingerprint(connection: Connection, fingerprint: str) -> Backfill | None:
    """Read the newest backfill that does exactly this."""
    with connection.cursor(row_factory=class_row(Backfill)) as cursor:
        return cursor.execute(_OF_FINGERPRINT, {"fingerprint": fingerprint}).fetchone()


def begin(connection: Connection, **values: Any) -> int:
    """Write a new backfill down, and give its number; one of the same revision that did otherwise ends.

    ``values`` are operation, relation, version, fingerprint, definition, pace, workers, client.
    """
    given = {**values, "definition": Jsonb(values["definition"]), "pace": Jsonb(values["pace"])}
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        cursor.execute(_REPLACE, given)
        return int(cursor.execute(_INSERT, given).fetchone() or 0)


def take_over(
    connection: Connection, backfill_id: int, *, client: str, pace: Mapping[str, Any], workers: int
) -> int:
    """Make a backfill ours, and give the new epoch. Waits for a batch of the run before that is under way."""
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        given = {"id": backfill_id, "client": client, "pace": Jsonb(dict(pace)), "workers": workers}
        epoch = int(cursor.execute(_TAKE_OVER, given).fetchone() or 0)
        cursor.execute(_RENAME, {"id": backfill_id, "epoch": epoch})
        return epoch


def skipped(connection: Connection, backfill_id: int) -> int:
    """Count the rows that were passed over."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(_SKIPPED, {"id": backfill_id}).fetchone() or 0)


def clear_errors(connection: Connection, backfill_id: int, *, keep_skipped: bool) -> None:
    """Forget the rows that could not be done: a new run finds them again.

    With ``keep_skipped``, those that it goes on behind are kept.
    """
    connection.execute(_CLEAR, {"id": backfill_id, "keep_skipped": keep_skipped})


def beat(connection: Connection, backfill_id: int, epoch: int, **values: Any) -> Told | None:
    """Show how it goes, and read what it is told; None when another run has taken it over."""
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(_BEAT, {"id": backfill_id, "epoch": epoch, **values}).fetchone()


def end(connection: Connection, backfill_id: int, epoch: int, state: str, detail: str | None = None) -> None:
    """Write down how it ended."""
    connection.execute(_END, {"id": backfill_id, "epoch": epoch, "state": state, "detail": detail})
