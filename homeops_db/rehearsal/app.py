"""One worker's session of the application: who it is, whom it knows, and what it has written."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from homeops_db.rehearsal.clients import Client
from homeops_db.rehearsal.owned import Owned

PAGE: Final = 20
"""Rows that a list shows."""

_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """Keys of generated rows that the application refers to and reads."""

    accounts: list[UUID]
    categories: list[UUID]
    users: list[UUID]
    rooms: list[UUID]
    items: list[UUID]
    libraries: list[UUID]
    automations: list[UUID]


@dataclass
class App:
    """One worker's session of the application: who it is, and what it has written."""

    client: Client
    owned: Owned
    known: Known
    number: int
    user: UUID = field(init=False)
    account: UUID = field(init=False)
    device: UUID = field(init=False)
    playlist: UUID = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        self.user, self.account = self.owned.new_key(), self.owned.new_key()
        self.device, self.playlist = self.owned.new_key(), self.owned.new_key()

    def tick(self) -> datetime:
        """Give a moment that this worker hasn't had."""
        return _MOMENT + timedelta(seconds=self.count(), microseconds=self.number)

    def count(self) -> int:
        """Give the next number of this worker."""
        self._count += 1
        return self._count

    def one(self, keys: list[UUID]) -> UUID:
        """Choose a generated row."""
        return self.owned.random.choice(keys)

    def below(self, number: int) -> int:
        """Choose a number."""
        return self.owned.random.randrange(number)
