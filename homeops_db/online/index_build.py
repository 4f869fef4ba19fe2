"""Builds one index CONCURRENTLY: watched, tried again, and nothing INVALID is left where that can be."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, DuplicateTable, QueryCanceled, UniqueViolation

from homeops_db.catalog import indexes, locks, progress, tables
from homeops_db.catalog.indexes import Index
from homeops_db.catalog.progress import Build
from homeops_db.catalog.tables import Table
from homeops_db.errors import LockTimeoutError, ObjectError
from homeops_db.locking import report
from homeops_db.locking.look import Patience
from homeops_db.locking.wanted import Wanted
from homeops_db.online import duplicates, index_watch
from homeops_db.online.work import Statement, Work

CLEANING: Final = timedelta(seconds=2)
_FORGOTTEN_MS: Final = 1000

_KINDS: Final = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "S": "sequence"}

Tell = Callable[[Build], None]


def lookup(work: Work, name: str, table: Table, meaning: str) -> Index | None:
    """Look for an index under its name, before it is built.

    Returns:
        It, if it is there, or what a failed build left of it; None when the name is free.

    Raises:
        ObjectError: Another relation has that name: another index, one of another table, a table.
    """
    found = indexes.index(work.connection, name, table.schema)
    if found is None:
        taken = tables.table(work.connection, name, table.schema)
        if taken is not None:
            raise ObjectError(
                f"{taken} is there already, as a {_KINDS.get(taken.kind, 'relation')}. Nothing was changed. "
                "Give the index another name."
            )
        return None
    if found.table_oid != table.oid or (found.is_valid and found.definition != meaning):
        raise ObjectError(
            f"There is an index {found} already, and it is another one: {found.sql}. Nothing was changed. "
            "Give the new one another name, or drop the old one first with online.drop_index()."
        )
    return found


def ensure(work: Work, table: Table, name: str, statement: Statement, *, meaning: str, tell: Tell) -> None:
    """Build an index on one table unless it is there and valid; what a failed build left is dropped first.

    Raises:
        ObjectError: The name is taken, or another session builds it now.
        LockTimeoutError: Somebody's transaction didn't end.
        ViolationError: It is unique, and rows have equal keys.
    """
    found = lookup(work, name, table, meaning)
    if found is not None and found.is_valid:
        return
    refuse_endless(work, table, "CREATE INDEX CONCURRENTLY", locks.SHARE)
    if found is not None:
        refuse_builders(work, found)
        drop(work, found, step="drop leftover")
    _build(work, table, name, statement, tell)


def refuse_builders(work: Work, found: Index) -> None:
    """Refuse to touch an INVALID index that another session is building.

    Raises:
        ObjectError: There is such a session.
    """
    pids = _builders(work, found)
    if pids:
        raise ObjectError(
            f"Another session, pid {pids[0]}, is building index {found} right now. Nothing was changed. Let "
            f"it finish, or end it: SELECT pg_terminate_backend({pids[0]}); then run the same command again."
        )


def _builders(work: Work, found: Index) -> list[int]:
    ours = work.observer.pid
    return work.observer.ask(
        lambda connection: progress.builders(connection, index=found.oid, table=found.table_oid, ours=ours)
    )


def refuse_endless(work: Work, table: Table, what: str, mode: str) -> None:
    """Refuse early to wait for what won't end: a prepared transaction, a VACUUM against wraparound.

    Args:
        work: The operation.
        table: The table; ``what`` waits for whoever holds it.
        what: The statement.
        mode: The lock that conflicts with what is waited for.

    Raises:
        LockTimeoutError: There is one, and it isn't just on its way.
    """
    ours = work.observer.pid
    for holder in work.observer.ask(
        lambda connection: locks.holders(connection, [table.oid], mode, ours=ours)
    ):
        lasts = holder.prepared is not None or holder.is_wraparound
        if lasts and (holder.age_ms is None or holder.age_ms > _FORGOTTEN_MS):
            wanted = Wanted(table, mode, (table.oid,))
            raise report.endless(what=f"{what}, which waits like {wanted},", blocker=holder, tries=0)


def drop(work: Work, found: Index, *, step: str, give_up_after: timedelta | None = None) -> None:
    """Drop an index of an ordinary table concurrently.

    Raises:
        LockTimeoutError: A transaction that may use it didn't end; it is INVALID then.
    """
    name = sql.Identifier(found.schema, found.name)
    statement = sql.SQL("DROP INDEX CONCURRENTLY {}").format(name)
    patiently(
        work,
        statement,
        step=step,
        what=f"DROP INDEX CONCURRENTLY {found} waits for every transaction that holds {found.table}",
        cleaned=lambda: f"Index {found} is INVALID now: it serves no read, and the next run drops it.",
        give_up_after=give_up_after,
    )


def patiently(
    work: Work,
    statement: Statement,
    *,
    step: str,
    what: str,
    cleaned: Callable[[], str],
    tell: Tell = lambda _build: None,
    give_up_after: timedelta | None = None,
) -> None:
    """Send a long statement, watched; after a deadlock it is sent again.

    Args:
        work: The operation.
        statement: It waits for others, and nobody waits for it.
        step: What it is, for the points of fault injection.
        what: What waits for what, for the report.
        cleaned: Is called after each failure: takes away what is left, and says in words what isn't.
        tell: Is told how far an index build is.
        give_up_after: The longest wait; the policy's when None.

    Raises:
        LockTimeoutError: It waited longer.
        psycopg.Error: Whatever else the server says.
    """
    patience = Patience(work.policy)
    while True:
        patience.tries += 1
        watch = None
        try:
            with index_watch.watching(work, tell, give_up_after=give_up_after) as watch:
                work.alone(statement, step=step, during=watch.armed)
        except psycopg.Error as error:
            if work.connection.closed:
                raise
            if isinstance(error, QueryCanceled) and not (watch and watch.gave_up):
                raise  # somebody else's cancel
            left = cleaned()
            if watch is not None and watch.gave_up:
                why = f" ({watch.phase})" if watch.phase else ""
                raise report.stalled(
                    what=what + why, blockers=watch.blockers, waited=watch.waited, cost=watch.cost, left=left
                ) from None
            if not isinstance(error, DeadlockDetected):
                raise
            if patience.is_over:
                raise report.stalled(
                    what=what + " (deadlock)", blockers=[], waited=patience.waited, cost=work.cost, left=left
                ) from None
            time.sleep(patience.pause())
        else:
            return


def _build(work: Work, table: Table, name: str, statement: Statement, tell: Tell) -> None:
    violated: list[indexes.Keys | None] = []

    def clean() -> str:
        found = indexes.index(work.connection, name, table.schema)
        violated[:] = [indexes.keys(work.connection, found.oid) if found is not None else None]
        return _clean(work, found)

    what = f"CREATE INDEX CONCURRENTLY {table.schema}.{name} waits for every older transaction"
    try:
        patiently(work, statement, step="build", what=what, cleaned=clean, tell=tell)
    except DuplicateTable as error:
        raise ObjectError(
            f"Index {table.schema}.{name} came from another session meanwhile, or a failed try of ours left "
            "it and couldn't drop it. Nothing more was changed. Run the same command again."
        ) from error
    except UniqueViolation as error:
        (keys,) = violated
        found = indexes.index(work.connection, name, table.schema)
        raise duplicates.violation(
            work.connection, table, name, keys, said=error.diag.message_detail, left=_left(found)
        ) from error
    built = indexes.index(work.connection, name, table.schema)
    if built is None or not built.is_valid:
        raise ObjectError(
            f"Index {table.schema}.{name} was built, and is {'gone' if built is None else 'INVALID'}: "
            "another session must have been at it. Run the same command again."
        )


def _clean(work: Work, found: Index | None) -> str:
    """Drop what a failed build left: it costs writes, serves no read, and may already enforce uniqueness.

    That waits too, for whoever the build waited for; so only for a short time.
    """
    if found is not None and not found.is_valid and not _builders(work, found):
        try:
            drop(work, found, step="drop leftover", give_up_after=CLEANING)
        except (psycopg.Error, LockTimeoutError):
            if work.connection.closed:
                raise
        found = indexes.by_oid(work.connection, found.oid)
    return _left(found)


def _left(found: Index | None) -> str:
    if found is None:
        return "What was built of it is dropped."
    if found.is_valid:
        return f"Another session has built {found} meanwhile."
    return f"What was built of it is left INVALID as {found}: the next run drops it."
