"""What the application does in the house: devices, automations, and what is played."""

import json
from datetime import timedelta
from decimal import Decimal

from homeops_db.rehearsal.app import PAGE, App
from homeops_db.rehearsal.owned import Row, expect


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
        {"library": app.one(app.known.libraries), "page": PAGE},
    )


def line_up(app: App) -> None:
    """Put something on the playlist, or take it off."""
    row = app.owned.some("media.playlist_items")
    if row is not None and app.below(2):
        app.owned.delete(app.client, "media.playlist_items", row)
        return
    row = {"playlist_id": app.playlist, "position": app.count(), "item_id": app.one(app.known.items)}
    app.owned.insert(app.client, "media.playlist_items", row)
