"""What env.py passes to Alembic: which schemas, what each step leaves in the ledger, how a file is named."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Final

from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep, StampStep
from alembic.script import write_hooks
from sqlalchemy import String, bindparam, text

from homeops_db.errors import PolicyError, VersionError
from homeops_db.history import ledger, versions
from homeops_db.history.lock import MigrationLock
from homeops_db.history.scripts import Revision
from homeops_db.history.target import ShowProgress
from homeops_db.locking.policy import Policy
from homeops_db.locking.watch import Cost
from homeops_db.naming import LEDGER_SCHEMA, SCHEMAS

Step = RevisionStep | StampStep
Steps = Callable[[Any, MigrationContext], Iterable[Step]]
Directives = Callable[[MigrationContext, object, list[MigrationScript]], None]
"""Alembic's hook that sees a new revision before it is written."""

# TimescaleDB puts it on every hypertable, and doesn't mark it as its own.
_TIMESCALEDB_TRIGGER: Final = ".ts_insert_blocker"

OPTIONS: Final[Mapping[str, Any]] = {
    "version_table_schema": LEDGER_SCHEMA,
    "transaction_per_migration": True,
    "include_schemas": True,
    "compare_type": True,
    "compare_server_default": True,
}


def include_name(name: str | None, type_: str, parents: MutableMapping[Any, str | None]) -> bool:
    """Compare what models and entities describe: our schemas, without what TimescaleDB adds to them.

    alembic-utils overlooks the verdict on a schema, so its parents are looked at too; functions of
    ours in the ledger's schema are compared all the same, because they are registered.
    """
    if type_ == "schema":
        return name in SCHEMAS
    if type_ == "trigger" and name is not None and name.endswith(_TIMESCALEDB_TRIGGER):
        return False
    return type_ != "grant_table" and parents.get("schema_name") in SCHEMAS


@dataclass
class Recorder:
    """Writes the ledger as Alembic goes from step to step.

    ``lock`` is None in ``--sql`` mode, where the statements are only written out.
    """

    revisions: Mapping[str, Revision]
    lock: MigrationLock | None
    may_downgrade: bool = True
    policy: Policy = field(default_factory=Policy)
    statement_timeout: timedelta = timedelta(0)
    show_progress: ShowProgress | None = None
    current: Step | None = None
    started: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)

    def steps(self, plan: Steps) -> Steps:
        """Wrap Alembic's plan: note each step's start; asking for the next one means it was committed."""

        def watched(heads: Any, context: MigrationContext) -> Iterator[Step]:
            for step in plan(heads, context):
                if not step.info.is_stamp:
                    self._begin(step)
                    self._be_patient(step, context)
                yield step
                if self.current is not None:
                    _refuse_open_transaction(context)
                self.current = None

        return watched

    def on_version_apply(
        self,
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Any,  # noqa: ARG002 - Alembic passes all four by name
        run_args: Any,  # noqa: ARG002
    ) -> None:
        """Write the ledger's rows inside the step's own transaction, if the lock is still ours."""
        if self.lock is not None:
            self.lock.assert_held()
        for version in self._touched(step):
            revision = self.revisions[version]
            ms = None if self.lock is None or step.is_stamp else self.elapsed_ms
            row = ledger.row_of(revision)
            if step.is_upgrade:
                _execute(ctx, ledger.APPLY, **row, ms=0 if step.is_stamp else ms)
            else:
                _execute(ctx, ledger.ROLL_BACK, version=version)
            _execute(
                ctx,
                ledger.EVENT,
                version=version,
                direction=_direction(step),
                event="stamped" if step.is_stamp else "finished",
                client=None if self.lock is None else ledger.client(),
                run_id=None if self.lock is None else self.lock.run_id,
                ms=0 if step.is_stamp else ms,
                checksum=revision.checksum,
            )

    @property
    def current_revision(self) -> Revision | None:
        """The revision in hand, if one is."""
        return None if self.current is None else self._revision(self.current)

    def record_failure(self, detail: str) -> None:
        """Record that the step in hand failed, on the lock's connection: its own was rolled back."""
        if self.current is None or self.lock is None:
            return
        revision = self._revision(self.current)
        direction = _direction(self.current.info)
        with self.lock.connection.transaction():
            ledger.record_failure(self.lock.connection, revision, direction, ms=self.elapsed_ms)
            self._event(revision, direction, "failed", ms=self.elapsed_ms, detail=detail)

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the step in hand began."""
        return round((time.perf_counter() - self.started) * 1000)

    def _begin(self, step: Step) -> None:
        if not step.info.is_upgrade and not self.may_downgrade:
            raise PolicyError(
                "A downgrade may lose data, and this is production. Nothing was changed. If it shall: "
                "alembic -x accept-data-loss=yes downgrade …, or homeops-db rollback --accept-data-loss …"
            )
        if self.lock is not None:
            self._event(self._revision(step), _direction(step.info), "started")
        self.current, self.started = step, time.perf_counter()
        self.counted.clear()

    def _be_patient(self, step: Step, context: MigrationContext) -> None:
        if self.lock is not None:
            # Imported when a revision runs: a command with nothing to do doesn't wait for it.
            from homeops_db.history.patience import patient  # noqa: PLC0415

            step.migration_fn = patient(step.migration_fn, context, self.policy, self._record_tries)

    def _record_tries(self, tries: int, cost: Cost) -> None:
        self.record_step(
            {
                "operation": "revision",
                "tries": tries,
                "victims": cost.victims,
                "victim_ms": round(cost.victim_ms),
            }
        )

    def record_step(self, detail: Mapping[str, Any]) -> None:
        """Append to the ledger what one operation of the revision in hand does or did."""
        if self.current is not None and self.lock is not None:
            revision, direction = self._revision(self.current), _direction(self.current.info)
            self._event(revision, direction, "step", detail=json.dumps(detail))

    def count_step(self, what: str) -> int:
        """Count how often the revision in hand has done this before: a re-run of it counts alike."""
        self.counted[what] += 1
        return self.counted[what] - 1

    def step_begun(self, detail: Mapping[str, Any]) -> bool:
        """Tell whether an earlier run of the revision in hand, that didn't end, recorded this step."""
        if self.current is None or self.lock is None:
            return False
        return ledger.step_begun(self.lock.connection, self._revision(self.current).version, detail)

    def _event(self, revision: Revision, direction: str, event: str, **values: Any) -> None:
        assert self.lock is not None
        ledger.record_event(
            self.lock.connection,
            revision.version,
            direction,
            event,
            run_id=self.lock.run_id,
            checksum=revision.checksum,
            **values,
        )

    def _revision(self, step: Step) -> Revision:
        assert step.info.up_revision_id is not None
        return self.revisions[step.info.up_revision_id]

    def _touched(self, step: MigrationInfo) -> Sequence[str]:
        """A stamp over several revisions is one step: name all that it passes."""
        if not step.is_stamp:
            return step.up_revision_ids
        line = list(self.revisions)
        places = [line.index(v) for v in (*step.up_revision_ids, *step.down_revision_ids) if v in line]
        lowest = min(places) if len(places) > 1 else -1
        passed = line[lowest + 1 : max(places) + 1]
        return passed if step.is_upgrade else passed[::-1]


def name_revision(context: MigrationContext, _: object, directives: list[MigrationScript]) -> None:
    """Fill version, sequence and file name of a new revision, before its file is written.

    The version comes from ``-x version=v1.2.3``, ``-x bump=minor`` or ``--rev-id v1.2.3``, and is the
    next minor one without any of them.

    Raises:
        VersionError: The version is malformed, taken or not larger; or the message is missing.
    """
    environment = context.environment_context
    script = context.script
    assert environment is not None
    assert script is not None
    (directive,) = directives
    arguments = context.opts["revision_context"].command_args
    head = script.get_current_head()
    _refuse_branch(arguments, head)
    if not re.search(r"\w", directive.message or ""):
        raise VersionError(
            'The revision has no message. Nothing was written. Give one: alembic revision -m "add ..."'
        )
    asked = environment.get_x_argument(as_dictionary=True)
    rev_id = arguments["rev_id"]
    directive.rev_id = versions.following(head, version=asked.get("version", rev_id), bump=asked.get("bump"))
    sequence = 1 + sum(1 for _ in script.walk_revisions())
    script.file_template = f"{sequence:03d}_%(rev)s_%(slug)s"


@write_hooks.register("format")
def format_revision(path: str, _: object) -> None:
    """Format a new revision as `make lint` wants it. Where ruff isn't installed, it stays as it is."""
    if find_spec("ruff") is not None:
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", path], check=False)


def _refuse_open_transaction(context: MigrationContext) -> None:
    """A revision that commits by itself leaves half of Alembic's own transaction uncommitted."""
    if not context.as_sql and context.connection is not None and context.connection.in_transaction():
        context.connection.rollback()  # its locks would keep the failure from being written down
        raise PolicyError(
            "A revision must not commit or begin by itself: what it did after that is rolled back. Use "
            "`with op.get_context().autocommit_block():` for what can't run in a transaction."
        )


def _refuse_branch(arguments: Mapping[str, Any], head: str | None) -> None:
    asked = [name for name in ("splice", "branch_label", "depends_on") if arguments[name]]
    if arguments["head"] not in {None, "head", head}:
        asked.append("head")
    if asked:
        raise VersionError(
            f"The history is one line, and --{asked[0].replace('_', '-')} would make another. Nothing was "
            f"written. Leave it out: a new revision follows the head, {head or 'base'}."
        )


def _execute(ctx: MigrationContext, sql: str, **values: object) -> None:
    # Typed binds: --sql writes the values out, and None has no type of its own.
    typed = [
        bindparam(name, value, String if isinstance(value, str) else None) for name, value in values.items()
    ]
    ctx.execute(text(sql).bindparams(*typed))


def _direction(step: MigrationInfo) -> str:
    return "upgrade" if step.is_upgrade else "downgrade"
