"""Files run by the loader: all or nothing, recorded, and without effect the second time."""

import hashlib
import re

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import database
from homeops_db.errors import SeedError
from homeops_db.history import lock
from homeops_db.history.versions import FIRST
from homeops_db.seeding import load
from homeops_db.seeding.load import FileResult
from homeops_db.settings import Settings
from tests.fixtures.projects import alembic_config
from tests.seeding.conftest import Seeds, content, one

ROOMS = "select string_agg(name, ',' order by name) from smart_home.rooms"
RUNS = "select file, environment, checksum, rows_changed, ran_by from migrations.seed_runs order by file"


def run(settings: Settings, seeds: Seeds) -> list[FileResult]:
    assert settings.database_url is not None
    return load.seed(settings.database_url, settings, folder=seeds.folder)


def room(name: str) -> str:
    return f"INSERT INTO smart_home.rooms (name, type) VALUES ('{name}', 'other') ON CONFLICT DO NOTHING;\n"


def test_rows_are_counted_and_the_run_is_recorded(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    path = seeds.write(
        "common/001_rooms.sql",
        room("a") + room("b") + "UPDATE smart_home.rooms SET floor = 3 WHERE name = 'a' AND floor = 0;\n"
        "DELETE FROM smart_home.rooms WHERE name = 'nobody';\nSELECT * FROM smart_home.rooms;\n",
    )
    (result,) = run(settings, seeds)
    assert (result.file, result.rows_changed, result.unchanged) == ("common/001_rooms.sql", 3, False)
    assert connection.execute(RUNS).fetchall() == [
        (
            "common/001_rooms.sql",
            "development",
            hashlib.sha256(path.read_bytes()).hexdigest(),
            3,
            connection.info.user,
        )
    ]


def test_a_second_run_changes_nothing_at_all(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    seeds.write("common/002_smart_home.rooms.csv", "name,type\nb,kitchen\nc,office\n")
    assert [result.rows_changed for result in run(settings, seeds)] == [1, 2]
    before = content(connection)
    assert all(result.unchanged for result in run(settings, seeds))
    assert content(connection) == before


def test_a_changed_file_is_recorded_even_where_it_changes_no_row(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    run(settings, seeds)
    path = seeds.write("common/001_rooms.sql", room("a") + "-- a remark\n")
    assert run(settings, seeds)[0].unchanged
    recorded = one(connection, "select checksum || ' ' || rows_changed from migrations.seed_runs")
    assert recorded == f"{hashlib.sha256(path.read_bytes()).hexdigest()} 0"


def test_changes_that_no_command_tag_tells_are_counted(settings: Settings, seeds: Seeds) -> None:
    seeds.write("common/001_do.sql", f"DO $$ BEGIN {room('a')} END $$;")
    made = room("b").replace("DO NOTHING;", "DO NOTHING RETURNING 1")
    seeds.write("common/002_with.sql", f"WITH made AS ({made}) SELECT count(*) FROM made;")
    seeds.write("common/003_select.sql", "SELECT * FROM smart_home.rooms;")
    assert [result.rows_changed for result in run(settings, seeds)] == [1, 1, 0]
    assert [result.rows_changed for result in run(settings, seeds)] == [0, 0, 0]


def test_a_failing_statement_leaves_nothing_of_its_file(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_good.sql", room("good"))
    seeds.write(
        "common/002_bad.sql",
        room("gone")
        + "\n-- wrong\nINSERT INTO smart_home.rooms\n    (name, type)\nVALUES ('x', 'castle');\n"
        + room("y"),
    )
    seeds.write("common/003_never.sql", room("never"))
    with pytest.raises(SeedError) as caught:
        run(settings, seeds)
    assert re.fullmatch(
        r"common/002_bad\.sql, line 4: INSERT INTO smart_home\.rooms \(name, type\) VALUES \('x', 'cas…: "
        r'new row for relation "rooms" violates check constraint "ck_rooms_type" \(SQLSTATE 23514\)\. '
        r"Nothing of this file stays\. .*homeops-db seed",
        str(caught.value),
    ), str(caught.value)
    assert one(connection, ROOMS) == "good"
    assert one(connection, "select string_agg(file, ',') from migrations.seed_runs") == "common/001_good.sql"


def test_a_syntax_error_anywhere_stops_everything(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_good.sql", room("good"))
    seeds.write("development/001_bad.sql", room("gone") + "SELEC 1;")
    with pytest.raises(SeedError, match=r"development/001_bad.sql, line 2: syntax error"):
        run(settings, seeds)
    assert one(connection, ROOMS) is None


def test_a_commit_inside_of_a_do_block_fails(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_bad.sql", room("gone") + "DO $$ BEGIN COMMIT; END $$;")
    with pytest.raises(SeedError, match=r"001_bad.sql, line 2: DO .*\(SQLSTATE 2D000\)"):
        run(settings, seeds)
    assert one(connection, ROOMS) is None


def test_what_fails_only_at_commit_names_the_file(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    connection.execute("create table public.t (id int unique deferrable initially deferred)")
    seeds.write("common/001_bad.sql", room("gone") + "INSERT INTO public.t VALUES (1), (1);")
    with pytest.raises(SeedError, match=r"common/001_bad.sql: .*\(SQLSTATE 23505\)"):
        run(settings, seeds)
    assert one(connection, ROOMS) is None


def test_percent_and_colon_are_plain_characters(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("100 % of %s, %(x)s, :name, a::b, {c}"))
    run(settings, seeds)
    assert one(connection, ROOMS) == "100 % of %s, %(x)s, :name, a::b, {c}"


def test_settings_and_temporary_tables_end_with_their_file(settings: Settings, seeds: Seeds) -> None:
    seeds.write("common/001_a.sql", "SET application_name = 'leaked'; CREATE TEMP TABLE t (id int);")
    seeds.write(
        "common/002_b.sql",
        "CREATE TEMP TABLE t (id int);\nSELECT 1 / (current_setting('application_name') <> 'leaked')::int;",
    )
    assert len(run(settings, seeds)) == 2


def test_functions_of_extensions_are_found_in_another_schema(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    connection.execute("create schema if not exists extensions")
    connection.execute("alter extension pgcrypto set schema extensions")
    seeds.write("common/001_a.sql", "SELECT crypt('secret', gen_salt('bf'));")
    assert len(run(settings, seeds)) == 1


def test_the_run_holds_the_migration_lock(
    database_url: URL, settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_a.sql", "SELECT 1;")
    seen = []
    load.seed(
        database_url,
        settings,
        folder=seeds.folder,
        announce=lambda file: seen.append((file, lock.holder(connection))),
    )
    ((file, holder),) = seen
    assert file == "common/001_a.sql"
    assert holder is not None
    assert holder.alive
    assert holder.reason == "development seeds"
    assert lock.holder(connection) is None


def test_the_lock_of_the_caller_is_used(database_url: URL, settings: Settings, seeds: Seeds) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    with lock.held(database_url, settings, reason="a deploy") as held:
        (result,) = load.seed(database_url, settings, folder=seeds.folder, migration_lock=held)
        held.assert_held()
    assert result.rows_changed == 1


def test_a_database_at_an_unknown_version_is_refused(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    connection.execute("update migrations.alembic_version set version_num = 'v0.9.0'")
    with pytest.raises(
        SeedError, match=r"is at v0\.9\.0, which no revision here makes.*Run: alembic upgrade head"
    ):
        run(settings, seeds)
    assert one(connection, ROOMS) is None


def test_files_that_need_a_later_version_are_left_out(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    for number, since in enumerate(("", "v1.0.0_", "v1.1.0_", "v1.1.1_", "v99.0.0_"), start=1):
        seeds.write(f"common/{number:03d}_{since}rooms.sql", room(since or "always"))
    connection.execute("update migrations.alembic_version set version_num = 'v1.1.0'")
    assert [(result.file, result.needs) for result in run(settings, seeds)] == [
        ("common/001_rooms.sql", None),
        ("common/002_v1.0.0_rooms.sql", None),
        ("common/003_v1.1.0_rooms.sql", None),
        ("common/004_v1.1.1_rooms.sql", "v1.1.1"),
        ("common/005_v99.0.0_rooms.sql", "v99.0.0"),
    ]
    assert one(connection, ROOMS) == "always,v1.0.0_,v1.1.0_"


def test_after_an_upgrade_the_files_left_out_run(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    seeds.write("common/002_v1.1.0_rooms.sql", room("b"))
    for version, unchanged in (
        ("v1.0.0", {"001_rooms": False, "002_v1.1.0_rooms": "v1.1.0"}),
        ("v1.1.0", {"001_rooms": True, "002_v1.1.0_rooms": False}),
    ):
        connection.execute("update migrations.alembic_version set version_num = %s", (version,))
        results = run(settings, seeds)
        assert {result.file[7:-4]: result.needs or result.unchanged for result in results} == unchanged
    assert one(connection, ROOMS) == "a,b"


def test_an_empty_database_is_refused_and_stays_empty(empty_url: URL, seeds: Seeds) -> None:
    settings = Settings(database_url=empty_url)
    seeds.write("common/001_rooms.sql", room("a"))
    with pytest.raises(SeedError, match=r"has no HomeOps schema yet.*Run: alembic upgrade head"):
        run(settings, seeds)
    with database.connect(empty_url, settings, application="homeops-db test") as connection:
        assert one(connection, "select to_regnamespace('migrations') is null") is True


def test_tables_that_are_empty_again_are_seeded_again(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write("common/001_rooms.sql", room("a"))
    run(settings, seeds)
    command.downgrade(alembic_config(settings), "base")
    command.upgrade(alembic_config(settings), FIRST)
    assert one(connection, ROOMS) is None
    assert [result.rows_changed for result in run(settings, seeds)] == [1]
    assert one(connection, ROOMS) == "a"
