"""Which locks a migration holds on which tables, and for how long: looked at every few milliseconds."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.catalog import locks
from homeops_db.settings import Settings

EVERY: Final = 0.005
"""Seconds between two looks. A lock that is held for less may go unseen."""


@dataclass(frozen=True)
class Held:
    """The strongest lock that was seen on a table, and how long it was held without a break."""

    table: str
    mode: str
    ms: float


@dataclass
class Observer:
    """Looks until told to end; what it has seen is asked for once for each revision."""

    connection: Connection
    application: str
    ending: threading.Event = field(default_factory=threading.Event)
    _tables: list[int] = field(default_factory=list)
    _open: dict[tuple[str, str], float] = field(default_factory=dict)
    _longest: dict[tuple[str, str], float] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    defect: psycopg.Error | None = None

    def begin(self, tables: list[int]) -> None:
        """Look at these tables from now on."""
        with self._mutex:
            self._tables, self._open, self._longest = tables, {}, {}

    def end(self) -> list[Held]:
        """Stop looking, and give the strongest lock of each table."""
        if self.defect is not None:
            raise self.defect
        with self._mutex:
            self._close(set(), time.monotonic())
            self._tables = []
            seen = dict(self._longest)
        strongest: dict[str, str] = {}
        for table, mode in seen:
            if table not in strongest or locks.is_stronger(mode, strongest[table]):
                strongest[table] = mode
        return [Held(table, mode, seen[table, mode] * 1000) for table, mode in sorted(strongest.items())]

    def run(self) -> None:
        """Look every few milliseconds."""
        try:
            while not self.ending.wait(EVERY):
                if self._tables:
                    self._look()
        except psycopg.Error as error:
            self.defect = error

    def _look(self) -> None:
        now = time.monotonic()
        with self._mutex:
            seen = set(locks.held_by(self.connection, self.application, self._tables))
            self._close(seen, now)
            for one in seen:
                self._open.setdefault(one, now)

    def _close(self, seen: set[tuple[str, str]], now: float) -> None:
        for one in self._open.keys() - seen:
            lasted = now - self._open.pop(one)
            self._longest[one] = max(self._longest.get(one, 0.0), lasted)


@contextmanager
def observing(url: URL, settings: Settings, application: str) -> Iterator[Observer]:
    """Look for the block at the locks of the sessions with this application_name."""
    name = "homeops-db rehearse observer"
    with database.connect(url, settings, application=name, load_timescaledb=False) as connection:
        observer = Observer(connection, application)
        thread = threading.Thread(target=observer.run, daemon=True)
        thread.start()
        try:
            yield observer
        finally:
            observer.ending.set()
            thread.join(10)
