"""One operation at work inside a revision: its connection, its short transactions, its long statements."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, TypeVar

from alembic import op
from alembic.runtime.migration import MigrationContext
from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from homeops_db import database, faults
from homeops_db.catalog import server
from homeops_db.errors import LockTimeoutError, OnlineError
from homeops_db.history.hooks import Recorder
from homeops_db.history.patience import driver_of
from homeops_db.locking import policy, take, watch
from homeops_db.locking.observer import Observer, observing
from homeops_db.locking.policy import Policy
from homeops_db.locking.wanted import Wanted
from homeops_db.locking.watch import Cost

T = TypeVar("T")
Statement = str | sql.Composable

# transaction_timeout came with PostgreSQL 17.
_TIMEOUTS: Final[LiteralString] = """
select name, current_setting(name)
from unnest(array['lock_timeout', 'statement_timeout', 'transaction_timeout']) name
where current_setting(name, true) is not null
"""


@dataclass(frozen=True)
class Done:
    """What an operation did.

    Attributes:
        operation: Its name.
        subject: What it worked on.
        changed: False when everything was there already.
        tries: How often locks were asked for, over all its steps.
        waited_ms: How long it waited for them in all, in milliseconds.
        cost: Sessions that waited behind it, and their waits added up.
    """

    operation: str
    subject: str
    changed: bool = False
    tries: int = 0
    waited_ms: float = 0.0
    cost: Cost = field(default_factory=Cost)


@dataclass
class Work:
    """An operation's hands: every statement that it sends goes through here."""

    operation: str
    subject: str
    connection: Connection
    observer: Observer
    policy: Policy
    recorder: Recorder | None
    changed: bool = False
    tries: int = 0
    waited_ms: float = 0.0
    cost: Cost = field(default_factory=Cost)

    def under_locks(
        self, wants: Sequence[Wanted], work: Callable[[Connection], T], *, step: str, changes: bool = True
    ) -> T:
        """Do ``work`` in one short transaction that holds the locks; see `locking.take.take`.

        Args:
            wants: The locks.
            work: Everything in it is one transaction, and may be repeated.
            step: What it is, for the points of fault injection.
            changes: False for work that leaves nothing behind.
        """
        taken = take.take(
            self.connection,
            self.observer,
            wants,
            work,
            policy=self.policy,
            name=f"{self.operation}: {step}",
        )
        self.tries += taken.tries
        self.waited_ms += taken.waited_ms
        self.cost += taken.cost
        self.changed |= changes
        return taken.result

    def execute(self, wants: Sequence[Wanted], *statements: Statement, step: str) -> None:
        """Send statements as one short transaction that holds the locks."""

        def send(connection: Connection) -> None:
            for statement in statements:
                connection.execute(as_query(statement))

        self.under_locks(wants, send, step=step)

    def alone(
        self,
        statement: Statement,
        *,
        step: str,
        during: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Send one statement outside any transaction, with the timeouts lifted: a build, a validation.

        Its own waits hurt nobody (it asks for no lock that stops reads or writes), and a timeout would
        throw away what it has done. A fault's point is passed on both sides. ``during`` is entered for
        the statement itself, and left before the timeouts are set back.
        """
        faults.point(f"{self.operation}: {step}: before")
        with lifted_timeouts(self.connection), during():
            self.connection.execute(as_query(statement))
        self.changed = True
        faults.point(f"{self.operation}: {step}: done")

    def announce(self, **also: str) -> None:
        """Write into the ledger that something is about to be removed, and what ``also`` a re-run must know.

        See `began_before`.
        """
        if self.recorder is not None:
            self.recorder.record_step(self._announcement | also)
        faults.point(f"{self.operation}: announced")

    def began_before(self, **also: str) -> bool:
        """Whether an interrupted run of this same revision announced this: then it has removed what is gone.

        So a name that never existed is an error, and a re-run after a crash is not.
        """
        return self.recorder is not None and self.recorder.step_begun(self._announcement | also)

    @property
    def _announcement(self) -> dict[str, str]:
        return {"operation": self.operation, "begins": self.subject}

    def done(self, **also: int) -> Done:
        """Sum up, and write into the ledger what it cost, and what ``also`` belongs there."""
        if self.changed:
            self._record(**also)
        return Done(self.operation, self.subject, self.changed, self.tries, self.waited_ms, self.cost)

    def stopped(self, error: OnlineError | LockTimeoutError) -> None:
        """Write into the ledger what it cost although it came to nothing."""
        if isinstance(error, LockTimeoutError):
            self.tries += error.tries
            self.cost += Cost(error.victims, error.victim_ms)
        if self.changed or self.cost.victims:
            self._record(stopped=type(error).__name__)

    def _record(self, **also: str | int) -> None:
        if self.recorder is not None:
            self.recorder.record_step(
                {
                    "operation": self.operation,
                    "subject": self.subject,
                    "tries": self.tries,
                    "waited_ms": round(self.waited_ms),
                    "victims": self.cost.victims,
                    "victim_ms": round(self.cost.victim_ms),
                    **also,
                }
            )


@contextmanager
def at_work(operation: str, subject: str) -> Iterator[Work]:
    """Leave the revision's transaction for one operation: what came before it is committed, unstamped."""
    context = _context()
    recorder = context.opts.get("homeops_recorder")
    base = recorder.policy if recorder is not None else Policy()
    with _autocommit(context, operation) as connection, watch.paused(), observing(connection) as observer:
        work = Work(operation, subject, connection, observer, policy.current(base), recorder)
        try:
            yield work
        except (OnlineError, LockTimeoutError) as error:
            work.stopped(error)
            raise


def is_offline() -> bool:
    """Whether SQL is written out (``--sql``) instead of sent."""
    return bool(_context().as_sql)


@contextmanager
def script(operation: str, subject: str) -> Iterator["Script"]:
    """Leave the transaction of a ``--sql`` script for one operation."""
    context = _context()
    with context.autocommit_block():
        one_line = " ".join(subject.split())  # a name may hold a line feed, which would end the comment
        context.impl.static_output(f"-- online.{operation}: {one_line}")
        recorder = context.opts.get("homeops_recorder")
        timeout = recorder.statement_timeout.total_seconds() if recorder is not None else 0
        yield Script(context.impl.static_output, statement_timeout=f"{timeout * 1000:.0f}ms")


@dataclass(frozen=True)
class Script:
    """Writes the SQL of one operation, in psql's language, each statement in a transaction of its own."""

    output: Callable[[str], None]
    statement_timeout: str

    def write(self, *statements: str) -> None:
        """Write statements."""
        for statement in statements:
            self.output(f"{statement};")

    def write_together(self, *statements: str) -> None:
        """Write statements as one transaction."""
        self.write("BEGIN", *statements, "COMMIT")

    def write_alone(self, *statements: str) -> None:
        """Write statements that take long, with the timeouts lifted."""
        lock_timeout = f"{database.LOCK_TIMEOUT.total_seconds() * 1000:.0f}ms"
        self.write("SET lock_timeout = 0", "SET statement_timeout = 0", *statements)
        self.write(
            f"SET lock_timeout = '{lock_timeout}'", f"SET statement_timeout = '{self.statement_timeout}'"
        )

    def write_psql(self, *lines: str) -> None:
        """Write lines as they are: psql's own commands."""
        self.output("\n".join(lines))


@contextmanager
def lifted_timeouts(connection: Connection) -> Iterator[None]:
    """Set the server's timeouts of locks, statements and transactions to none for the block, and back."""
    were: dict[str, str] = dict(connection.execute(_TIMEOUTS).fetchall())
    _set_timeouts(connection, dict.fromkeys(were, "0"))
    try:
        yield
    finally:
        if not connection.closed:
            _set_timeouts(connection, were)


def lift_timeouts(connection: Connection) -> None:
    """Do the same for the rest of the open transaction."""
    were: dict[str, str] = dict(connection.execute(_TIMEOUTS).fetchall())
    _set_timeouts(connection, dict.fromkeys(were, "0"), is_local=True)


def _set_timeouts(connection: Connection, values: Mapping[str, str], *, is_local: bool = False) -> None:
    for name, value in values.items():
        connection.execute("select set_config(%s, %s, %s)", (name, value, is_local))


def _context() -> MigrationContext:
    try:
        return op.get_context()
    except (NameError, AttributeError):  # so Alembic tells that no revision runs, or that one has ended
        raise OnlineError(
            "Online operations belong in upgrade() or downgrade() of a revision, and this call is outside. "
            "Nothing was changed. Write a revision: alembic revision -m ..."
        ) from None


@contextmanager
def _autocommit(context: MigrationContext, operation: str) -> Iterator[Connection]:
    """Alembic's autocommit block, unless the revision is in one already."""
    driver = driver_of(context)
    if driver.autocommit:
        yield driver
        return
    if driver.info.transaction_status is TransactionStatus.INTRANS and server.has_changed_something(driver):
        logging.getLogger(__name__).warning(
            "what the revision did by op before online.%s is committed now, without its version: should "
            "it stop later on, it runs again from its beginning. Put op behind online, or in a revision of "
            "its own (docs/writing-revisions.md)",
            operation,
        )
    with context.autocommit_block():
        yield driver


def as_query(statement: Statement) -> Any:
    """Give a statement as psycopg takes it."""
    # psycopg's types want a literal; as bytes and without parameters it is sent as it stands.
    return statement.encode() if isinstance(statement, str) else statement
