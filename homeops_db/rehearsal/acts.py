"""What the application of v1.0.0 does: one function a kind of request, in a transaction of its own.

It knows the tables and columns of v1.0.0 and no others, whatever version the database is at. Where it reads
rows of its own, it looks whether the answer is right.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from homeops_db.rehearsal.clients import Client
from homeops_db.rehearsal.owned import Owned, Row, cents, expect

_DAY: Final = date(2026, 1, 1)
_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PAGE: Final = 20
_NOBODYS: Final = 0.3
"""How often a transaction is one of an account that others have."""


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
    _ticks: int = 0

    def __post_init__(self) -> None:
        self.user, self.account = self.owned.new_key(), self.owned.new_key()
        self.device, self.playlist = self.owned.new_key(), self.owned.new_key()

    def tick(self) -> datetime:
        """Give a moment that this worker hasn't had."""
        self._ticks += 1
        return _MOMENT + timedelta(seconds=self._ticks, microseconds=self.number)

    def one(self, keys: list[UUID]) -> UUID:
        """Choose a generated row."""
        return self.owned.random.choice(keys)

    def below(self, number: int) -> int:
        """Choose a number."""
        return self.owned.random.randrange(number)


def move_in(app: App) -> None:
    """Make what the others need: a user, an account, a device and a playlist."""
    run = app.owned.insert
    user = {
        "email": f"worker{app.number}@example.com",
        "password_hash": "x",
        "full_name": "Worker",
        "role": "user",
    }
    run(app.client, "core.users", {"id": app.user, **user, "is_active": True})
    account: Row = {"id": app.account, "user_id": app.user, "name": "Checking", "account_type": "checking"}
    run(
        app.client, "financial.accounts", {**account, "currency": "EUR", "opening_balance": Decimal("100.00")}
    )
    device: Row = {"id": app.device, "room_id": app.one(app.known.rooms), "name": "Sensor", "type": "sensor"}
    run(
        app.client,
        "smart_home.devices",
        {**device, "protocol": "zigbee", "settings": "{}", "is_enabled": True},
    )
    run(
        app.client,
        "media.playlists",
        {"id": app.playlist, "user_id": app.user, "name": "Mine", "is_shared": False},
    )


# Money ------------------------------------------------------------------------------------------------


def spend(app: App) -> None:
    """Enter a transaction: of the own account, or of one that is full already."""
    is_ours = app.owned.random.random() > _NOBODYS
    key = app.owned.new_key()
    row: Row = {
        "id": key,
        "account_id": app.account if is_ours else app.one(app.known.accounts),
        "category_id": app.one(app.known.categories),
        "transaction_date": _DAY + timedelta(days=app.below(300)),
        "amount": _amount(app),
        "description": None if app.below(3) else f"Note {app.below(1000)}",
        "merchant_name": "Corner Market",
        "status": "pending",
        "external_id": None if app.below(2) else f"W{app.number}-{key.hex[8:]}",
    }
    app.owned.insert(app.client, "financial.transactions", row)


def correct(app: App) -> None:
    """Correct amount and note of a transaction."""
    _change(app, amount=_amount(app), description=f"corrected {app.below(1000)}", status="posted")


def recategorize(app: App) -> None:
    """Put a transaction into another category."""
    _change(app, category_id=app.one(app.known.categories))


def void(app: App) -> None:
    """Void a transaction."""
    _change(app, status="void")


def remove(app: App) -> None:
    """Delete a transaction of our own."""
    row = app.owned.some("financial.transactions")
    if row is not None:
        app.owned.delete(app.client, "financial.transactions", row)


def balance(app: App) -> None:
    """Read the account's balance, which must be what we have entered."""
    ((found,),) = app.client.run(
        "select a.opening_balance + coalesce(sum(t.amount) filter (where t.status <> 'void'), 0) "
        "from financial.accounts a left join financial.transactions t on t.account_id = a.id "
        "where a.id = :account group by a.id, a.opening_balance",
        {"account": app.account},
    )
    amounts = [row["amount"] for row in _ours(app) if row["status"] != "void"]
    expect(cents(found), cents(100 + sum(map(cents, amounts))), "the account's balance")


def statement(app: App) -> None:
    """List the last transactions of our account, which must be those that we have entered."""
    found = app.client.run(_STATEMENT, {"account": app.account, "page": _PAGE})
    last = sorted(_ours(app), key=lambda row: (row["transaction_date"], row["id"].int), reverse=True)[:_PAGE]
    expected = [(row["id"], cents(row["amount"]), row["description"], row["status"]) for row in last]
    expect([(row[0], cents(row[4]), row[5], row[7]) for row in found], expected, "the last transactions")


def other_statement(app: App) -> None:
    """List the last transactions of a full account."""
    app.client.run(_STATEMENT, {"account": app.one(app.known.accounts), "page": _PAGE})


def budgets(app: App) -> None:
    """Show a user's budgets, and what was spent of each."""
    app.client.run(
        "select b.id, b.name, b.amount, b.alert_percent, c.name, "
        " (select coalesce(sum(t.amount), 0) from financial.transactions t "
        "  join financial.accounts a on a.id = t.account_id and a.user_id = b.user_id "
        "  where t.category_id = b.category_id and t.transaction_date >= date '2025-12-01') "
        "from financial.budgets b join financial.categories c on c.id = b.category_id "
        "where b.user_id = :user",
        {"user": app.one(app.known.users)},
    )


_STATEMENT: Final = (
    "select id, account_id, category_id, transaction_date, amount, description, merchant_name, status, "
    "external_id, recurring_transaction_id, created_at, updated_at from financial.transactions "
    "where account_id = :account order by transaction_date desc, id desc limit :page"
)


def _amount(app: App) -> float:
    return (app.below(60_000) - 50_000) / 100


def _ours(app: App) -> list[Row]:
    rows = app.owned.committed["financial.transactions"].values()
    return [row for row in rows if row["account_id"] == app.account]


def _change(app: App, **changes: Any) -> None:
    row = app.owned.some("financial.transactions")
    if row is not None:
        app.owned.update(app.client, "financial.transactions", row, **changes)


# The house --------------------------------------------------------------------------------------------


def report(app: App) -> None:
    """Take in what a device says."""
    for _ in range(3):
        state = json.dumps({"power": "on", "level": app.below(100)})
        row = {
            "device_id": app.device,
            "recorded_at": app.tick(),
            "state": state,
            "reading": app.below(500) / 10,
        }
        app.owned.insert(app.client, "smart_home.device_states", {**row, "battery_percent": app.below(101)})


def dashboard(app: App) -> None:
    """Show the last state of every device in some room, and of our own, which must be what it said last."""
    query = (
        "select d.id, d.name, d.type, s.recorded_at, s.state, s.reading, s.battery_percent "
        "from smart_home.devices d left join lateral ("
        " select recorded_at, state, reading, battery_percent from smart_home.device_states "
        " where device_id = d.id order by recorded_at desc limit 1) s on true "
    )
    app.client.run(query + "where d.room_id = :room", {"room": app.one(app.known.rooms)})
    ((*_, recorded_at, _state, reading, _battery),) = app.client.run(
        query + "where d.id = :id", {"id": app.device}
    )
    states = app.owned.committed["smart_home.device_states"].values()
    last = max(states, key=lambda row: row["recorded_at"], default={"recorded_at": None, "reading": None})
    expect((recorded_at, reading), (last["recorded_at"], last["reading"]), "the device's last state")


def set_up(app: App) -> None:
    """Change the device's settings."""
    row = app.owned.committed["smart_home.devices"][app.device,]
    settings = json.dumps({"interval": app.below(100)})
    app.owned.update(app.client, "smart_home.devices", row, settings=settings, is_enabled=bool(app.below(2)))


def automate(app: App) -> None:
    """Begin a run of an automation, or end one."""
    row = app.owned.some("smart_home.automation_runs")
    if row is not None and app.below(2):
        app.owned.update(
            app.client, "smart_home.automation_runs", row, status="succeeded", ended_at=row["started_at"]
        )
        return
    run: Row = {"id": app.owned.new_key(), "automation_id": app.one(app.known.automations)}
    run |= {"status": "running", "started_at": app.tick()}
    app.owned.insert(app.client, "smart_home.automation_runs", run)


# Media ------------------------------------------------------------------------------------------------


def play(app: App) -> None:
    """Begin to play something."""
    row: Row = {"id": app.owned.new_key(), "user_id": app.user, "item_id": app.one(app.known.items)}
    row |= {"device_id": app.device, "started_at": app.tick(), "progress_percent": Decimal("0.00")}
    app.owned.insert(app.client, "media.playback_sessions", row)


def go_on_playing(app: App) -> None:
    """Say how far it is played."""
    row = app.owned.some("media.playback_sessions")
    if row is not None:
        progress = Decimal(app.below(10_001)) / 100
        ended_at = row["started_at"] + timedelta(seconds=app.below(5000))
        app.owned.update(
            app.client, "media.playback_sessions", row, progress_percent=progress, ended_at=ended_at
        )


def browse(app: App) -> None:
    """Show a library's titles, with their genres."""
    app.client.run(
        "select i.id, i.parent_id, i.title, i.type, i.part_number, i.released_on, i.duration_seconds, "
        "i.rating, i.file_path, i.details, (select string_agg(g.name, ', ') from media.item_genres ig "
        "join media.genres g on g.id = ig.genre_id where ig.item_id = i.id) "
        "from media.items i where i.library_id = :library order by i.title limit :page",
        {"library": app.one(app.known.libraries), "page": _PAGE},
    )


def line_up(app: App) -> None:
    """Put something on the playlist, or take it off."""
    row = app.owned.some("media.playlist_items")
    if row is not None and app.below(2):
        app.owned.delete(app.client, "media.playlist_items", row)
        return
    app.tick()
    row = {"playlist_id": app.playlist, "position": app._ticks, "item_id": app.one(app.known.items)}  # noqa: SLF001
    app.owned.insert(app.client, "media.playlist_items", row)


# People -----------------------------------------------------------------------------------------------


def notify(app: App) -> None:
    """Tell the user something."""
    row: Row = {"id": app.owned.new_key(), "user_id": app.user, "severity": "info", "title": "Battery low"}
    details = json.dumps({"number": app.below(100)})
    app.owned.insert(app.client, "core.notifications", {**row, "details": details, "created_at": app.tick()})


def read_notifications(app: App) -> None:
    """Show what is unread, which must be all of ours that is, and mark one as read."""
    found = app.client.run(
        "select id, severity, title, body, details, created_at from core.notifications "
        "where user_id = :user and read_at is null order by created_at desc",
        {"user": app.user},
    )
    rows = app.owned.committed["core.notifications"].values()
    unread = {row["id"]: row for row in rows if row.get("read_at") is None}
    expect({row[0] for row in found}, set(unread), "unread notifications")
    if unread:
        row = unread[app.one(list(unread))]
        app.owned.update(app.client, "core.notifications", row, read_at=row["created_at"])


def forget(app: App) -> None:
    """Delete a notification."""
    row = app.owned.some("core.notifications")
    if row is not None:
        app.owned.delete(app.client, "core.notifications", row)


def rename(app: App) -> None:
    """Change the user's profile and the account's name, and read the profile."""
    user = app.owned.committed["core.users"][app.user,]
    name = f"Worker {app.below(1000)}"
    app.owned.update(app.client, "core.users", user, full_name=name, is_active=bool(app.below(10)))
    account = app.owned.committed["financial.accounts"][app.account,]
    app.owned.update(app.client, "financial.accounts", account, name=f"Account {app.below(1000)}")
    found = app.client.run(
        "select email, password_hash, full_name, role, created_at, updated_at from core.users where id = :id",
        {"id": app.user},
    )
    expect([row[2] for row in found], [name], "the user's name")


ROUND: Final[tuple[Callable[[App], None], ...]] = (
    *(
        spend,
        statement,
        report,
        correct,
        play,
        balance,
        notify,
        dashboard,
        spend,
        other_statement,
        void,
        browse,
    ),
    *(
        go_on_playing,
        report,
        recategorize,
        set_up,
        budgets,
        read_notifications,
        spend,
        automate,
        remove,
        line_up,
    ),
    *(rename, forget),
)
"""What a worker does, one after the other; then it begins anew."""
