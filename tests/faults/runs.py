"""Runs of `alembic upgrade` that are broken off: each in a process of its own, forked from one that has everything loaded.

Run as a module it is that process. It starts runs and waits for them, as it is told line by line.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from alembic import command, op
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy.engine import make_url

from homeops_db import faults, online
from homeops_db.history import (
    hooks,
    session,  # noqa: F401 - loaded once, for all forks
)
from homeops_db.history.patience import driver_of
from homeops_db.localdb import account
from homeops_db.online.backfill import delete, insert, operation, run, script, telling  # noqa: F401 - the same
from homeops_db.settings import Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.fixtures.stock import Stock
from tests.fixtures.waiting import until
from tests.online.conftest import revision
from tests.online.filling import LIMITS_OFF

Kind = Literal["kill", "terminate", "stop", "freeze"]
KINDS: tuple[Kind, ...] = ("kill", "terminate", "stop")
"""Those that end something; a process that is frozen goes on when it is told to."""


@dataclass(frozen=True)
class Order:
    """What a run shall do: `alembic upgrade <target>`, or downgrade, broken off at a point.

    That is the one with the number ``after``, or the first whose name isn't among ``but_not``, or the ``nth``
    that is named ``at``. With a ``body``, the run is that code alone, as in a revision, but without the
    migration lock: two of them can be at work at once. ``with_commits`` makes a point of the moment before a
    version is committed.
    """

    url: str
    versions: str = ""
    target: str = ""
    fault: Kind | None = None
    after: int = 0
    but_not: Sequence[str] | None = None
    at: str = ""
    nth: int = 1
    programs: str = ""
    body: str = ""
    way: Literal["up", "down"] = "up"
    with_commits: bool = False


@dataclass(frozen=True)
class Ended:
    """How it ended: 0, 1 after an error, or minus the signal; the points that it passed; what it said."""

    code: int
    points: list[str]
    said: str


@dataclass(frozen=True)
class Running:
    """A run that is under way."""

    pid: int
    folder: Path
    _wait: Callable[[int], int]

    @property
    def points(self) -> list[str]:
        """The points that it has passed until now."""
        return self._read("points").splitlines()

    @property
    def said(self) -> str:
        """What it has said until now: outside of a history nothing, unless something is wrong."""
        return self._read("said")

    def signal(self, number: signal.Signals) -> None:
        """Kill it, freeze it, or let it go on."""
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait until it has ended."""
        code = self._wait(self.pid)
        return Ended(code, self.points, self.said)

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


class Runs:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, order: Order) -> Ended:
        """Run it to its end."""
        with self.started(order) as running:
            return running.wait()

    @contextmanager
    def started(self, order: Order) -> Iterator[Running]:
        """Let it run beside the block; what is left of it at the block's end is killed."""
        with tempfile.TemporaryDirectory() as folder:
            running = Running(self._tell("start", folder, asdict(order)), Path(folder), self._wait)
            try:
                yield running
            finally:
                self._tell("end", running.pid)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)

    def _wait(self, pid: int) -> int:
        return self._tell("wait", pid)

    def _tell(self, *words: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    gc.freeze()
    ended: dict[int, int] = {}
    for line in sys.stdin:
        word, *given = json.loads(line)
        if word == "start":
            answer = _start(*given)
            ended.pop(answer, None)  # of another process: numbers come again
        else:
            (answer,) = given
            if word == "end" and answer not in ended:
                os.kill(answer, signal.SIGKILL)
            if answer not in ended:
                ended[answer] = os.waitstatus_to_exitcode(os.waitpid(answer, 0)[1])
            answer = ended[answer]
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _start(folder: str, order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(_obey(Path(folder), Order(**order)))
    return pid


def _obey(folder: Path, order: Order) -> int:
    with (folder / "said").open("w") as said, (folder / "points").open("w", buffering=1) as points:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        passed: list[str] = []
        broken: list[str] = []

        def pass_by(name: str) -> None:
            passed.append(name)
            points.write(f"{name}\n")
            is_there = len(passed) == order.after or (order.but_not is not None and name not in order.but_not)
            is_named = name == order.at and passed.count(name) == order.nth
            if order.fault is not None and (is_there or is_named) and not broken:
                broken.append(name)
                _FAULTS[order.fault](order)

        try:
            # What other tests do on the same server is no reason to wait for a backfill; and a server that
            # was stopped comes back when this process has ended.
            # On a busy machine a switch would hold its locks for too long, and be tried again: that is another
            # run than the one whose points are known.
            patience = {"lock_timeout": "2s"}
            if order.fault == "stop":
                patience["give_up_after"] = "300ms"
            with faults.injected(pass_by), online.pace(**LIMITS_OFF), online.policy(**patience):
                _run(order)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0


def _run(order: Order) -> None:
    url = make_url(order.url)
    if order.body:
        with revision(url):
            exec(order.body, {"online": online})  # noqa: S102 - a test's own words
    else:
        migrate = command.upgrade if order.way == "up" else command.downgrade
        with _commits() if order.with_commits else nullcontext():
            migrate(alembic_config(Settings(database_url=url), Path(order.versions)), order.target)


@contextmanager
def _commits() -> Iterator[None]:
    """Make a point of each version's end, when all is done and nothing of its last transaction is committed."""
    apply = hooks.Recorder.on_version_apply

    def apply_and_pass(
        recorder: hooks.Recorder, ctx: MigrationContext, step: MigrationInfo, heads: Any, run_args: Any
    ) -> None:
        apply(recorder, ctx, step, heads, run_args)
        faults.point(f"{step.up_revision_id}: before the commit")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks.Recorder, "on_version_apply", apply_and_pass)
        yield


def _kill(order: Order) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _terminate(order: Order) -> None:
    pid = driver_of(op.get_context()).info.backend_pid
    with connect(make_url(order.url)) as admin:
        admin.execute("select pg_terminate_backend(%s)", (pid,))
        until(lambda: not admin.execute("select from pg_stat_activity where pid = %s", (pid,)).fetchone())


def _stop(order: Order) -> None:
    folder = Path(str(make_url(order.url).query["host"]))
    Stock(Path(order.programs), folder, account.server_account(folder / "data")).stop()


def _freeze(order: Order) -> None:
    # Sent to this very thread: another one would take its time to stop them all.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


_FAULTS: dict[str, Callable[[Order], None]] = {
    "kill": _kill,
    "terminate": _terminate,
    "stop": _stop,
    "freeze": _freeze,
}

if __name__ == "__main__":
    serve()
