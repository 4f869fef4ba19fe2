"""What a backfill is told from another terminal: its run reads it after each batch, or with its next beat."""

from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.types.json import Jsonb

from homeops_db.errors import ObjectError
from homeops_db.history import backfills
from homeops_db.history.backfills import CANCELLED, FAILED, PAUSED, RUNNING, Backfill
from homeops_db.locking.pace import Pace, changed

_TELL: LiteralString = """
update migrations.backfills
set state = %(to)s, finished_at = case when %(to)s = 'cancelled' then clock_timestamp() else finished_at end
where id = %(id)s and state = any(%(from)s)
"""
_RETUNE: LiteralString = """
update migrations.backfills set retuned = retuned || %(pace)s
where id = %(id)s and state in ('running', 'paused', 'failed')
"""


def pause(connection: Connection, backfill_id: int) -> Backfill:
    """Tell a backfill to wait after the batch in hand; a re-run of its revision waits too.

    Raises:
        ObjectError: There is none by that number, or it has ended.
    """
    return _tell(connection, backfill_id, PAUSED, "paused", [RUNNING, PAUSED])


def resume(connection: Connection, backfill_id: int) -> Backfill:
    """Tell a paused backfill to go on.

    Raises:
        ObjectError: There is none by that number, or it has ended.
    """
    return _tell(connection, backfill_id, RUNNING, "resumed", [RUNNING, PAUSED])


def cancel(connection: Connection, backfill_id: int) -> Backfill:
    """Tell a backfill to end after the batch in hand; what it did stays, and its revision fails.

    Raises:
        ObjectError: There is none by that number, or it has ended.
    """
    return _tell(connection, backfill_id, CANCELLED, "cancelled", [RUNNING, PAUSED, FAILED])


def retune(connection: Connection, backfill_id: int, pace: Mapping[str, Any]) -> Backfill:
    """Change limits of a backfill; it sees them with its next heartbeat.

    Args:
        connection: Autocommit.
        backfill_id: Its number.
        pace: Values as `Pace.as_json` has them, only those that change.

    Raises:
        ObjectError: There is none by that number, or it has ended.
        OnlineError: They are malformed, or don't go with its others.
    """
    changed(Pace(), {**backfills.existing(connection, backfill_id).pace, **pace})
    is_told = connection.execute(_RETUNE, {"id": backfill_id, "pace": Jsonb(dict(pace))}).rowcount
    found = backfills.existing(connection, backfill_id)
    if not is_told:
        raise _ended(found, "retuned")
    return found


def _tell(connection: Connection, backfill_id: int, to: str, done: str, states: list[str]) -> Backfill:
    backfills.existing(connection, backfill_id)
    is_told = connection.execute(_TELL, {"id": backfill_id, "to": to, "from": states}).rowcount
    found = backfills.existing(connection, backfill_id)
    if not is_told:
        raise _ended(found, done)
    return found


def _ended(found: Backfill, done: str) -> ObjectError:
    return ObjectError(
        f"Backfill {found.id} of {found.relation} is {found.state}, and can't be {done}. Nothing was "
        f"changed. Look at it: homeops-db backfill show {found.id}"
    )
