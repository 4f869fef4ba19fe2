"""`online.backfill`: exactly the rows asked for, on tables of every kind."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic import op
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import ObjectError
from homeops_db.history import backfills
from homeops_db.online.backfill.plan import STRIPES
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import (
    COUNTED,
    SMALL_BATCHES,
    fill,
    is_clean,
    nobody_else_counts,  # noqa: F401 - a fixture
    rows,
    scalar,
    slowly,
)
from tests.online.meanwhile import at

Run = Callable[..., Any]


# What it gives ----------------------------------------------------------------------------------------


def test_the_issues_example(run: Run, db: Connection) -> None:
    db.execute("""
        create schema financial;
        create table financial.transactions (
            id bigint generated always as identity primary key, amount text, note text, amount_decimal numeric(15,2)
        );
        insert into financial.transactions (amount, note)
        select case when g % 10 > 0 then (g * 1.25)::text end, repeat('x', 200) from generate_series(1, 3000) g;
        create function log_it() returns trigger language plpgsql as 'begin return null; end';
        create trigger log_it after update of amount_decimal on financial.transactions
            for each row execute function log_it();
    """)
    try:
        done = run(
            online.backfill, "transactions", {"amount_decimal": "amount::numeric(15,2)"}, schema="financial",
            where="amount_decimal IS NULL AND amount IS NOT NULL",
        )  # fmt: skip
        assert rows(
            db,
            "select count(*), sum(amount_decimal) = sum(amount::numeric) from financial.transactions"
            " where amount_decimal is not distinct from amount::numeric",
        ) == [(3000, True)]
    finally:
        db.execute("drop schema financial cascade")
    assert (done.operation, done.subject, done.changed) == ("backfill", "financial.transactions", True)
    assert (done.rows, done.errors, done.arriving) == (2700, 0, 0)
    assert done.batches >= 8
    assert done.seconds > 0
    (plan,) = done.plan
    assert plan.startswith(
        f"financial.transactions: striped ctid, S={STRIPES}, because amount_decimal compared with what is "
        "assigned tells which rows are left; no index covers what is set"
    )
    assert done.notices[0].startswith("about 2.7k of about 3k rows to do: ")
    assert "trigger log_it (public.log_it) fires on each row, AFTER UPDATE OF amount_decimal" in done.notices
    stored = backfills.one(db, done.id)
    assert stored is not None
    assert (stored.state, stored.rows_done, stored.share_done, stored.detail) == ("done", 2700, 1.0, None)
    assert stored.plan == plan
    until(lambda: is_clean(db))
    assert scalar(db, "select count(*) from migrations.backfill_errors") == 0


@MOSTLY_HERE
def test_a_second_run_finds_nothing_to_do(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g")
    db.execute("create table before as select ctid as place, xmin::text as x, id from t where id > 500")
    first = run(online.backfill, "t", {"n": "-id"}, where="id <= 500")
    again = run(online.backfill, "t", {"n": "-id"}, where="id <= 500")
    assert (first.rows, first.changed, again.rows, again.changed) == (500, True, 0, False)
    assert scalar(db, "select count(*) from t where n = -id") == 500
    assert scalar(db, "select count(*) from t join before b on b.id = t.id and b.place = t.ctid") == 500


@MOSTLY_HERE
@pytest.mark.parametrize(("count", "values"), [(0, "n * 2"), (0, "-g"), (3, "n * 2")])
def test_a_small_table_and_an_empty_one(run: Run, db: Connection, count: int, values: str) -> None:
    fill(db, "id int primary key", "g", count=count)
    done = run(online.backfill, "t", {"n": values})
    assert (done.rows, done.changed) == (count, count > 0)
    assert scalar(db, f"select count(*) from t where n = {values.replace('n', 'g')}") == count
    assert "few" in done.plan[0]


# By what it goes --------------------------------------------------------------------------------------

KEYS = {
    "negative integers": ("id int primary key", "g - 500"),
    "bigint, backwards": ("id bigint primary key", "1000 - g::bigint * 3000000000"),
    "uuid": ("id uuid primary key", "md5(g::text)::uuid"),
    "text": ("id text primary key", "md5(g::text) || '''%{}'"),
    "text in another collation": ('id text collate "und-x-icu" primary key', "md5(g::text) || ' Ä'"),
    "char": ("id char(40) primary key", "md5(g::text)"),
    "timestamptz": ("id timestamptz primary key", "timestamptz '2024-03-31' + g * interval '1 min 1 us'"),
    "float": ("id float8 primary key", "1 / g::float8"),
    "an enum": ("a mood, id numeric, primary key (a, id)", "enum_first(null::mood), g / 7.0"),
    "several columns": ('"A b" int, id text, primary key ("A b", id)', "g % 7, 'x' || g"),
    "a unique index": ("x int, id int not null, unique (id)", "null, g"),
    "no key": ("id int", "g % 3"),
}


def key_of(db: Connection, key: str) -> tuple[str, str]:
    if "icu" in KEYS[key][0] and not scalar(
        db, "select count(*) from pg_collation where collname = 'und-x-icu'"
    ):
        pytest.skip("this server is built without ICU")
    return KEYS[key]


@pytest.fixture
def mood(db: Connection) -> None:
    db.execute("create type mood as enum ('sad', 'ok')")


def keys_and_stripes(*quick: tuple[str, int], but_not: str = "") -> pytest.MarkDecorator:
    """Every key, plain and in stripes; those that aren't named run with the slow ones."""
    every = [(key, stripes) for key in KEYS if key != but_not for stripes in (1, 4)]
    return pytest.mark.parametrize(
        ("key", "stripes"),
        [one if one in quick else slowly(*one) for one in every],
    )


@keys_and_stripes(
    ("negative integers", 4), ("several columns", 4), ("uuid", 1), ("text", 1), but_not="no key"
)
@MOSTLY_HERE
def test_every_row_exactly_once_by_its_key(
    run: Run, db: Connection, mood: None, key: str, stripes: int
) -> None:
    """Nothing tells rows that are done from the others."""
    fill(db, *key_of(db, key), count=300)
    with online.pace(**SMALL_BATCHES):
        done = run(online.backfill, "t", {"n": "n + 1"}, stripes=stripes)
    assert scalar(db, "select count(*) from t where n = g + 1") == 300
    assert (done.rows, done.batches >= 6) == (300, True)
    assert f"{'striped' if stripes > 1 else 'plain'} key (" in done.plan[0]
    assert "the expression of n reads it, which is set" in done.plan[0]


@keys_and_stripes(("no key", 4), ("several columns", 1))
@MOSTLY_HERE
def test_every_row_by_its_page(run: Run, db: Connection, mood: None, key: str, stripes: int) -> None:
    fill(db, *key_of(db, key), count=300)
    with online.pace(**SMALL_BATCHES):
        done = run(online.backfill, "t", {"n": "-g"}, stripes=stripes)
    assert (done.rows, scalar(db, "select count(*) from t where n = -g")) == (300, 300)
    assert f"{'striped' if stripes > 1 else 'plain'} ctid" in done.plan[0]


@MOSTLY_HERE
@pytest.mark.parametrize("by", ["ctid", "key"])
def test_what_it_goes_by_can_be_asked_for(run: Run, db: Connection, by: str) -> None:
    fill(db, "id int primary key", "g", count=300)
    done = run(online.backfill, "t", {"n": "-g"}, by=by)
    assert scalar(db, "select count(*) from t where n = -g") == 300
    assert f" {by}" in done.plan[0]
    assert "it was asked for" in done.plan[0]


@MOSTLY_HERE
@pytest.mark.parametrize("values", ["n + 1", "-g"])
def test_several_workers_share_the_work(run: Run, db: Connection, values: str) -> None:
    fill(db, "id int primary key", "g", count=3000)
    db.execute(COUNTED.format(key="id", table="t").encode())
    threads: set[str] = set()
    with (
        online.pace(**SMALL_BATCHES),
        at(": batch: done", lambda: threads.add(threading.current_thread().name), number=None),
    ):
        done = run(online.backfill, "t", {"n": values}, workers=3)
    assert len(threads) == 3
    assert scalar(db, f"select count(*) from t where n = {values.replace('n', 'g')}") == 3000
    assert (done.rows, scalar(db, "select count(*) from writes")) == (3000, 3000)
    assert scalar(db, "select count(*) from migrations.backfill_ranges where rows_done > 0") >= 3


@MOSTLY_HERE
def test_without_a_key_something_must_tell(run: Run, db: Connection) -> None:
    fill(db, "id int", "g", count=100)
    before = rows(db, "select xmin::text, ctid::text, * from t")
    with pytest.raises(
        ObjectError, match=r"^public\.t has no unique key without nulls.*the expression of n reads"
    ):
        run(online.backfill, "t", {"n": "n + 1"})
    with pytest.raises(ObjectError, match=r"can't be gone through by ctid"):
        run(online.backfill, "t", {"n": "n + 1"}, by="ctid")
    assert rows(db, "select xmin::text, ctid::text, * from t") == before
    until(lambda: is_clean(db))
    # What a row no longer meets when it is done tells.
    db.execute("alter table t add m float8")
    done = run(online.backfill, "t", {"m": "random()"}, where="m IS NULL AND g > 10")
    assert (done.rows, scalar(db, "select count(*) from t where m is not null and g > 10")) == (90, 90)
    assert "m IS NULL tells which rows are left" in done.plan[0]


# What is asked for ------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("expression", "where"),
    [
        slowly("nullif(g, g)", None),
        ("nullif(g, g)", "m IS NULL"),
        ("nullif(g, g) + extract(year from now())", "m IS NULL"),
        ("nullif(g, g) + extract(year from now())", None),
    ],
)
def test_rows_that_stay_null_are_not_rewritten_for_ever(
    run: Run, db: Connection, expression: str, where: str | None
) -> None:
    fill(db, "id int primary key, m int", "g, null", count=200)
    db.execute(COUNTED.format(key="id", table="t").encode())
    with online.pace(**SMALL_BATCHES):
        done = run(online.backfill, "t", {"m": expression}, where=where)
    assert done.arriving == 0
    assert scalar(db, "select count(*) from t where m is null") == 200
    most = scalar(db, "select coalesce(max(c), 0) from (select count(*) c from writes group by who) x")
    # The first pass may meet a new version again, where it went to a page that was still to come.
    assert most <= (4 if "now" in expression else 0)


@MOSTLY_HERE
@pytest.mark.parametrize("values", ["n + 1", "-g", slowly("-g + extract(year from now()) * 0")])
def test_a_condition_with_or_stays_whole(run: Run, db: Connection, values: str) -> None:
    fill(db, "id int primary key", "g", count=200)
    expected = scalar(
        db, f"select sum(case when g < 20 or g = 150 or n is null then {values} else n end) from t"
    )
    with online.pace(**SMALL_BATCHES):
        done = run(online.backfill, "t", {"n": values}, where="g < 20 OR g = 150\n OR n IS NULL")
    assert (done.rows, scalar(db, "select sum(n) from t")) == (20, expected)


KEY = '"Schlüssel ""%s"" {}"'
WERT = "'%s {} ''ß\"' || " + '"T ""ü""; {}".' + KEY
WHERE = f"({KEY} % 2) = 0 AND 'a%' LIKE 'a\\%' /* ; */"


@MOSTLY_HERE
def test_names_and_texts_that_need_care(run: Run, db: Connection) -> None:
    db.execute("""
        create schema "Größe {0}%s";
        create table "Größe {0}%s"."T ""ü""; {}" ("Schlüssel ""%s"" {}" int primary key, "{Wert}" text, "b'%" jsonb);
        insert into "Größe {0}%s"."T ""ü""; {}" select g, null, null from generate_series(1, 20) g
    """)
    try:
        done = run(
            online.backfill, 'T "ü"; {}',
            {"{Wert}": WERT, "b'%": """'{"a": [1, "%"]}'"""},
            schema="Größe {0}%s", where=WHERE,
        )  # fmt: skip
        assert done.rows == 10
        found = rows(db, 'select * from "Größe {0}%s"."T ""ü""; {}" order by 1 limit 2')
    finally:
        db.execute('drop schema "Größe {0}%s" cascade')
    assert found == [(1, None, None), (2, "%s {} 'ß\"2", {"a": [1, "%"]})]


REFUSED = [
    ({"n": "1; drop table t"}, None),
    ({"n": "1"}, "true; drop table t"),
    ({"n": "1, g = 2"}, None),
    ({"n": "1) where (true"}, None),
    ({"n": "g +"}, None),
    ({"n": "1"}, "true -- all"),
    ({"n": "1"}, "nothing > 1"),
    ({"nothing": "1"}, None),
    ({"n": "'x'::bytea"}, None),
    ({}, None),
]


@MOSTLY_HERE
def test_what_is_no_expression_is_refused(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=3)
    for values, where in REFUSED:
        with pytest.raises(ObjectError, match=r"Nothing was changed\. "):
            run(online.backfill, "t", values, where=where)
    assert scalar(db, "select count(*) from t where n = g") == 3
    assert scalar(db, "select to_regclass('migrations.backfills') is null")  # it wasn't even begun


@MOSTLY_HERE
def test_tables_that_are_called_like_our_own_words(run: Run, db: Connection) -> None:
    """The batch's statement has names of its own: what the author names is meant all the same."""
    names = ("mine", "done", "counted", "r", "b", "c")
    for name in names:
        fill(db, "id int primary key", "g", count=5, table=name)
    where = " OR ".join(f"id IN (SELECT id FROM {other} WHERE g = 3)" for other in names)
    for name in ("mine", "r"):
        assert run(online.backfill, name, {"n": f"{name}.n + 1"}, where=where).rows == 1
        assert rows(db, f"select n from {name} order by id") == [(1,), (2,), (4,), (4,), (5,)]


@MOSTLY_HERE
def test_settings_of_the_revision_hold_for_the_batches(run: Run, any_url: URL, db: Connection) -> None:
    role = f"filler_{db.info.backend_pid}"
    db.execute(
        f"""
        create role {role}; grant create on database {any_url.database} to {role};
        grant usage, create on schema public to {role};
        create schema shop; grant usage on schema shop to {role};
        create function shop.price() returns int language sql as 'select 7';
        create table shop.t (id int primary key, who text, at text, price int);
        grant select, update on shop.t to {role};
        insert into shop.t select g from generate_series(1, 20) g;
    """.encode()
    )
    try:
        with revision(any_url):
            op.execute(f"set role {role}; set search_path = shop; set timezone = 'Pacific/Kiritimati'")
            values = {"who": "current_user", "at": "timestamptz '2024-01-01 12:00+00'", "price": "price()"}
            done = online.backfill("t", values, vacuum=False)
        assert rows(db, "select distinct who, at, price from shop.t") == [(role, "2024-01-02 02:00:00+14", 7)]
        assert done.rows == 20
    finally:
        db.execute("drop schema if exists migrations cascade; drop schema shop cascade")
        db.execute(f"drop owned by {role}; drop role {role}")


# Tables in pieces -------------------------------------------------------------------------------------

PARTITIONED = """
create table events (id int not null, at int not null, g int, n int) partition by range (at);
create table events_1 partition of events for values from (0) to (100);
create table events_2 partition of events for values from (100) to (200) partition by list (id);
create table events_2a partition of events_2 for values in (101, 102, 103);
create table events_2b partition of events_2 default;
create table "Events 3" (n int, dropped int, g int, at int not null, id int not null);
alter table "Events 3" drop column dropped;
alter table events attach partition "Events 3" for values from (200) to (300);
create table events_4 partition of events for values from (300) to (400);
alter table events add primary key (id, at);
insert into events select g, g, g, g from generate_series(1, 399) g;
"""


@MOSTLY_HERE
@pytest.mark.parametrize("values", ["n + 1", slowly("-g")])
def test_every_partition(run: Run, db: Connection, values: str) -> None:
    db.execute(PARTITIONED)
    done = run(online.backfill, "events", {"n": values}, where="events.g <> 7")
    assert scalar(db, f"select sum(n) from events where n = {values.replace('n', 'g')}") == scalar(
        db, f"select sum({values.replace('n', 'g')}) from events where g <> 7"
    )
    assert (done.rows, scalar(db, "select n from events where g = 7")) == (398, 7)
    assert [plan.partition(":")[0] for plan in done.plan] == [
        "public.Events 3", "public.events_1", "public.events_4", "public.events_2a", "public.events_2b",
    ]  # fmt: skip


@MOSTLY_HERE
def test_partitions_that_come_and_go_meanwhile(run: Run, db: Connection) -> None:
    db.execute(PARTITIONED)

    def change() -> None:
        db.execute("drop table events_4")
        db.execute("create table events_5 partition of events for values from (400) to (500)")
        db.execute("insert into events select g, g, g, g from generate_series(400, 450) g")

    with online.pace(**SMALL_BATCHES), at(": batch: done", change):
        done = run(online.backfill, "events", {"n": "-g"})
    assert rows(db, "select count(*), sum(n) = -sum(g) from events") == [(299 + 51, True)]
    assert (done.rows, done.arriving) == (299 + 51, 0)
    assert any("events_5" in plan for plan in done.plan)


@MOSTLY_HERE
@pytest.mark.parametrize("values", ["n + 1", slowly("-g")])
def test_children_are_done_once_each(run: Run, db: Connection, values: str) -> None:
    fill(db, "id int primary key", "g", count=100)
    db.execute("create table kid (extra int, primary key (id)) inherits (t)")
    db.execute("create table grandkid (primary key (id)) inherits (kid)")
    for number, name in enumerate(("kid", "grandkid"), start=1):
        db.execute(f"insert into {name} (id, g, n) select g, g, g from generate_series(1, 50) g".encode())
        assert scalar(db, f"select count(*) from only {name}") == 50 * number or number
    done = run(online.backfill, "t", {"n": values})
    assert (done.rows, scalar(db, f"select count(*) from t where n = {values.replace('n', 'g')}")) == (
        200,
        200,
    )


@pytest.fixture
def hypertable(empty_url: URL) -> Iterator[Connection]:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb")
        db.execute("create table m (at timestamptz not null, id int, g int, n int, primary key (at, id))")
        db.execute("select create_hypertable('m', 'at', chunk_time_interval => interval '1 day')")
        db.execute(
            "insert into m select '2024-01-01'::timestamptz + g * interval '1 h', g, g, g from generate_series(1, 96) g"
        )
        yield db


@pytest.mark.parametrize("values", ["n + 1", slowly("-g")])
def test_every_chunk_of_a_hypertable(empty_url: URL, hypertable: Connection, values: str) -> None:
    chunks = scalar(hypertable, "select count(*) from show_chunks('m')")
    assert chunks > 3
    with revision(empty_url), online.pace(**SMALL_BATCHES):
        done = online.backfill("m", {"n": values})
    assert (done.rows, len(done.plan)) == (96, chunks + 1)
    assert scalar(hypertable, f"select count(*) from m where n = {values.replace('n', 'g')}") == 96


def test_chunks_that_come_and_go_meanwhile(empty_url: URL, hypertable: Connection) -> None:
    def change() -> None:
        hypertable.execute(
            "insert into m select '2025-01-01'::timestamptz + g * interval '1 h', g, g, g from generate_series(97, 144) g"
        )
        hypertable.execute("select drop_chunks('m', older_than => '2024-01-02'::timestamptz)")

    with revision(empty_url), online.pace(**SMALL_BATCHES), at(": batch: done", change):
        done = online.backfill("m", {"n": "-g"})
    assert done.arriving == 0
    assert rows(hypertable, "select count(*) filter (where n = -g) = count(*), max(g) from m") == [
        (True, 144)
    ]


# Rows that go -----------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize("workers", [slowly(1), 3])
def test_rows_are_deleted_in_batches(run: Run, db: Connection, workers: int) -> None:
    fill(db, "id int primary key", "g", count=1500)
    db.execute(
        "create table owners (id int primary key); insert into owners select g * 3 from generate_series(0, 500) g"
    )

    def come() -> None:
        db.execute("insert into t select g, g, g from generate_series(2001, 2010) g")

    where = "NOT EXISTS (SELECT FROM owners o WHERE o.id = t.g) OR t.g = 9"
    with online.pace(**SMALL_BATCHES), at(": batch: done", come, number=2):
        done = run(online.batched_delete, "t", where, workers=workers)
    assert (done.rows, done.arriving, done.changed) == (1001 + 10, 0, True)
    assert done.batches >= 1011 // 50
    assert (
        scalar(db, "select count(*) from t where g % 3 = 0 and g <> 9")
        == scalar(db, "select count(*) from t")
        == 499
    )
    assert "plain ctid, because a row that is removed is done; nothing is updated in place" in done.plan[0]
    again = run(online.batched_delete, "t", where)
    assert (again.rows, again.changed) == (0, False)


@MOSTLY_HERE
def test_rows_of_every_partition_are_deleted(run: Run, db: Connection) -> None:
    db.execute(PARTITIONED)
    assert run(online.batched_delete, "events", "g BETWEEN 50 AND 350").rows == 301
    assert rows(db, "select count(*), min(g), max(g) from events where g between 49 and 351") == [
        (2, 49, 351)
    ]
