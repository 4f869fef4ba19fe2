"""Rows that one worker has written: its model of what must be there, and what writes them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final

from homeops_db.rehearsal.clients import Client

Row = dict[str, Any]
Key = tuple[Any, ...]

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "core.users": ("id",),
    "core.notifications": ("id",),
    "financial.accounts": ("id",),
    "financial.transactions": ("id",),
    "smart_home.devices": ("id",),
    "smart_home.device_states": ("device_id", "recorded_at"),
    "smart_home.automation_runs": ("id",),
    "media.playlists": ("id",),
    "media.playlist_items": ("playlist_id", "position"),
    "media.playback_sessions": ("id",),
}
"""Tables in which the workload has rows of its own, and their keys. The first column is a uuid."""

FIRST_KEY: Final = uuid.UUID("ffffffff-0000-0000-0000-000000000000")
"""Keys of such rows are from here on."""

JSON: Final = frozenset({"details", "settings", "state"})


class WrongAnswerError(Exception):
    """A read gave something else than what this worker has committed."""


@dataclass
class Owned:
    """The rows of one worker: what it has committed, and what the transaction in hand will.

    A row has the columns of v1.0.0 that the application writes.
    """

    random: Random
    committed: dict[str, dict[Key, Row]] = field(default_factory=lambda: {table: {} for table in KEYS})
    _pending: dict[tuple[str, Key], Row | None] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep what is written in the block once it has ended without an error."""
        self._pending = {}
        yield
        for (table, key), row in self._pending.items():
            if row is None:
                self.committed[table].pop(key, None)
            else:
                self.committed[table][key] = row

    def new_key(self) -> uuid.UUID:
        """Make a key that nobody else makes."""
        return uuid.UUID(int=FIRST_KEY.int | self.random.getrandbits(96))

    def some(self, table: str) -> Row | None:
        """Choose a row of a table."""
        rows = self.committed[table]
        return rows[self.random.choice(list(rows))] if rows else None

    def insert(self, client: Client, table: str, row: Row) -> None:
        """Insert a row."""
        names = ", ".join(row)
        client.run(f"insert into {table} ({names}) values ({_places(row)})", row)  # noqa: S608
        self._pending[table, _key(table, row)] = row

    def update(self, client: Client, table: str, row: Row, **changes: Any) -> None:
        """Change a row by its key.

        Raises:
            WrongAnswerError: It isn't there.
        """
        assigned = ", ".join(f"{name} = {_place(name)}" for name in changes)
        found = client.run(
            f"update {table} set {assigned} where {_by_key(table)} returning {KEYS[table][0]}",  # noqa: S608
            {**_key_values(table, row), **changes},
        )
        self._pending[table, _key(table, row)] = {**row, **changes}
        expect(len(found), 1, f"rows of {table} that an UPDATE by key finds")

    def delete(self, client: Client, table: str, row: Row) -> None:
        """Delete a row by its key.

        Raises:
            WrongAnswerError: It isn't there.
        """
        found = client.run(
            f"delete from {table} where {_by_key(table)} returning {KEYS[table][0]}",  # noqa: S608
            _key_values(table, row),
        )
        self._pending[table, _key(table, row)] = None
        expect(len(found), 1, f"rows of {table} that a DELETE by key finds")


def expect(found: Any, expected: Any, what: str) -> None:
    """Compare what a read has found with the model.

    Raises:
        WrongAnswerError: It is something else.
    """
    if found != expected:
        raise WrongAnswerError(f"{what}: {found!r}, not {expected!r}")


def cents(amount: float | Decimal) -> Decimal:
    """Read an amount, which is a double at first and a numeric later, as whole cents."""
    return Decimal(str(amount)).quantize(Decimal("0.01"))


def _key(table: str, row: Row) -> Key:
    return tuple(row[name] for name in KEYS[table])


def _key_values(table: str, row: Row) -> Row:
    return {f"key_{name}": row[name] for name in KEYS[table]}


def _by_key(table: str) -> str:
    return " and ".join(f"{name} = :key_{name}" for name in KEYS[table])


def _places(row: Row) -> str:
    return ", ".join(map(_place, row))


def _place(name: str) -> str:
    return f"cast(:{name} as jsonb)" if name in JSON else f":{name}"
