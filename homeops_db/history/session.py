"""One run of an Alembic command, from the settings to the last commit: what env.py calls."""

import io
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import psycopg
from alembic.operations.ops import MigrationScript
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from homeops_db import database
from homeops_db.errors import HomeOpsError, PolicyError, RevisionFailedError
from homeops_db.history import hooks, ledger, lock, mark, scripts, target
from homeops_db.history.lock import MigrationLock
from homeops_db.history.scripts import Revision
from homeops_db.locking.policy import Policy
from homeops_db.settings import Settings, load

# Named parameters, lest every % in a function's body be doubled for a driver that isn't there.
_LITERAL: Final[dict[str, Any]] = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}


@dataclass(frozen=True)
class Session:
    """What one command needs to know, read once."""

    environment: EnvironmentContext
    settings: Settings
    revisions: dict[str, Revision]
    show_progress: target.ShowProgress | None = None
    rewrite: hooks.Directives | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The command's own arguments, as Alembic keeps them."""
        return self.environment.context_opts

    @property
    def _function(self) -> str:
        """The command's own function, by its qualified name: Alembic has no other word for the command."""
        return str(self.asked["fn"].__qualname__)

    @property
    def changes_database(self) -> bool:
        """Upgrade, downgrade and stamp name a destination; `ensure_version` makes a table."""
        return "destination_rev" in self.asked or self._function.startswith("ensure_version.")

    @property
    def compares(self) -> bool:
        """Whether models and database are compared: `check`, `revision --autogenerate`, and test tools."""
        if "revision_context" in self.asked:
            return bool(self.asked["revision_context"].command_args["autogenerate"])
        return bool(self.asked["fn"].__module__ != "alembic.command")

    @property
    def writes_a_file(self) -> bool:
        """`revision` does; `check` goes the same way and stops before the file."""
        return "revision_context" in self.asked and not self._function.startswith("check.")

    @property
    def needs_no_server(self) -> bool:
        """A plain `revision`, and a `history` that doesn't ask for the current version."""
        if "revision_context" in self.asked:
            return not self.compares
        given = self.environment.config.cmd_opts
        lists_history = getattr(given, "indicate_current", None) is False
        return lists_history and "current" not in (getattr(given, "rev_range", None) or "")


def run(
    environment: EnvironmentContext,
    show_progress: target.ShowProgress | None = None,
    rewrite: hooks.Directives | None = None,
) -> None:
    """Run the command that Alembic was asked for.

    Args:
        environment: Alembic's context of this command.
        show_progress: How to show what takes long: the local server's download, an index build. A program
            that shows it itself sets the attribute of that name on its configuration.
        rewrite: What is done to the operations that ``revision --autogenerate`` found, before they
            are written.

    Raises:
        HomeOpsError: Whatever went wrong, in one line.
    """
    revisions = scripts.read(Path(environment.script.versions))
    settings = environment.config.attributes.get("settings") or load()
    show_progress = environment.config.attributes.get("show_progress", show_progress)
    session = Session(
        environment, settings, {revision.version: revision for revision in revisions}, show_progress, rewrite
    )
    for name in ("starting_rev", "destination_rev"):
        target.refuse_inexact(_as_list(session.asked.get(name)), list(session.revisions))
    try:
        if environment.is_offline_mode():
            _write_sql(session)
        elif session.needs_no_server:
            _run_without_server(session)
        else:
            _run_on_server(session)
    except (psycopg.Error, DBAPIError) as error:
        raise database.as_error(error) or error from error


def _run_on_server(session: Session) -> None:
    if session.compares and session.settings.environment != "development":
        raise PolicyError(
            "Comparing models with a database runs real DDL under exclusive locks (alembic-utils). "
            f"This is {session.settings.environment}: nothing was done. Use a development database."
        )
    attributes = session.environment.config.attributes
    # A program hands over its own connection or engine (Alembic's cookbook), or a URL.
    given: Engine | Connection | None = attributes.get("connection")
    url = given.engine.url if given is not None else attributes.get("url")
    url = url or target.database_url(session.settings, session.show_progress)
    if session.compares:
        with database.connect(url, session.settings, application="homeops-db alembic") as reader:
            mark.refuse_other_environment(reader, session.settings.environment, what="comparing models")
    held = _lock(session, url) if session.changes_database else nullcontext(None)
    with held as migration_lock, _connection(session, given, url, migration_lock) as connection:
        _migrate(session, connection, migration_lock)


def _connection(
    session: Session, given: Engine | Connection | None, url: URL, migration_lock: MigrationLock | None
) -> AbstractContextManager[Connection]:
    if isinstance(given, Connection):
        return nullcontext(given)
    if given is not None:
        return given.connect()
    name = migration_lock.application if migration_lock else "homeops-db alembic"
    return database.alembic_connection(url, session.settings, application=name)


@contextmanager
def _lock(session: Session, url: URL) -> Iterator[MigrationLock]:
    """Hold the lock: ours, or that of a deploy which started us and has it already."""
    outer = session.environment.config.attributes.get("migration_lock")
    if outer is not None:
        yield outer
        return
    reason = f"alembic to {', '.join(_as_list(session.asked.get('destination_rev'))) or 'make its table'}"
    with lock.held(url, session.settings, reason=reason) as migration_lock:
        yield migration_lock


def _migrate(session: Session, connection: Connection, migration_lock: MigrationLock | None) -> None:
    # A statement before configure() without a commit would make Alembic roll everything back.
    assert not connection.in_transaction()
    recorder = _recorder(session, migration_lock)
    _configure(session, recorder, connection=connection)
    if migration_lock is None:
        _run(session)
        return
    line = list(session.revisions.values())
    if not session.asked.get("purge"):  # a purge is how a lost version table is mended
        target.refuse_unknown_head(ledger.current(migration_lock.connection), list(session.revisions))
    ledger.reconcile(migration_lock.connection, line, run_id=migration_lock.run_id)
    try:
        _run(session)
    except BaseException as error:
        _raise_failure(recorder, migration_lock, error)
    ledger.reconcile(migration_lock.connection, line, run_id=migration_lock.run_id)
    for destination in _as_list(session.asked.get("destination_rev")):
        target.refuse_unreached(
            destination, ledger.current(migration_lock.connection), list(session.revisions)
        )


def _raise_failure(recorder: hooks.Recorder, migration_lock: MigrationLock, error: BaseException) -> NoReturn:
    detail = _detail(error)
    revision = recorder.current_revision
    try:
        recorder.record_failure(detail)
        standing = ledger.current(migration_lock.connection) or "base"
        outcome = f"the database is at {standing}, and the ledger says so"
    except psycopg.OperationalError:
        # Nobody is there to write it down: the next run finds a start without an end, and does.
        outcome = "the server can't be asked where that leaves it"
    if revision is None or isinstance(error, HomeOpsError | KeyboardInterrupt):
        raise error
    raise RevisionFailedError(
        f"{revision.version} failed: {detail}. What it had not committed was rolled back; {outcome}. "
        f"Mend {revision.file} if it is to blame, then run the same command again."
    ) from error


def _detail(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    sqlstate = getattr(cause, "sqlstate", None)
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    text = primary or (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return f"{text} (SQLSTATE {sqlstate})" if sqlstate else f"{type(cause).__name__}: {text}"


def _write_sql(session: Session) -> None:
    """Write out SQL that psql runs to the same end: settings and ledger first, as online."""
    _configure(session, _recorder(session, None), dialect_name="postgresql", **_LITERAL)
    impl = session.environment.get_context().impl
    impl.static_output("SET client_min_messages = warning;")
    for setting in database.options(session.settings).split("-c ")[1:]:
        name, value = setting.strip().split("=")
        impl.static_output(f"SET {name} = '{value}';")
    impl.static_output("\n" + ledger.DDL)
    _run(session)


def _run_without_server(session: Session) -> None:
    """Let Alembic go through its motions without a server; its SQL goes nowhere."""
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    _configure(
        session,
        _recorder(session, None),
        dialect_name="postgresql",
        as_sql=True,
        **_LITERAL,
        output_buffer=io.StringIO(),
    )
    _run(session)


def _recorder(session: Session, migration_lock: MigrationLock | None) -> hooks.Recorder:
    told = session.environment.get_x_argument(as_dictionary=True).get("accept-data-loss") == "yes"
    told = told or bool(session.environment.config.attributes.get("accept_data_loss"))
    return hooks.Recorder(
        session.revisions,
        migration_lock,
        may_downgrade=told or session.settings.environment != "production",
        policy=Policy(
            lock_timeout=session.settings.lock_timeout, give_up_after=session.settings.lock_give_up_after
        ),
        statement_timeout=session.settings.statement_timeout,
        show_progress=session.show_progress,
    )


def _configure(session: Session, recorder: hooks.Recorder, **where: Any) -> None:
    metadata = _models() if session.compares else None
    session.environment.configure(
        **where,
        **hooks.OPTIONS,
        target_metadata=metadata,
        # Without it, even reading would make the version table, in a schema that isn't there yet.
        dont_mutate=not session.changes_database,
        fn=recorder.steps(session.asked["fn"]),
        include_name=hooks.include_name,
        on_version_apply=recorder.on_version_apply,
        homeops_recorder=recorder,  # what an online operation finds again, in Alembic's own options
        process_revision_directives=_directives(session) if session.writes_a_file else None,
    )


def _directives(session: Session) -> hooks.Directives:
    rewrite = session.rewrite if session.compares else None

    def process(context: MigrationContext, revision: object, directives: list[MigrationScript]) -> None:
        hooks.name_revision(context, revision, directives)
        if rewrite is not None:
            rewrite(context, revision, directives)

    return process


def _models() -> Any:
    """Models and entities are imported only for a comparison: they cost more than a whole `current`."""
    from alembic_utils.replaceable_entity import register_entities  # noqa: PLC0415

    from homeops_db.entities import ENTITIES  # noqa: PLC0415
    from homeops_db.models import metadata  # noqa: PLC0415

    register_entities(ENTITIES, entity_types=list({type(entity) for entity in ENTITIES}))
    return metadata


def _run(session: Session) -> None:
    with session.environment.begin_transaction():
        session.environment.run_migrations()


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
