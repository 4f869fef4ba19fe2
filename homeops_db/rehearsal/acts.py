"""What the application of v1.0.0 does: one function a kind of request, in a transaction of its own.

It knows the tables and columns of v1.0.0 and no others, whatever version the database is at. Where it reads
rows of its own, it looks whether the answer is right.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from homeops_db.rehearsal.app import App
from homeops_db.rehearsal.house import (
    automate,
    browse,
    dashboard,
    go_on_playing,
    line_up,
    play,
    report,
    set_up,
)
from homeops_db.rehearsal.money import (
    balance,
    budgets,
    correct,
    other_statement,
    recategorize,
    remove,
    spend,
    statement,
    void,
)
from homeops_db.rehearsal.owned import Row, expect


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
