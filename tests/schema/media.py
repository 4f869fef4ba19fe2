"""A database with a few works of media in it, for the tests of the schema media."""

import os
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect


def uid(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


USERS = [uid(0x100 + n) for n in range(3)]
ITEMS = [uid(0x200 + n) for n in range(12)]
TRACKS = ITEMS[6:]
GENRES = [uid(0x300 + n) for n in range(6)]
MOODS = [uid(0x400 + n) for n in range(5)]
PEOPLE = [uid(0x500 + n) for n in range(8)]
MODELS = [uid(0x600 + n) for n in range(3)]
SESSIONS = [uid(0x700 + n) for n in range(18)]
DEVICE = uid(0x800)


def chance_of(seed: int) -> random.Random:
    """The same numbers in every run."""
    return random.Random(seed)  # noqa: S311 - no secret


def insert(database: Connection, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
    given = ", ".join(["%s"] * len(columns.split(", ")))
    with database.cursor() as cursor, database.transaction():
        cursor.executemany(f"insert into media.{table} ({columns}) values ({given})".encode(), rows)


def fill(connection: Connection) -> None:
    """Write three users, six movies, six tracks, and a session of each user and movie."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into core.users (id, email, password_hash, full_name) values (%s, %s, 'h', 'A')",
            [(user, f"{user}@b.c") for user in USERS],
        )
    connection.execute(
        "insert into smart_home.devices (id, name, type) values (%s, 'TV', 'media_player')", [DEVICE]
    )
    insert(connection, "libraries", "id, name, type", [(uid(1), "All", "mixed")])
    types = [(item, "track" if item in TRACKS else "movie") for item in ITEMS]
    rows: list[tuple[object, ...]] = [(item, uid(1), "A", type_) for item, type_ in types]
    insert(connection, "items", "id, library_id, title, type", rows)
    insert(connection, "genres", "id, name", [(g, f"G{n}") for n, g in enumerate(GENRES)])
    insert(connection, "moods", "id, name, energy, valence", [(m, f"M{m}", 0, 1) for m in MOODS])
    insert(connection, "people", "id, name", [(p, "P") for p in PEOPLE])
    insert(
        connection,
        "recommendation_models",
        "id, name, version, algorithm, is_active, trained_at",
        [(model, "model", n + 1, "content", n == 0, "2024-01-01") for n, model in enumerate(MODELS)],
    )
    pairs = [(user, item) for user in USERS for item in ITEMS[:6]]
    insert(
        connection,
        "playback_sessions",
        "id, user_id, item_id",
        [(session, *pair) for session, pair in zip(SESSIONS, pairs, strict=True)],
    )


@contextmanager
def filled(executor: NoopExecutor) -> Iterator[URL]:
    """Keep a filled database for the tests of a module, which roll back what they do."""
    where = {"host": executor.host, "port": str(executor.port)}
    admin = URL.create("postgresql+psycopg", executor.user, host="", database="postgres", query=where)
    name = f"media_{os.getpid()}"
    with connect(admin) as connection:
        connection.execute(f"drop database if exists {name} with (force)".encode())
        connection.execute(f"create database {name} template {executor.template_dbname}".encode())
        with connect(admin.set(database=name)) as own:
            fill(own)
        yield admin.set(database=name)
        connection.execute(f"drop database {name} with (force)".encode())


@contextmanager
def rolled_back(url: URL) -> Iterator[Connection]:
    """Open a transaction that leaves nothing, far from UTC."""
    with connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute("set timezone to 'Pacific/Auckland'")
        yield connection
