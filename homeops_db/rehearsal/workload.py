"""The application at work: several workers, and the comparison of their rows with the database."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import psycopg
from psycopg import Connection, sql
from sqlalchemy.engine import URL

from homeops_db.errors import NotAsExpectedError
from homeops_db.rehearsal.acts import ROUND
from homeops_db.rehearsal.app import App, Known
from homeops_db.rehearsal.clients import KINDS
from homeops_db.rehearsal.owned import FIRST_KEY, JSON, KEYS, Key, Owned, Row, cents
from homeops_db.rehearsal.worker import Felt, Worker

WORKERS: Final = 4
_PATIENCE: Final = 120.0  # seconds for what takes milliseconds
_NAMED: Final = 3
"""Rows that a difference names."""

_KNOWN: Final = "select array(select {key} from {table} order by 1 limit 1000)"
_KNOWN_TABLES: Final = {
    "accounts": "financial.accounts",
    "categories": "financial.categories",
    "users": "core.users",
    "rooms": "smart_home.rooms",
    "items": "media.items",
    "libraries": "media.libraries",
    "automations": "smart_home.automations",
}


@dataclass
class Workload:
    """The workers, and the words that all of them hear."""

    workers: list[Worker]
    going: threading.Event
    hurrying: threading.Event
    ending: threading.Event

    def go(self) -> None:
        """Let all work."""
        self.going.set()

    def rest(self) -> Felt:
        """Let all end what they have in hand, and give what they felt since the last time."""
        self.going.clear()
        felt = Felt()
        for worker in self.workers:
            self._wait(worker, worker.rests.is_set)
            felt.requests += worker.felt.requests
            felt.failed += worker.felt.failed
            felt.retried += worker.felt.retried
            worker.felt = Felt()
        return felt

    def until_round(self) -> None:
        """Let each worker send every kind of request once more, without pauses."""
        self.hurrying.set()
        goals = [worker.sent + len(ROUND) for worker in self.workers]
        for worker, goal in zip(self.workers, goals, strict=True):
            self._wait(worker, lambda worker=worker, goal=goal: worker.sent >= goal)  # type: ignore[misc]
        self.hurrying.clear()

    def _wait(self, worker: Worker, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition() or worker.defect is not None:
            if worker.defect is not None:
                raise worker.defect
            if time.monotonic() > deadline:
                raise NotAsExpectedError(
                    f"A client of the rehearsal had no answer for {_PATIENCE:g} s: something in the database "
                    "holds it up. Run it again with --keep, and look at pg_stat_activity meanwhile."
                )
            time.sleep(0.002)

    def compare(self, connection: Connection) -> tuple[int, list[str]]:
        """Compare every row of the workers with the database, while they rest.

        Returns:
            How many rows there were, and what is wrong: a line for each table.
        """
        rows, wrong = 0, []
        for table in KEYS:
            expected = {
                key: row for worker in self.workers for key, row in worker.app.owned.committed[table].items()
            }
            rows += len(expected)
            try:
                found = _read(connection, table, expected)
            except psycopg.Error as error:
                wrong.append(f"{table}: {error.diag.message_primary or error}")
                continue
            wrong += _differences(table, expected, found)
        return rows, wrong


@contextmanager
def at_work(url: URL, connection: Connection, *, seed: int) -> Iterator[Workload]:
    """Start the workers, at rest, for the block.

    Args:
        url: A database at v1.0.0 with generated rows.
        connection: To it; reads whom there is to refer to.
        seed: Of what they choose.
    """
    known = _known(connection)
    going, hurrying, ending = threading.Event(), threading.Event(), threading.Event()
    apps = [
        App(KINDS[number % len(KINDS)](url), Owned(Random(seed * 100 + number)), known, number)  # noqa: S311
        for number in range(WORKERS)
    ]
    workers = [Worker(app, going, hurrying, ending) for app in apps]
    threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield Workload(workers, going, hurrying, ending)
    finally:
        ending.set()
        for thread in threads:
            thread.join(_PATIENCE)


def _known(connection: Connection) -> Known:
    found: dict[str, Any] = {}
    for name, table in _KNOWN_TABLES.items():
        query = sql.SQL(_KNOWN).format(key=sql.Identifier("id"), table=sql.Identifier(*table.split(".")))
        row = connection.execute(query).fetchone()
        assert row is not None
        found[name] = row[0]
    return Known(**found)


def _read(connection: Connection, table: str, expected: dict[Key, Row]) -> dict[Key, Row]:
    """Read the rows that the workers should have, by the columns that their model has."""
    names = list(dict.fromkeys([*KEYS[table], *(name for row in expected.values() for name in row)]))
    query = sql.SQL("select {columns} from {table} where {key} >= {first}").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        table=sql.Identifier(*table.split(".")),
        key=sql.Identifier(KEYS[table][0]),
        first=sql.Literal(FIRST_KEY),
    )
    found = [dict(zip(names, row, strict=True)) for row in connection.execute(query, prepare=False)]
    return {tuple(row[name] for name in KEYS[table]): row for row in found}


def _differences(table: str, expected: dict[Key, Row], found: dict[Key, Row]) -> Iterator[str]:
    stale = [
        key
        for key in expected.keys() & found.keys()
        if _plain(table, expected[key]) != _plain(table, {name: found[key][name] for name in expected[key]})
    ]
    for keys, what in (
        (expected.keys() - found.keys(), "lost"),
        (found.keys() - expected.keys(), "that nobody has written, or that was deleted"),
        (stale, "with other values than were written"),
    ):
        if keys:
            named = ", ".join(str(key[0]) for key in sorted(keys, key=str)[:_NAMED])
            rows = "1 row" if len(keys) == 1 else f"{len(keys):,} rows"
            yield f"{table}: {rows} {what} ({named}{', …' if len(keys) > _NAMED else ''})"


def _plain(table: str, row: Row) -> Row:
    """Give values as they can be compared: amounts as cents, JSON as what it says."""
    plain = {name: json.loads(value) if _is_json(name, value) else value for name, value in row.items()}
    if table == "financial.transactions":
        plain["amount"] = cents(row["amount"])
    return plain


def _is_json(name: str, value: object) -> bool:
    return name in JSON and isinstance(value, str)
