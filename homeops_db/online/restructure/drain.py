"""The drain: rows whose keys were written down are carried over, until none is left."""

import logging
import time
from collections.abc import Iterator
from typing import Final, LiteralString

from psycopg import Connection, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from psycopg.rows import scalar_row

from homeops_db import faults
from homeops_db.catalog import heap, tables
from homeops_db.errors import LockTimeoutError
from homeops_db.locking.wanted import limit
from homeops_db.online.restructure import rows
from homeops_db.online.restructure.sides import LOG, Side
from homeops_db.online.work import Work

_PAGES: Final = 2
"""Pages of keys that are carried over in one transaction: some hundreds, whose rows are locked meanwhile."""

_ISOLATION: LiteralString = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_PAUSE: Final = 0.02  # seconds

# First the application's row, then its twin, as a writer has them. A row that isn't there is none of ours:
# who inserts it now carries it over himself. With the row locked nobody else carries it; with the twin locked
# nobody makes it anew before we are done.
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {name}(homeops_first tid, homeops_end tid) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS {body}
"""
_BODY: Final = """
DECLARE
    one record;
    code text;
    said text;
    is_there boolean;
    carried bigint := 0;
BEGIN
    FOR one IN
        WITH gone AS (DELETE FROM {log} WHERE ctid >= homeops_first AND ctid < homeops_end RETURNING *)
        SELECT DISTINCT * FROM gone ORDER BY {order}
    LOOP
        carried := carried + 1;
        PERFORM FROM {only}{here} AS live WHERE {is_live} FOR SHARE;
        is_there := FOUND;
        PERFORM FROM {shadow} AS twin WHERE {is_twin} FOR UPDATE;
        BEGIN
            IF is_there THEN
                PERFORM {refresh}({values});
            ELSE
                DELETE FROM {shadow} AS twin WHERE {is_twin}
                AND NOT EXISTS (SELECT FROM {only}{here} AS live WHERE {is_live});
            END IF;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                RAISE;
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT;
                INSERT INTO migrations.change_errors (change_id, relation, key, sqlstate, message)
                VALUES ({change}, {relation}, to_jsonb(one), code, said);
        END;
    END LOOP;
    RETURN carried;
END
"""


def name(side: Side) -> str:
    """Name the function, as SQL."""
    return f"migrations.drain_{side.change_id}"


def functions(side: Side) -> Iterator[str]:
    """Write the functions by which rows are carried over."""
    values = [f"one.{sql.Identifier(key).as_string()}" for key in side.live.key]
    own = dict(zip((given for given, _ in rows.parameters(side)), values, strict=True))
    body = _BODY.format(
        log=side.log,
        order=", ".join(str(number) for number, _ in enumerate(values, 1)),
        only=side.only,
        here=side.here,
        shadow=side.shadow,
        is_live=rows.is_live(side, own),
        is_twin=rows.is_twin(side, own),
        refresh=rows.refresh_name(side),
        values=", ".join(values),
        change=side.change_id,
        relation=sql.Literal(str(side.table)).as_string(),
    )
    yield rows.refresh(side)
    yield _FUNCTION.format(name=name(side), body=sql.Literal(body).as_string())


def drop_functions(side: Side) -> Iterator[str]:
    """Write the statements that drop them: on the other side the key may have another type."""
    types = ", ".join(field.type for _, field in rows.parameters(side))
    yield f"DROP FUNCTION IF EXISTS {rows.refresh_name(side)}({types})"
    yield f"DROP FUNCTION IF EXISTS {name(side)}(tid, tid)"


def drain(work: Work, side: Side) -> None:
    """Carry over rows until no key is left; a row that the shadow can't hold is noted.

    Locks: the rows of some hundreds of keys at once, FOR SHARE, for some milliseconds. Who is in the way is
    waited for no longer than lock_timeout, again and again.

    Raises:
        LockTimeoutError: A row wasn't to be had for ``give_up_after``.
    """
    found = tables.table(work.connection, LOG, side.schema)
    assert found is not None
    since = time.monotonic()
    while True:
        carried = 0
        for first in range(0, heap.blocks(work.connection, found.oid), _PAGES):
            done = _window(work, side, first)
            if done is not None:
                carried, since = carried + done, time.monotonic()
            elif time.monotonic() - since > work.policy.give_up_after.total_seconds():
                raise LockTimeoutError(
                    f"Rows of {side.table} are locked for longer than give_up_after allows, and they must be "
                    "carried over before the switch. Nothing was switched. Look who holds them "
                    "(homeops-db status), then run the same command again.",
                    tries=1,
                )
        if not pending(work.connection, side):
            return
        if carried:
            logging.getLogger(__name__).info("%s: %d rows carried over", side.table, carried)


def pending(connection: Connection, side: Side) -> bool:
    """Whether keys are written down whose rows aren't carried over."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(f"SELECT EXISTS (SELECT FROM {side.log})".encode()).fetchone())


def _window(work: Work, side: Side, first: int) -> int | None:
    """Carry over the rows of some pages of keys; None where somebody is in the way."""
    try:
        with work.connection.transaction():
            work.connection.execute(_ISOLATION)  # each statement sees what was committed before it
            limit(work.connection, work.policy.lock_timeout)
            with work.connection.cursor(row_factory=scalar_row) as cursor:
                call = f"SELECT {name(side)}('({first},0)', '({first + _PAGES},0)')"
                return int(cursor.execute(call.encode()).fetchone() or 0)
    except (LockNotAvailable, DeadlockDetected):
        faults.point("restructure: drain held back")
        time.sleep(_PAUSE)
        return None
