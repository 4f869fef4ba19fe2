"""What the traffic feels while a revision waits for a lock, builds an index or validates a constraint.

``python -m benchmarks.locks [--rows N] [--hold SECONDS] [--rounds N] [--json]`` makes a database of its own
on the local server.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable

import psycopg
import sqlalchemy as sa
from alembic import op

from benchmarks.revision import revision
from benchmarks.traffic import Load, Traffic, connect, pooled
from homeops_db import online
from homeops_db.history import patience
from homeops_db.localdb import server
from homeops_db.locking.policy import Policy
from homeops_db.settings import load

DATABASE = "benchmark_locks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default 1000000)")
    parser.add_argument("--hold", type=float, default=20, help="seconds the table is held (default 20)")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    local = server.ensure_running(load({})).url
    with connect(local) as admin:
        admin.execute(f"drop database if exists {DATABASE} (force)")
        admin.execute(f"create database {DATABASE}")
        try:
            rows = measure(local.set(database=DATABASE), given)
        finally:
            admin.execute(f"drop database {DATABASE} (force)")
    print(json.dumps(rows, indent=2) if given.json else "\n".join(map(line, rows)))
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def measure(url: sa.URL, given: argparse.Namespace) -> list[dict]:
    with connect(url) as connection:
        fill(connection, given.rows)
    return [*waiting(url, given), *building(url, given), overhead(url, given.rounds)]


def fill(connection: psycopg.Connection, rows: int) -> None:
    """Like financial.transactions: a bigint key, about 120 bytes a row, two secondary indexes."""
    connection.execute("create schema migrations; create table migrations.alembic_version ()")
    connection.execute("create table accounts (id bigint primary key)")
    connection.execute("insert into accounts select generate_series(0, 999)")
    connection.execute(
        "create table target (id bigint primary key, account_id bigint not null, amount numeric(12,2) not null, "
        "happened_at timestamptz not null, category text, description text not null)"
    )
    connection.execute(
        "insert into target select i, i % 1000, i % 100000 / 100.0, timestamptz '2024-01-01' + i * interval '1 s', "
        f"'category ' || i % 50, 'a payment of some kind, number ' || i from generate_series(1, {rows}) i"
    )
    connection.execute("create index on target (account_id); create index on target (happened_at)")
    connection.execute("vacuum analyze target")


def load_of(rows: int) -> Load:
    return Load(
        "select amount, description from target where id = %s",
        "update target set amount = amount + 1 where id = %s",
        rows,
    )


# Measurements -----------------------------------------------------------------------------------------


def waiting(url: sa.URL, given: argparse.Namespace) -> list[dict]:
    """A transaction holds the table; a revision wants ACCESS EXCLUSIVE."""
    traffic, after = Traffic(url, load_of(given.rows)), []
    for number in range(given.rounds):
        for name, add in WAYS.items():
            traffic.quiet()
            with traffic.window(name):
                after.append((name, held_up(url, given.hold, add, number)))
    felt = traffic.end()
    idle, ours, patient, plain = (pooled(felt[name]) for name in ("idle", *WAYS))
    taken = statistics.median(ms for name, ms in after if name == "online")
    return [
        row(
            "p99 of the traffic while online waits for ACCESS EXCLUSIVE ÷ idle", ours.p99() / idle.p99(), 1.5
        ),
        row("worst stall meanwhile, ms", ours.worst(), 60),
        row("lock taken after its release, ms (median)", taken, 200),
        row("worst request while idle, ms", idle.worst()),
        row(
            "p99 of the traffic while a revision of plain op is tried again ÷ idle",
            patient.p99() / idle.p99(),
            1.5,
        ),
        row("worst stall of a revision of plain op, ms", patient.worst()),
        row("p99 of the traffic while a plain ALTER TABLE waits ÷ idle", plain.p99() / idle.p99()),
        row("worst stall of a plain ALTER TABLE without lock_timeout, ms", plain.worst()),
    ]


def held_up(url: sa.URL, hold: float, add: Callable[[sa.URL, int], None], number: int) -> float:
    """Run it while the table is held; give the ms from the release to its end."""
    with connect(url) as holder:
        holder.execute("begin; select count(*) from target where id < 100")
        time.sleep(0.2)
        released: list[float] = []

        def release() -> None:
            holder.execute("commit")
            released.append(time.monotonic())

        timer = threading.Timer(hold, release)
        timer.start()
        add(url, number)
        ended = time.monotonic()
        timer.join()
    return (ended - released[0]) * 1000


def add_online(url: sa.URL, number: int) -> None:
    with revision(url):
        online.add_column("target", sa.Column(f"online_{number}", sa.Integer()))


def add_plain(url: sa.URL, number: int) -> None:
    with connect(url) as connection:
        connection.execute(f"alter table target add column plain_{number} int")


def add_patient(url: sa.URL, number: int) -> None:
    """A revision of op, as `alembic upgrade` runs it."""
    column = sa.Column(f"patient_{number}", sa.Integer())
    with revision(url):
        migrate = patience.patient(
            lambda: op.add_column("target", column), op.get_context(), Policy(), lambda *_: None
        )
        migrate()


WAYS = {"online": add_online, "op, tried again": add_patient, "plain": add_plain}


BUILDS: dict[str, tuple[Callable[[], object], str, str]] = {
    "create_index": (
        lambda: online.create_index("ix", "target", ["category", "happened_at"]),
        "create index ix on target (category, happened_at)",
        "drop index ix",
    ),
    "create_check_constraint": (
        lambda: online.create_check_constraint("ck", "target", "amount > -1 and length(description) > 1"),
        "alter table target add constraint ck check (amount > -1 and length(description) > 1)",
        "alter table target drop constraint ck",
    ),
    "alter_column(nullable=False)": (
        lambda: online.alter_column("target", "category", nullable=False),
        "alter table target alter category set not null",
        "alter table target alter category drop not null",
    ),
    "create_foreign_key": (
        lambda: online.create_foreign_key("fk", "target", "accounts", ["account_id"], ["id"]),
        "alter table target add constraint fk foreign key (account_id) references accounts (id)",
        "alter table target drop constraint fk",
    ),
}


def building(url: sa.URL, given: argparse.Namespace) -> list[dict]:
    """Indexes and constraints, online and in the blocking form."""
    traffic = Traffic(url, load_of(given.rows))
    with connect(url) as connection:
        for _ in range(given.rounds):
            for name, (build, blocking, undo) in BUILDS.items():
                traffic.quiet()
                with traffic.window(f"online.{name}"), revision(url):
                    build()
                connection.execute(undo)
                traffic.quiet()
                with traffic.window(f"blocking {name}"):
                    connection.execute(blocking)
                connection.execute(undo)
    felt = {name: pooled(windows) for name, windows in traffic.end().items()}
    idle = felt["idle"].p99()
    return [
        found
        for name in BUILDS
        for ours, theirs in [(felt[f"online.{name}"], felt[f"blocking {name}"])]
        for found in (
            row(f"p99 of the traffic during online.{name} ÷ idle", ours.p99() / idle),
            row(
                f"p99 of the traffic during online.{name} ÷ the blocking form", ours.p99() / theirs.p99(), 1.0
            ),
            row(f"worst request during online.{name}, ms", ours.worst()),
            row(f"worst request during the blocking form of {name}, ms", theirs.worst()),
        )
    ]


def overhead(url: sa.URL, rounds: int) -> dict:
    """online.create_index against the bare statement, without traffic."""
    taken: dict[str, list[float]] = {"online": [], "bare": []}
    with connect(url) as connection:
        for number in range(2 * max(rounds, 3)):
            for name in sorted(taken, reverse=bool(number % 2)):  # neither is always the second
                began = time.perf_counter()
                if name == "online":
                    with revision(url):
                        BUILDS["create_index"][0]()
                else:
                    with connect(url) as bare:
                        bare.execute("create index concurrently ix on target (category, happened_at)")
                taken[name].append(time.perf_counter() - began)
                connection.execute("drop index ix")
    ours, theirs = (statistics.median(taken[name]) for name in ("online", "bare"))
    return row("online.create_index ÷ CREATE INDEX CONCURRENTLY", ours / theirs, 1.05)


def row(what: str, value: float, goal: float | None = None) -> dict:
    return {"what": what, "value": round(value, 3), "goal": goal, "met": goal is None or value <= goal}


def line(found: dict) -> str:
    if found["goal"] is None:
        return f"{found['what']}: {found['value']}"
    return (
        f"{found['what']}: {found['value']} (goal ≤ {found['goal']}, {'met' if found['met'] else 'MISSED'})"
    )


if __name__ == "__main__":
    main()
