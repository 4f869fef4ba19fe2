"""v1.1.1: what early clients stored as preferences is mended, row by row, and given back."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from alembic import command
from psycopg import Connection
from psycopg.errors import CheckViolation
from sqlalchemy.engine import URL

from homeops_db.localdb import server
from homeops_db.settings import Settings, load
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import alembic_config

# As JSON text: Python's own values have no way to say everything that jsonb keeps.
GOOD = [
    "{}",
    '{"theme": "dark", "notify": {"mail": true}}',
    '{"_stored_as": {"theme": "dark"}}',
    '{"list": [], "nothing": null}',
]
BAD = [
    "null",
    "true",
    "0",
    "12.50",
    "[]",
    '["theme", "dark"]',
    '[{"theme": "dark"}]',
    *map(
        json.dumps,
        [
            "",
            "dark",
            "{'theme': 'dark'}",
            '{"theme": "dark"',
            "null",
            "NaN",
            "[1, 2]",
            ' {"theme" : "dark"}\n',
            '{"a": 1, "a": 2, "b": 1.50}',
            '{"_stored_as": 5, "theme": "dark"}',
            json.dumps('{"theme": "light"}'),
            json.dumps(json.dumps("dark")),
            '{"a": "\\u00e4\\ud83d\\ude00"}',
            '{"a": "\\u0000"}',
            '{"a": "\\ud800"}',
            '{"a": 1e999999}',
            "{}",
        ],
    ),
]


def refuse(_: str) -> Any:
    raise ValueError


def storable(value: str) -> Any:
    """Read JSON as jsonb does: no NaN, no infinite number, no NUL, no half of a surrogate pair."""
    read = json.loads(
        value, parse_constant=refuse, parse_float=lambda n: float(n) if abs(float(n)) < 1e300 else refuse(n)
    )
    again = json.dumps(read, ensure_ascii=False)
    again.encode()
    if "\\u0000" in again:
        raise ValueError
    return read


def mended(stored: Any) -> Any:
    """What v1.1.1 makes of a stored value."""
    read = stored
    try:
        while isinstance(read, str):
            read = storable(read)
    except ValueError:
        read = {}
    if read is stored and isinstance(read, dict):
        return stored
    return {**(read if isinstance(read, dict) else {}), "_stored_as": stored}


def fill(url: URL) -> None:
    with connect(url) as database, database.cursor() as cursor:
        cursor.executemany(
            "insert into core.users (id, email, password_hash, full_name, preferences, updated_at)"
            " values (%s, %s, 'h', 'A', %s, '2026-01-01')",
            [(UUID(int=n), f"{n}@example.net", text) for n, text in enumerate(GOOD + BAD)],
        )


def stored(url: URL) -> dict[int, str]:
    with connect(url) as database:
        rows = database.execute("select id, preferences::text from core.users order by id").fetchall()
    return {key.int: text for key, text in rows}


@pytest.fixture
def early(empty_url: URL) -> URL:
    """A database at v1.1.0 with preferences of early clients."""
    command.upgrade(alembic_config(Settings(database_url=empty_url)), "v1.1.0")
    fill(empty_url)
    return empty_url


def test_each_row_is_mended_as_the_model_says_and_given_back(early: URL) -> None:
    config = alembic_config(Settings(database_url=early))
    before = stored(early)
    command.upgrade(config, "v1.1.1")
    after = stored(early)
    assert {key: json.loads(text) for key, text in after.items()} == {
        key: mended(json.loads(text)) for key, text in before.items()
    }
    changed = len(GOOD) + BAD.index("null")
    forgotten = len(GOOD) + BAD.index(json.dumps(json.dumps('{"theme": "light"}')))
    with connect(early) as database:
        untouched = database.execute("select id from core.users where updated_at = '2026-01-01' order by id")
        assert [key.int for (key,) in untouched.fetchall()] == list(range(len(GOOD)))
        update = "update core.users set preferences = {} where id = %s"
        database.execute(update.format('preferences || \'{"theme": "red"}\'').encode(), [UUID(int=changed)])
        database.execute(update.format("preferences - '_stored_as'").encode(), [UUID(int=forgotten)])

    command.downgrade(config, "v1.1.0")
    back = stored(early)
    assert {key: text for key, text in back.items() if text != before[key]} == {
        changed: '{"theme": "red", "_stored_as": null}',
        forgotten: '{"theme": "light"}',
    }
    command.upgrade(config, "v1.1.1")
    assert stored(early) == {**after, changed: back[changed], forgotten: back[forgotten]}


def test_the_script_mends_the_same(early: URL, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(early)
    command.upgrade(alembic_config(Settings()), "v1.1.0:v1.1.1", sql=True)
    psql = server.ensure_running(load()).bin / "psql"
    subprocess.run(
        [psql, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", libpq(early)], input=capsys.readouterr().out,
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    after = stored(early)
    assert {key: json.loads(text) for key, text in after.items()} == {
        key: mended(json.loads(text)) for key, text in before.items()
    }


@pytest.fixture
def database(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as connection:
        # What v1.1.1 mends is refused from v2.0.0 on.
        connection.execute("alter table core.users drop constraint ck_users_preferences")
        fill(database_url)
        yield connection


def test_mending_what_is_mended_changes_nothing(database: Connection) -> None:
    query = """
        select count(*) filter (where core.mended_preferences(once) = once), count(*)
        from core.users, core.mended_preferences(preferences) once
    """
    assert database.execute(query).fetchone() == (len(GOOD + BAD),) * 2


def test_json_too_deep_to_be_read_is_kept(database: Connection) -> None:
    deep = '{"a": ' * 500_000
    query = "select core.mended_preferences(to_jsonb(%s::text)) = jsonb_build_object('_stored_as', %s::text)"
    assert database.execute(query, [deep, deep]).fetchone() == (True,)


@pytest.mark.parametrize("condition", ['preferences @> \'{"theme": "dark"}\'', "preferences ? 'theme'"])
def test_the_index_answers_both_questions(database: Connection, condition: str) -> None:
    database.execute("set enable_seqscan = off")
    plan = database.execute(f"explain select id from core.users where {condition}").fetchall()
    assert "ix_users_preferences" in str(plan)


def test_new_users_have_chosen_nothing_and_readonly_may_look(database_url: URL) -> None:
    reader = f"tests_reader_{os.getpid()}"
    with connect(database_url) as admin:
        admin.execute(
            "insert into core.users (email, password_hash, full_name) values ('a@example.net', 'h', 'A')"
        )
        admin.execute(f"create role {reader} login in role homeops_readonly")
        try:
            with psycopg.connect(libpq(database_url.set(username=reader)), autocommit=True) as connection:
                assert connection.execute("select preferences from core.users").fetchall() == [({},)]
        finally:
            admin.execute(f"drop role {reader}")


def test_what_clients_still_stored_is_mended_before_v2_refuses_it(empty_url: URL) -> None:
    config = alembic_config(Settings(database_url=empty_url))
    command.upgrade(config, "v1.1.1")
    fill(empty_url)
    command.upgrade(config, "v2.0.0")
    expected = {n: mended(json.loads(text)) for n, text in enumerate(GOOD + BAD)}
    assert {n: json.loads(text) for n, text in stored(empty_url).items()} == expected
    with connect(empty_url) as connection, pytest.raises(CheckViolation):
        connection.execute("update core.users set preferences = '[]'")
