"""Runs of `alembic upgrade` that are broken off: each in a process of its own, forked from one that has everything loaded.

Run as a module it is that process.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from alembic import command, op
from sqlalchemy.engine import make_url

from homeops_db import faults, online  # noqa: F401 - loaded once, for all forks
from homeops_db.history import session  # noqa: F401
from homeops_db.history.patience import driver_of
from homeops_db.localdb import account
from homeops_db.settings import Settings
from tests.fixtures.databases import connect
from tests.fixtures.projects import alembic_config
from tests.fixtures.stock import Stock
from tests.fixtures.waiting import until

Kind = Literal["kill", "terminate", "stop"]
KINDS: tuple[Kind, ...] = ("kill", "terminate", "stop")


@dataclass(frozen=True)
class Order:
    """What a run shall do: `alembic upgrade <target>`, broken off at a point.

    That is the one with the number ``after``, or the first whose name isn't among ``but_not``.
    """

    url: str
    versions: str
    target: str
    fault: Kind | None = None
    after: int = 0
    but_not: Sequence[str] | None = None
    programs: str = ""


@dataclass(frozen=True)
class Ended:
    """How it ended: 0, 1 after an error, or minus the signal; the points that it passed; what it said."""

    code: int
    points: list[str]
    said: str


class Runs:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, order: Order) -> Ended:
        """Run it to its end."""
        with tempfile.TemporaryDirectory() as folder:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([folder, asdict(order)]) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            points = Path(folder, "points")
            passed = points.read_text().splitlines() if points.exists() else []
            return Ended(code, passed, Path(folder, "said").read_text())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)


def serve() -> None:
    gc.freeze()
    for line in sys.stdin:
        folder, order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_obey(Path(folder), Order(**order)))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


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
            if order.fault is not None and is_there and not broken:
                broken.append(name)
                _FAULTS[order.fault](order)

        config = alembic_config(Settings(database_url=make_url(order.url)), Path(order.versions))
        try:
            with faults.injected(pass_by):
                command.upgrade(config, order.target)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0


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


_FAULTS: dict[str, Callable[[Order], None]] = {"kill": _kill, "terminate": _terminate, "stop": _stop}

if __name__ == "__main__":
    serve()
