"""Sessions that use a table as applications do while its shape changes, and a model of what each row must be.

Each has rows of its own, so what it committed is what its model says. They write in every way there is: plain and
prepared statements, upserts, COPY, savepoints, new keys, with deferred constraints, in two isolation levels.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Self

import psycopg
from psycopg import Connection, IsolationLevel
from psycopg.errors import (
    DatatypeMismatch,
    DeadlockDetected,
    FeatureNotSupported,
    SerializationFailure,
)
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect

Row = tuple[Decimal | None, str]

RETRIED = (FeatureNotSupported, DatatypeMismatch, SerializationFailure, DeadlockDetected)
"""What a client meets once and repeats: a cached plan, a cached type, a conflict."""

APART = 1_000_000  # ids of one writer


@dataclass(eq=False)
class Client:
    """One session with the rows from ``number * APART`` on."""

    url: URL
    number: int
    table: str
    is_strict: bool
    role: str | None
    resting: threading.Event
    ending: threading.Event
    random: Random = field(repr=False)
    rows: dict[int, Row] = field(default_factory=dict, repr=False)
    commits: int = 0
    retries: dict[str, int] = field(default_factory=dict)
    failure: BaseException | None = None
    rests: threading.Event = field(default_factory=threading.Event, repr=False)
    _next: int = 0
    _pending: dict[int, Row | None] = field(default_factory=dict, repr=False)

    def run(self) -> None:
        """Work until told to end; rest when told to rest."""
        try:
            with connect(self.url, application_name="client") as db:
                if self.role is not None:
                    db.execute(f"set role {self.role}; set search_path = nowhere".encode())
                db.autocommit = False
                db.isolation_level = (
                    IsolationLevel.REPEATABLE_READ if self.is_strict else IsolationLevel.READ_COMMITTED
                )
                while not self.ending.is_set():
                    if self.resting.is_set():
                        self.rests.set()
                        self.ending.wait(0.005)
                    else:
                        self.rests.clear()
                        self._transact(db)
        except BaseException as error:  # a thread has nobody else to tell
            self.failure = error
        finally:
            self.rests.set()

    def _transact(self, db: Connection) -> None:
        self._pending = {}
        try:
            for _ in range(self.random.choice((1, 1, 2, 5))):
                self.random.choice(self._acts)(db)
            if self.random.random() < 0.1:
                db.rollback()
                return
            db.commit()
        except RETRIED as error:
            db.rollback()
            name = type(error).__name__
            self.retries[name] = self.retries.get(name, 0) + 1
            return
        self.commits += 1
        for key, row in self._pending.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row

    @property
    def _acts(self) -> list[Callable[[Connection], None]]:
        return [
            self._insert, self._insert, self._set, self._set, self._set, self._note, self._delete, self._upsert,
            self._move, self._copy, self._save, self._read, self._defer,
        ]  # fmt: skip

    def _current(self) -> dict[int, Row]:
        merged = {**self.rows, **self._pending}
        return {key: row for key, row in merged.items() if row is not None}

    def _some(self) -> int | None:
        current = self._current()
        return self.random.choice(list(current)) if current else None

    def _new_key(self) -> int:
        self._next += 1
        return self.number * APART + self._next

    def _amount(self) -> Decimal | None:
        return None if self.random.random() < 0.05 else Decimal(self.random.randrange(-4000, 4000)) / 4

    def _insert(self, db: Connection) -> None:
        key, amount = self._new_key(), self._amount()
        db.execute(
            f"insert into {self.table} (id, amount, note) values (%s, %s, 'in')".encode(), (key, amount)
        )
        self._pending[key] = (amount, "in")

    def _set(self, db: Connection) -> None:
        if (key := self._some()) is not None:
            amount = self._amount()
            db.execute(f"update {self.table} set amount = %s where id = %s".encode(), (amount, key))
            self._pending[key] = (amount, self._current()[key][1])

    def _note(self, db: Connection) -> None:
        if (key := self._some()) is not None:
            note = f"note {self.random.randrange(1000)}"
            db.execute(f"update {self.table} set note = %s where id = %s".encode(), (note, key))
            self._pending[key] = (self._current()[key][0], note)

    def _delete(self, db: Connection) -> None:
        if (key := self._some()) is not None:
            db.execute(f"delete from {self.table} where id = %s".encode(), (key,))
            self._pending[key] = None

    def _upsert(self, db: Connection) -> None:
        key = self._some() or self._new_key()
        amount = self._amount()
        statement = (
            f"insert into {self.table} (id, amount, note) values (%s, %s, 'up') "
            "on conflict (id) do update set amount = excluded.amount, note = 'upd'"
        )
        is_there = key in self._current()
        db.execute(statement.encode(), (key, amount))
        self._pending[key] = (amount, "upd" if is_there else "up")

    def _move(self, db: Connection) -> None:
        if (key := self._some()) is not None:
            new, row = self._new_key(), self._current()[key]
            db.execute(f"update {self.table} set id = %s where id = %s".encode(), (new, key))
            self._pending |= {key: None, new: row}

    def _copy(self, db: Connection) -> None:
        with (
            db.cursor() as cursor,
            cursor.copy(f"copy {self.table} (id, amount, note) from stdin".encode()) as copy,
        ):
            for _ in range(3):
                key, amount = self._new_key(), self._amount()
                copy.write_row((key, amount, "copied"))
                self._pending[key] = (amount, "copied")

    def _save(self, db: Connection) -> None:
        kept = dict(self._pending)
        db.execute("select")  # begins the transaction, so what follows is a savepoint
        with suppress(psycopg.Rollback), db.transaction():
            self._set(db)
            self._insert(db)
            if self.random.random() < 0.5:
                self._pending = kept
                raise psycopg.Rollback

    def _read(self, db: Connection) -> None:
        if (key := self._some()) is not None:
            found = db.execute(
                f"select amount, note from {self.table} where id = %s".encode(), (key,), prepare=True
            )
            row = found.fetchone()
            assert row is not None
            expected = self._current()[key]
            read = None if row[0] is None else Decimal(row[0])
            assert (read, row[1]) == expected, f"{key} is {row}, and was written as {expected}"

    def _defer(self, db: Connection) -> None:
        db.execute("set constraints all deferred")
        self._set(db)


class Clients:
    """Several of them at work."""

    def __init__(
        self, url: URL, table: str, *, number: int = 4, role: str | None = None, seed: int = 0
    ) -> None:
        self.resting, self.ending = threading.Event(), threading.Event()
        self.all = [
            Client(
                url, one + 1, table, one % 2 == 1, role if one >= number // 2 else None, self.resting, self.ending,
                Random(seed * 100 + one),  # noqa: S311 - no secret
            )
            for one in range(number)
        ]  # fmt: skip
        self.table = table
        self.threads = [threading.Thread(target=one.run, daemon=True) for one in self.all]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(30)

    def compare(self, db: Connection) -> None:
        """Let all rest, compare the table with what they have committed, and let them go on."""
        self.resting.set()
        for one in self.all:
            assert one.rests.wait(30)
            if one.failure is not None:
                raise one.failure
        expected = {key: row for one in self.all for key, row in one.rows.items()}
        found = {
            key: (None if amount is None else Decimal(amount), note)
            for key, amount, note in db.execute(
                f"select id, amount, note from {self.table} where id >= {APART}".encode(), prepare=False
            )
        }
        lost = {key: expected[key] for key in expected.keys() - found.keys()}
        ghosts = {key: found[key] for key in found.keys() - expected.keys()}
        stale = {
            key: (found[key], row) for key, row in expected.items() if key in found and found[key] != row
        }
        assert (lost, ghosts, stale) == ({}, {}, {})
        for one in self.all:
            one.rests.clear()
        self.resting.clear()

    def until_committed(self, number: int) -> None:
        """Wait until each has committed so many more transactions."""
        from tests.fixtures.waiting import until  # noqa: PLC0415

        goal = {one: one.commits + number for one in self.all}
        until(lambda: all(one.commits >= goal[one] or one.failure for one in self.all), 60)
