"""Bulk files: what is loaded, what is passed over, and what an error says."""

import pytest
from psycopg import Connection

from homeops_db.errors import SeedError
from homeops_db.seeding import bulk, files, load
from homeops_db.settings import Settings
from tests.seeding.conftest import Seeds, one

COUNT = "select count(*) from smart_home.rooms"


def run(settings: Settings, seeds: Seeds) -> int:
    assert settings.database_url is not None
    (result,) = load.seed(settings.database_url, settings, folder=seeds.folder)
    return result.rows_changed


def refused(settings: Settings, seeds: Seeds, connection: Connection) -> str:
    with pytest.raises(SeedError) as caught:
        run(settings, seeds)
    assert one(connection, COUNT) == 0
    assert one(connection, "select count(*) from migrations.seed_runs") == 0
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_columns_come_from_the_header_and_others_get_their_defaults(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    seeds.write(
        "common/001_smart_home.rooms.csv", 'area_m2,type,name\n12.5,office,"Desk, ""quiet"""\n,other,é\n'
    )
    assert run(settings, seeds) == 2
    rows = connection.execute(
        "select name, type, floor, area_m2::text from smart_home.rooms order by name"
    ).fetchall()
    assert rows == [('Desk, "quiet"', "office", 0, "12.50"), ("é", "other", 0, None)]


def test_rows_that_are_there_stay_as_they_are(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    connection.execute("insert into smart_home.rooms (name, type, floor) values ('a', 'other', 7)")
    seeds.write("common/001_smart_home.rooms.csv", "name,type,floor\na,office,1\nb,office,1\nb,kitchen,2\n")
    assert run(settings, seeds) == 1
    assert one(connection, "select floor from smart_home.rooms where name = 'a'") == 7
    assert one(connection, "select type from smart_home.rooms where name = 'b'") == "office"


def test_rows_move_in_batches(seeds: Seeds, connection: Connection) -> None:
    seeds.write(
        "common/001_smart_home.rooms.csv",
        "name,type\n" + "".join(f"r{number},other\n" for number in range(21)),
    )
    (file,) = files.read("development", seeds.folder)
    connection.execute("create table public.moved (rows int)")
    connection.execute(
        "create function public.note() returns trigger language plpgsql as "
        "$$ begin insert into public.moved select count(*) from new_rows; return null; end $$"
    )
    connection.execute(
        "create trigger note after insert on smart_home.rooms referencing new table as new_rows "
        "for each statement execute function public.note()"
    )
    with connection.transaction():
        assert bulk.run(connection, file, batch_rows=10) == 21
    assert one(connection, "select array_agg(rows order by ctid)::text from public.moved") == "{10,10,1}"
    assert one(connection, COUNT) == 21


def test_a_bad_value_names_line_and_column(settings: Settings, seeds: Seeds, connection: Connection) -> None:
    seeds.write("common/001_smart_home.rooms.csv", 'name,type,floor\n"a\nb",other,1\nc,other,ground\n')
    told = refused(settings, seeds, connection)
    assert told.startswith("common/001_smart_home.rooms.csv, line 4: column floor: ")
    assert 'invalid input syntax for type smallint: "ground" (SQLSTATE 22P02)' in told


def test_a_row_that_breaks_a_constraint_names_its_line(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    good = [f'"r\n{number}",other' for number in range(40)]
    for row, reason in {
        "bad,castle": 'violates check constraint "ck_rooms_type" (SQLSTATE 23514)',
        ",other": 'column "name" of relation "rooms" violates not-null constraint (SQLSTATE 23502)',
    }.items():
        seeds.write("common/001_smart_home.rooms.csv", "\n".join(["name,type", *good, row, *good]) + "\n")
        told = refused(settings, seeds, connection)
        assert told.startswith("common/001_smart_home.rooms.csv, line 82: ")
        assert reason in told


UNFIT = [
    (
        "smart_home.rooms",
        "name,kind\na,b\n",
        "line 1: smart_home.rooms has no column kind; it has id, name, type",
    ),
    ("smart_home.castles", "name\na\n", "csv: there is no table smart_home.castles"),
    ("nowhere.rooms", "name\na\n", "csv: there is no table nowhere.rooms"),
    ("smart_home.rooms", "name,type,name\na,b,c\n", "line 1: column name is named twice"),
    ("smart_home.rooms", "", "line 1: the first line must name the columns"),
    ("smart_home.rooms", "name,,type\n", "line 1: the first line must name the columns"),
    ("smart_home.rooms", "name,type\na\n", 'line 2: missing data for column "type" (SQLSTATE 22P04)'),
    ("smart_home.rooms", "name,type\na,other,c\n", "line 2: extra data after last expected column"),
    ("smart_home.rooms", 'name,type\na,"other\n', "unterminated CSV quoted field"),
]


def test_a_file_that_does_not_fit_is_refused(
    settings: Settings, seeds: Seeds, connection: Connection
) -> None:
    for table, text, told in UNFIT:
        path = seeds.write(f"common/001_{table}.csv", text)
        assert told in refused(settings, seeds, connection)
        path.unlink()


def test_names_are_quoted(settings: Settings, seeds: Seeds, connection: Connection) -> None:
    connection.execute('create table public."Order" ("select" int primary key, ordinal int, "a b" text)')
    seeds.write("common/001_public.Order.csv", "select,ordinal,a b\n1,9,x\n2,8,%s\n")
    assert run(settings, seeds) == 2
    assert (
        one(connection, """select string_agg("a b", ',' order by ordinal) from public."Order" """) == "%s,x"
    )


def test_a_file_that_is_not_utf8_is_told(seeds: Seeds) -> None:
    seeds.write("common/001_smart_home.rooms.csv", "").write_bytes(b"n\xe9\n")
    (file,) = files.read("development", seeds.folder)
    with pytest.raises(SeedError, match=r"the file isn't UTF-8 \(byte 1\)"):
        bulk.columns(file)
