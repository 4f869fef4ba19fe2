"""One client of the application: requests at a fixed rate, each timed from the moment it was due."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psycopg

from homeops_db.rehearsal.acts import ROUND, move_in
from homeops_db.rehearsal.app import App
from homeops_db.rehearsal.clients import server_error
from homeops_db.rehearsal.owned import WrongAnswerError

RATE: Final = 30
"""Requests a second and worker."""

REPEATABLE: Final = "0A000"
"""What a client may repeat once: "cached plan must not change result type" (docs/type-change.md)."""

_LOOK: Final = 0.005


@dataclass(frozen=True, order=True)
class Request:
    """One request: how long after it was due it had its answer, in milliseconds, and of which kind it was."""

    ms: float
    kind: str


@dataclass
class Felt:
    """What came of some requests."""

    requests: list[Request] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Worker:
    """Sends requests while it may: every request that was due in a stall feels it, not the first alone."""

    app: App
    going: threading.Event
    hurrying: threading.Event
    ending: threading.Event
    felt: Felt = field(default_factory=Felt)
    rests: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    defect: BaseException | None = None

    def run(self) -> None:
        """Work until told to end; rest when told to."""
        try:
            self._transact(move_in)
            while not self.ending.is_set():
                self.rests.set()
                if self.going.wait(_LOOK):
                    self.rests.clear()
                    self._work()
        except BaseException as error:  # a thread has nobody else to tell
            self.defect = error
        finally:
            self.rests.set()
            with suppress(psycopg.Error):
                self.app.client.close()

    def _work(self) -> None:
        due = time.monotonic() + self.app.number / RATE / 4
        while self.going.is_set() and not self.ending.is_set():
            self.hurrying.wait(max(0.0, due - time.monotonic()))
            due = min(due, time.monotonic())  # who hurries comes before it would be due
            act = ROUND[(self.sent + self.app.number * 5) % len(ROUND)]
            self._request(act)
            self.felt.requests.append(Request((time.monotonic() - due) * 1000, act.__name__))
            self.sent += 1
            due += 1 / RATE

    def _request(self, act: Callable[[App], None]) -> None:
        """Send one; repeat it once where that is documented."""
        error = self._tried(act)
        if error is not None and error.sqlstate == REPEATABLE:
            self.felt.retried[act.__name__] += 1
            error = self._tried(act)
        if error is not None:
            said = error.diag.message_primary or str(error).strip() or type(error).__name__
            self.felt.failed[f"{act.__name__}: {said} (SQLSTATE {error.sqlstate})"] += 1
            with suppress(psycopg.Error):
                self.app.client.mend()

    def _tried(self, act: Callable[[App], None]) -> psycopg.Error | None:
        try:
            self._transact(act)
        except WrongAnswerError as wrong:
            self.felt.failed[f"{act.__name__}: {wrong}"] += 1
        except Exception as error:
            cause = server_error(error)
            if cause is None:
                raise
            return cause
        return None

    def _transact(self, act: Callable[[App], None]) -> None:
        with self.app.owned.transaction(), self.app.client.transaction():
            act(self.app)
