"""`online.batched_insert`: every row of a source exactly once, into tables of every kind."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import HomeOpsError, ObjectError, OnlineError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import SMALL_BATCHES, nobody_else_counts, rows, scalar  # noqa: F401 - a fixture
from tests.online.meanwhile import at, in_background

Run = Callable[..., Any]

IMPORT = """
create schema media;
create table media.libraries (id int primary key, name text);
insert into media.libraries values (1, 'films'), (2, 'series');
create table media.items (
    id bigint generated always as identity primary key, title varchar(20) not null,
    library_id int references media.libraries, shout text generated always as (upper(title)) stored,
    added timestamptz default now()
);
create table temp_media_import (title text, type text, library_id int, filler text default repeat('x', 100));
insert into temp_media_import select 't' || g, 'film', g % 2 + 1 from generate_series(1, 500) g;
"""
SELECT = "SELECT title, library_id FROM temp_media_import WHERE type = 'film'"


@pytest.fixture
def media(db: Connection) -> Any:
    """The strategy's import: a staging table without a key, and the table that it goes into."""
    db.execute(f"drop schema if exists media cascade; {IMPORT}".encode())
    yield db
    db.execute("drop schema media cascade")


@pytest.fixture
def live(db: Connection) -> Connection:
    """A table with a key, in use, and an empty one."""
    db.execute("""
        create table t (id int primary key, n int, filler text default repeat('x', 100));
        insert into t select g, g from generate_series(1, 500) g;
        create table u (id int, n int);
    """)
    return db


# The strategy's import: a table without a key ----------------------------------------------------------


@MOSTLY_HERE
def test_an_import(run: Run, media: Connection) -> None:
    with online.pace(**SMALL_BATCHES):
        done = run(online.batched_insert, "items", SELECT + "; -- all", schema="media")
    assert (done.rows, done.changed, done.batches > 5) == (500, True, True)
    assert "plain ctid, because nobody may write to it meanwhile" in done.plan[0]
    assert rows(media, "select title, shout, library_id from media.items order by id limit 1") == [
        ("t1", "T1", 2)
    ]
    assert scalar(media, "select count(distinct title) from media.items where added is not null") == 500


@MOSTLY_HERE
def test_meanwhile_it_is_read_and_not_written(run: Run, media: Connection, any_url: URL) -> None:
    seen = []

    def write() -> None:
        with connect(any_url, options="-c lock_timeout=20ms") as other:
            seen.append(scalar(other, "select count(*) from temp_media_import"))
            with pytest.raises(LockNotAvailable):
                other.execute("insert into temp_media_import values ('late', 'film', 1)")

    with online.pace(**SMALL_BATCHES), at(": batch: done", write, number=2):
        run(online.batched_insert, "items", SELECT, schema="media")
    assert seen == [500]
    media.execute("insert into temp_media_import values ('late', 'film', 1)")  # the lock is gone


@MOSTLY_HERE
def test_whoever_has_written_before_is_waited_for(run: Run, media: Connection, any_url: URL) -> None:
    with connect(any_url) as other:
        other.execute("begin; insert into temp_media_import values ('early', 'film', 1)")
        with in_background(lambda: run(online.batched_insert, "items", SELECT, schema="media")) as outcome:
            until(
                lambda: scalar(media, "select count(*) from pg_stat_activity where query like '%set_config%'")
            )
            other.execute("commit")
    assert outcome[0].rows == 501
    with connect(any_url) as other:
        other.execute("begin; insert into temp_media_import values ('early', 'film', 1)")
        with (
            online.policy(give_up_after="100ms"),
            pytest.raises(HomeOpsError, match=r"SHARE on .*temp_media_import"),
        ):
            run(online.batched_insert, "items", SELECT, schema="media")


def end_session(db: Connection, mode: str = "ShareLock") -> None:
    """End whoever holds the import."""
    gone = "select pg_terminate_backend(pid) from pg_locks where relation = 'temp_media_import'::regclass and mode = %s"
    assert db.execute(gone, (mode,)).fetchone() == (True,)


@MOSTLY_HERE
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(None, marks=pytest.mark.slow),
        "update temp_media_import set title = 'other' where title = 't400'",
        pytest.param("insert into temp_media_import values ('late', 'film', 1)", marks=pytest.mark.slow),
        pytest.param("vacuum full temp_media_import", marks=pytest.mark.slow),
    ],
)
def test_a_lock_that_is_lost(run: Run, media: Connection, write: str | None) -> None:
    """Where nobody has used the chance, nothing is lost; else it says so, and the next run says what to do."""

    def lose() -> None:
        end_session(media)
        until(lambda: not scalar(media, "select count(*) from pg_locks where mode = 'ShareLock'"))
        if write:
            media.execute(write.encode())

    with online.pace(**SMALL_BATCHES), at(": batch: done", lose, number=2):
        if write is None:
            assert run(online.batched_insert, "items", SELECT, schema="media").rows == 500
            assert scalar(media, "select count(distinct title) from media.items") == 500
            return
        with pytest.raises(OnlineError, match=r"lock that kept public\.temp_media_import as it is was lost"):
            run(online.batched_insert, "items", SELECT, schema="media")
        assert scalar(media, "select state from migrations.backfills") == "failed"
        with pytest.raises(
            ObjectError, match=r"Nobody can tell which rows .* Nothing was changed\. Empty media\.items"
        ):
            run(online.batched_insert, "items", SELECT, schema="media")
    media.execute("truncate media.items")
    whole = scalar(media, "select count(*) from temp_media_import")
    assert run(online.batched_insert, "items", SELECT, schema="media").rows == whole
    assert scalar(media, "select count(*) from media.items") == whole
    assert rows(media, "select state from migrations.backfills order by id") == [("replaced",), ("done",)]


# A run that is broken off ------------------------------------------------------------------------------


class BrokenOffError(Exception):
    """A fault."""


def break_off() -> None:
    raise BrokenOffError


def broken_off(run: Run, *arguments: Any, **keywords: Any) -> None:
    """Run an operation that ends after its second batch."""
    with (
        online.pace(**SMALL_BATCHES),
        at(": batch: done", break_off, number=2),
        pytest.raises(BrokenOffError),
    ):
        run(online.batched_insert, *arguments, **keywords)


@MOSTLY_HERE
def test_without_a_key_it_goes_on_where_nobody_has_written(run: Run, media: Connection) -> None:
    broken_off(run, "items", SELECT, schema="media")
    copied = scalar(media, "select count(*) from media.items")
    assert 0 < copied < 500
    media.execute("vacuum (freeze, analyze) temp_media_import")
    done = run(online.batched_insert, "items", SELECT, schema="media")
    assert (done.rows, scalar(media, "select count(distinct title) from media.items")) == (500, 500)
    assert scalar(media, "select count(*) from media.items") == 500


@MOSTLY_HERE
def test_without_a_key_it_does_not_go_on_where_somebody_has(run: Run, media: Connection) -> None:
    broken_off(run, "items", SELECT, schema="media")
    media.execute("update temp_media_import set library_id = 2 where title = 't1'")
    with pytest.raises(ObjectError, match="Nobody can tell"):
        run(online.batched_insert, "items", SELECT, schema="media")
    # A key doesn't help afterwards: which pages were done is all that was written down.
    media.execute("alter table temp_media_import add primary key (title)")
    with pytest.raises(ObjectError, match="Nobody can tell"):
        run(online.batched_insert, "items", SELECT, schema="media")
    # What the target's own key turns away needn't be told.
    done = run(online.batched_insert, "items", SELECT, schema="media", on_conflict="nothing")
    assert done.rows == 500, "titles aren't unique there: as op would do it"


@pytest.mark.slow
@MOSTLY_HERE
def test_rows_that_a_key_turns_away_need_not_be_told(run: Run, media: Connection) -> None:
    media.execute("create unique index on media.items (title)")
    broken_off(run, "items", SELECT, schema="media", on_conflict="nothing")
    media.execute("update temp_media_import set library_id = 2 where title = 't1'")
    run(online.batched_insert, "items", SELECT, schema="media", on_conflict="nothing")
    assert scalar(media, "select count(*) from media.items") == 500


@MOSTLY_HERE
@pytest.mark.parametrize(
    "anew",
    ["truncate u", pytest.param("drop table u; create table u (id int, n int)", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "select",
    [pytest.param("SELECT id, n FROM t", marks=pytest.mark.slow), "SELECT g AS id, g AS n FROM bare"],
)
def test_a_target_that_was_emptied_or_made_anew_gets_everything(
    run: Run, live: Connection, anew: str, select: str
) -> None:
    live.execute("create table bare (g int); insert into bare select generate_series(1, 500)")
    broken_off(run, "u", select)
    live.execute(anew.encode())
    assert run(online.batched_insert, "u", select).rows == 500
    assert rows(live, "select count(*), count(distinct id) from u") == [(500, 500)]


@pytest.mark.parametrize("anew", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_was_copied_before_the_revision_failed_is_not_copied_again(
    toy: Toy, empty_url: URL, anew: bool
) -> None:
    """Unless the table itself is another one: many revisions drop and create what they fill."""
    toy.add(
        "v1.1.0",
        'op.execute("create table t (id int primary key); insert into t select generate_series(1, 9)")',
    )
    make = "drop table if exists u;" if anew else ""
    toy.add(
        "v1.2.0",
        f"""
        from homeops_db import online
        with online.pace(max_dead_share=0):
            op.execute("{make} create table if not exists u (id int)")
            online.batched_insert("u", "select id from t")
        if not op.get_bind().exec_driver_sql("select to_regclass('go')").scalar():
            raise RuntimeError("not yet")
        """,
    )
    with pytest.raises(HomeOpsError, match="not yet"):
        command.upgrade(toy.config(empty_url), "v1.2.0")
    with connect(empty_url) as db:
        db.execute("create table go (); insert into t values (10)")
        command.upgrade(toy.config(empty_url), "v1.2.0")
        assert scalar(db, "select count(*) from u") == (10 if anew else 9)


@MOSTLY_HERE
@pytest.mark.parametrize("source", [pytest.param("t", marks=pytest.mark.slow), "bare"])
def test_exactly_once_though_sessions_end(run: Run, live: Connection, source: str) -> None:
    live.execute("create table bare as select * from t")
    number = iter(range(100))

    def end_a_worker() -> None:
        if next(number) % 3 == 1:
            live.execute("select pg_terminate_backend(pid) from pg_stat_activity where query like '%insert into%'"
                         " and query ilike '%backfill_ranges%' and pid <> pg_backend_pid()")  # fmt: skip

    with online.pace(**SMALL_BATCHES), at(": batch: before", end_a_worker, number=None):
        done = run(online.batched_insert, "u", f"SELECT id, n FROM {source}", workers=2)
    assert rows(live, "select count(*), count(distinct id) from u") == [(500, 500)]
    assert done.rows == 500


# A table in use ----------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_what_nobody_touches_is_copied_once_while_others_write(run: Run, live: Connection) -> None:
    def write() -> None:
        live.execute("""
            update t set n = n + 1000 where id % 10 = 0;
            delete from t where id % 10 = 1;
            insert into t select g, g from generate_series(501, 600) g;
            update t set filler = '' where id % 10 = 2
        """)

    with online.pace(**SMALL_BATCHES), at(": batch: done", write, number=3):
        run(online.batched_insert, "u", "SELECT id, n FROM t")
    found = rows(live, "select id, n from u order by id")
    ids = [key for key, _ in found]
    assert len(ids) == len(set(ids))
    assert max(ids) == 500, "what is behind the last key of the beginning isn't copied"
    assert {key for key in range(1, 501) if key % 10 > 1} <= set(ids)
    assert {n - key for key, n in found if key % 10} == {0}
    changed = [n - key for key, n in found if key % 10 == 0]
    assert changed == sorted(changed), "as it was before its batch, or after"
    assert {0, 1000} == set(changed)
    gone = [key for key in ids if key % 10 == 1]
    assert 0 < len(gone) < 50


@MOSTLY_HERE
def test_a_lower_key_that_is_committed_late(run: Run, live: Connection, any_url: URL) -> None:
    with connect(any_url) as other:
        other.execute("begin; insert into t values (0, 0), (501, 501)")
        with in_background(lambda: run(online.batched_insert, "u", "SELECT id, n FROM t")) as outcome:
            until(lambda: scalar(live, "select to_regclass('migrations.backfills')"))
            until(
                lambda: scalar(live, "select count(*) from migrations.backfills where phase like '%writers%'")
            )
            other.execute("commit")
    assert outcome[0].rows == 502


# Its options -------------------------------------------------------------------------------------------


@pytest.mark.slow
@MOSTLY_HERE
def test_rows_that_are_there_already(run: Run, live: Connection) -> None:
    live.execute("create unique index on u (id); insert into u select g, -1 from generate_series(1, 100) g")
    with pytest.raises(ViolationError, match=r"id = 1: duplicate key"):
        run(online.batched_insert, "u", "SELECT id, n FROM t")
    assert run(online.batched_insert, "u", "SELECT id, n FROM t", on_conflict="nothing").rows == 400
    assert rows(live, "select count(*), count(*) filter (where n = -1) from u") == [(500, 100)]


@pytest.mark.slow
@MOSTLY_HERE
def test_columns_by_name_and_by_place(run: Run, live: Connection) -> None:
    live.execute('create table v (a text, b int, "C c" int)')
    run(online.batched_insert, "v", 'SELECT n AS "C c", id::text AS a FROM t WHERE id = 1')
    run(online.batched_insert, "v", "SELECT id, n FROM t WHERE id = 2", columns=["b", "C c"])
    run(online.batched_insert, "v", "SELECT id::text, n, n + 1 FROM t WHERE id = 3")
    assert rows(live, "select * from v order by coalesce(b, 0)") == [
        ("1", None, 1),
        (None, 2, 2),
        ("3", 3, 4),
    ]


@pytest.mark.slow
@MOSTLY_HERE
def test_a_select_of_sqlalchemy(run: Run, live: Connection) -> None:
    t = sa.table("t", sa.column("id"), sa.column("n"))
    done = run(online.batched_insert, "u", sa.select(t.c.id, t.c.n).where(t.c.n <= 7), workers=2)
    assert (done.rows, scalar(live, "select sum(n) from u")) == (7, 28)


@MOSTLY_HERE
def test_a_poison_row_is_named_by_the_key_of_its_source(run: Run, live: Connection) -> None:
    live.execute("alter table u add check (n % 200 <> 0)")
    with online.pace(**SMALL_BATCHES):
        with pytest.raises(
            ViolationError, match=r"a row can't be done: id = 200: .*violates check constraint"
        ):
            run(online.batched_insert, "u", "SELECT id, n FROM t")
        assert scalar(live, "select count(*) from u") == 199
        with online.pace(max_errors=2):
            done = run(online.batched_insert, "u", "SELECT id, n FROM t")
    assert (done.rows, done.errors) == (498, 2)
    assert rows(live, "select relation, key, was_skipped from migrations.backfill_errors order by id") == [
        ("public.t", {"id": "200"}, True),
        ("public.t", {"id": "400"}, True),
    ]
    assert rows(live, "select count(*), count(distinct id) from u") == [(498, 498)]


# Tables of other kinds ---------------------------------------------------------------------------------

PIECES = """
create table p (n int, id int not null, at int not null) partition by list (at);
create table p1 partition of p for values in (1);
create table p2 (at int not null, id int not null, gone int, n int);
alter table p2 drop column gone; alter table p attach partition p2 for values in (2);
insert into p select g, g, g % 2 + 1 from generate_series(1, 200) g;
create table q (id int, n int) partition by range (id);
create table q1 partition of q for values from (0) to (100); create table q2 partition of q default;
"""


@MOSTLY_HERE
@pytest.mark.parametrize(
    "key",
    [
        "",
        pytest.param("alter table p add primary key (id, at)", marks=pytest.mark.slow),
        pytest.param("alter table p1 add primary key (id)", marks=pytest.mark.slow),
    ],
)
def test_partitions_into_partitions(run: Run, db: Connection, key: str) -> None:
    db.execute(f"{PIECES} {key}".encode())
    with online.pace(**SMALL_BATCHES):
        done = run(
            online.batched_insert, "q", "SELECT x.id, x.n FROM p AS x JOIN p2 USING (at) WHERE p2.id = 1"
        )
    assert done.rows == 100
    assert rows(db, "select count(*), count(distinct id), sum(n) from q") == [(100, 100, 10000)]
    assert scalar(db, "select count(*) from q1") == 50
    assert all((" key (" in line) == ("p add" in key) for line in done.plan)
    run(online.batched_insert, "q", "SELECT id, n FROM p1")
    assert scalar(db, "select count(*) from q") == 200


@pytest.mark.slow
def test_hypertables(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("""
            create extension timescaledb;
            create table h (at timestamptz not null, v int); create table k (at timestamptz not null, v int);
            create table plain (at timestamptz, v int);
        """)
        db.execute("select create_hypertable('h', 'at'), create_hypertable('k', 'at')")
        db.execute(
            "insert into h select timestamptz '2024-01-01' + g * interval '1 day', g from generate_series(1, 40) g"
        )
        with revision(empty_url):
            assert online.batched_insert("k", "SELECT at, v FROM h").rows == 40
            assert online.batched_insert("plain", "SELECT at, v FROM k WHERE v > 20").rows == 20
        assert rows(db, "select sum(v), count(*) from k") == [(820, 40)]
        assert scalar(db, "select count(*) from show_chunks('k')") > 1


@pytest.mark.slow
@MOSTLY_HERE
def test_only_the_parent(run: Run, live: Connection) -> None:
    live.execute("create table c () inherits (t); insert into c select g, g from generate_series(1, 9) g")
    assert run(online.batched_insert, "u", "SELECT id, n FROM ONLY t").rows == 500
    live.execute("truncate u")
    assert run(online.batched_insert, "u", "SELECT id, n FROM t").rows == 509


@pytest.mark.slow
@MOSTLY_HERE
def test_names_that_our_own_statement_has(run: Run, db: Connection) -> None:
    for name in ("mine", "done", "counted", "r", "b", "c", "moved"):
        db.execute(
            f"create table {name} (id int primary key); insert into {name} select generate_series(1, 5)".encode()
        )
    db.execute("create table u (id int, who text)")
    for name in ("mine", "done", "counted", "r", "b", "c", "moved"):
        select = f"SELECT id, '{name}' AS who FROM {name} WHERE EXISTS (SELECT FROM done WHERE done.id = {name}.id)"
        assert run(online.batched_insert, "u", select).rows == 5
    assert rows(db, "select count(*), count(distinct who) from u") == [(35, 7)]


# What is refused ---------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("asked", "options", "refused"),
    [
        (("u", "SELECT id, n FROM t; DROP TABLE t"), {}, (ObjectError, "2 statements")),
        (("u", "DELETE FROM t"), {}, (ObjectError, "another statement")),
        (("u", "SELECT id, count(*) FROM t GROUP BY 1"), {}, (UnsafeError, "GROUP BY")),
        (("u", "SELECT id, n FROM nothing"), {}, (ObjectError, "Table nothing doesn't exist")),
        (("nothing", "SELECT id, n FROM t"), {}, (ObjectError, "Table nothing doesn't exist")),
        (("u", "SELECT id, n, 1 FROM t"), {}, (ObjectError, "more expressions than target columns")),
        (("u", "SELECT id AS nothing FROM t"), {}, (ObjectError, "nothing")),
        (("u", "SELECT 'x'::text AS id FROM t"), {}, (ObjectError, "type")),
        (("u", "SELECT id, n FROM t"), {"columns": ["id", "id"]}, (ObjectError, "more than once")),
        (("u", "SELECT id, n FROM t"), {"columns": []}, (ObjectError, "columns is")),
        (("u", "SELECT id, n FROM t"), {"columns": "id"}, (ObjectError, "columns is")),
        (("u", "SELECT id, n FROM t"), {"on_conflict": "update"}, (ObjectError, "on_conflict is 'update'")),
        (("u", "SELECT id, n FROM t"), {"workers": 0}, (ObjectError, "workers is 0")),
        (("t", "SELECT id + 500 AS id FROM t"), {}, (ObjectError, "the same table")),
        (("q1", "SELECT id, n FROM q"), {}, (ObjectError, "the same table or a part of it")),
        (("g", "SELECT id AS a, id AS b FROM t"), {}, (ObjectError, "Leave the column out")),
        (("u", "SELECT id, n FROM names"), {}, (ObjectError, "no table")),
    ],
)  # fmt: skip
def test_refused(
    run: Run,
    live: Connection,
    asked: tuple[str, str],
    options: dict[str, Any],
    refused: tuple[type[Exception], str],
) -> None:
    live.execute("""
        create table q (id int, n int) partition by list (id); create table q1 partition of q default;
        create table g (a int, b int generated always as (a) stored); create view names as select * from t
    """)
    error, said = refused
    with pytest.raises(error, match=r"Nothing was changed") as raised:
        run(online.batched_insert, *asked, **options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert rows(live, "select (select count(*) from t), (select count(*) from u)") == [(500, 0)]


@pytest.mark.slow
@MOSTLY_HERE
def test_a_role_that_may_not_lock_the_import(media: Connection, any_url: URL) -> None:
    role = f"importer_{media.info.backend_pid}"
    media.execute(
        f"""
        create role {role} login; grant create on database {any_url.database} to {role};
        grant usage on schema public, media to {role}; grant select, insert on all tables in schema media to {role};
        grant select on temp_media_import to {role}
    """.encode()
    )
    try:
        with (
            pytest.raises(ObjectError, match=r"our role may not lock it.*GRANT UPDATE"),
            revision(any_url.set(username=role)),
        ):
            online.batched_insert("items", SELECT, schema="media")
        media.execute(f"grant update on temp_media_import to {role}".encode())
        with revision(any_url.set(username=role)):
            assert online.batched_insert("items", SELECT, schema="media", vacuum=False).rows == 500
    finally:
        media.execute("drop schema if exists migrations cascade")
        media.execute(f"drop owned by {role}; drop role {role}".encode())
