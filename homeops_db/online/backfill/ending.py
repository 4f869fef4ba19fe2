"""How a run ends when it doesn't end well: written down, and said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

from homeops_db.errors import HomeOpsError, LockTimeoutError, OnlineError, ViolationError
from homeops_db.history import backfills
from homeops_db.online.backfill.keeper import Keeper
from homeops_db.online.backfill.worker import RowFailed, Shared


@contextmanager
def written_down(keeper: Keeper, shared: Shared) -> Iterator[None]:
    """Write down how a run failed, and raise it as an error of ours.

    Where the server is gone, its row goes on saying that it runs; and nobody holds its lock, so everybody
    sees that it doesn't.
    """
    try:
        yield
    except BaseException as raised:
        error = _in_our_words(raised, shared)
        detail = " ".join(str(error).split()) or type(error).__name__
        with suppress(psycopg.Error, HomeOpsError):
            backfills.end(keeper.connection, shared.backfill_id, shared.epoch, backfills.FAILED, detail)
        raise error from (None if error is raised else raised)


def refuse_cancelled(shared: Shared) -> None:
    """Raise what ends a run that was told to end."""
    if shared.control.is_stopped:
        raise OnlineError(
            f"Backfill {shared.backfill_id} of {shared.job.subject} was cancelled. {_kept(shared)} A re-run "
            "of the revision goes on from there."
        )


def _in_our_words(error: BaseException, shared: Shared) -> BaseException:
    name = f"Backfill {shared.backfill_id} of {shared.job.subject}"
    if isinstance(error, RowFailed):
        return ViolationError(
            f"{name}: a row can't be done: {error.name}: {_said(error.error)}. {_kept(shared)} Mend the row, "
            "or let some be passed over with online.pace(max_errors=…), then run the same command again: it "
            "goes on from there."
        )
    if isinstance(error, LockNotAvailable | DeadlockDetected | SerializationFailure):
        return LockTimeoutError(
            f"{name}: a row was not to be had: {_said(error)}. {_kept(shared)} Look who holds it in "
            "pg_stat_activity, then run the same command again: it goes on from there."
        )
    if isinstance(error, psycopg.Error):
        return OnlineError(
            f"{name} stopped: {_said(error)}. {_kept(shared)} Mend the cause, then run the same command "
            "again: it goes on from there."
        )
    return error


def _kept(shared: Shared) -> str:
    return f"{shared.control.rows:,} rows were done by this run, and stay."


def _said(error: psycopg.Error) -> str:
    text = error.diag.message_primary or (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{text} (SQLSTATE {error.sqlstate})" if error.sqlstate else text
