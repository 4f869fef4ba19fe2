"""`online.backfill` among others: rows that are locked, committed late, moved, never right, or never done."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import LockTimeoutError, ViolationError
from homeops_db.online.backfill import closing, keeper, loop, worker
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import (
    COUNTED,
    SMALL_BATCHES,
    fill,
    nobody_else_counts,  # noqa: F401 - a fixture
    rows,
    scalar,
    slowly,
    waited_for,
)
from tests.online.meanwhile import at, in_background

Run = Callable[..., Any]

TELLS, COUNTS = {"n": "-g"}, {"n": "n + 1"}


def done_rows(db: Connection, values: dict[str, str]) -> int:
    return int(scalar(db, f"select count(*) from t where n = {values['n'].replace('n', 'g')}"))


def is_waiting(db: Connection, query: str) -> bool:
    """Whether the session whose statement looks so waits for a lock."""
    found = "select from pg_stat_activity where wait_event_type = 'Lock' and query ~* %s and datname = current_database()"
    return db.execute(found.encode(), (query,)).rowcount > 0


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(worker, "_LAST_PAUSE", 0.02)


# Locks ------------------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize("values", [TELLS, slowly(COUNTS)])
def test_a_locked_row_is_waited_for_and_nobody_waits_long(
    run: Run, db: Connection, any_url: URL, short_pauses: None, values: dict[str, str]
) -> None:
    fill(db, "id int primary key", "g", count=300)
    db.execute("set lock_timeout = '1s'")
    with connect(any_url) as holder:
        holder.execute("begin; select from t where id = 170 for update")
        with in_background(lambda: run(online.backfill, "t", values, stripes=1)) as outcome:
            until(lambda: done_rows(db, values) == 169)  # it takes fewer and fewer, up to the row itself
            for key in range(171, 200):
                db.execute(f"update t set filler = 'yours' where id = {key}".encode())
            holder.execute("update t set filler = 'mine' where id = 170; commit")
    assert (outcome[0].rows, done_rows(db, values)) == (300, 300)
    assert scalar(db, "select count(*) from t where filler = 'yours' or filler = 'mine'") == 30


@MOSTLY_HERE
@pytest.mark.parametrize("values", [slowly(TELLS), COUNTS])
def test_giving_up_on_a_row_keeps_the_others(
    run: Run, db: Connection, any_url: URL, short_pauses: None, values: dict[str, str]
) -> None:
    fill(db, "id int primary key", "g", count=100)
    with connect(any_url) as holder, online.policy(give_up_after="400ms", lock_timeout="5ms"):
        holder.execute("begin; select from t where id = 70 for update")
        with pytest.raises(
            LockTimeoutError, match=r"SQLSTATE 55P03\)\. 69 rows .* stay\. .*run the same command"
        ):
            run(online.backfill, "t", values, stripes=1)
    assert rows(db, "select state, detail ~ '55P03' from migrations.backfills") == [("failed", True)]
    assert done_rows(db, values) == 69
    assert run(online.backfill, "t", values, stripes=1).rows == 100
    assert done_rows(db, values) == 100


@MOSTLY_HERE
@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("point", [slowly("look: before"), "begun", slowly("ranges stored"), "batch: done"])
def test_a_table_that_is_locked_as_a_whole_is_waited_for(
    run: Run, db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    fill(db, "id int primary key", "g", count=200)
    for module in (keeper, loop):
        monkeypatch.setattr(module, "LOCK_TIMEOUT", timedelta(milliseconds=20))
        monkeypatch.setattr(module, "BEAT", 0.02, raising=False)
    with connect(any_url) as other, online.pace(**SMALL_BATCHES):

        def lock() -> None:
            other.execute("begin; lock table t")
            threading.Timer(0.3, other.execute, ("commit",)).start()

        with at(point, lock):
            done = run(online.backfill, "t", COUNTS, stripes=1)
    assert (done.rows, done_rows(db, COUNTS)) == (200, 200)


@MOSTLY_HERE
def test_a_deadlock_costs_one_more_try(run: Run, db: Connection, any_url: URL) -> None:
    fill(db, "id int primary key", "g", count=100)
    db.execute(f"alter database {any_url.database} set deadlock_timeout = '20ms'".encode())
    db.execute("""
        create function wait_here() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock(4); return new; end';
        create trigger wait_here before update on t for each row when (new.id = 50) execute function wait_here();
        select pg_advisory_lock(4)
    """)
    with connect(any_url) as other, connect(any_url) as looks:
        other.execute("set deadlock_timeout = '20s'; begin; update t set filler = 'y' where id = 90")
        with (
            online.policy(lock_timeout="20s"),
            in_background(lambda: run(online.backfill, "t", TELLS, stripes=1)) as outcome,
        ):
            until(lambda: is_waiting(looks, "FROM pg_temp.homeops_batch"))  # it has the first 49 rows
            with in_background(lambda: other.execute("update t set filler = 'y' where id = 10; commit")):
                until(lambda: is_waiting(looks, "where id = 10"))
                db.execute("select pg_advisory_unlock(4)")  # now it comes to row 90
    assert (outcome[0].rows, done_rows(db, TELLS)) == (100, 100)
    assert scalar(db, "select count(*) from t where filler = 'y'") == 2


# Late commits -----------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize("values", [TELLS, COUNTS])
def test_rows_of_a_transaction_that_commits_late_are_done(
    run: Run, db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    fill(db, "id int primary key", "g", count=100)
    monkeypatch.setattr(loop, "BEAT", 0.02)
    with connect(any_url) as late, connect(any_url) as later:
        late.execute("begin; insert into t values (-5, -5, -5), (500, 500, 500)")
        with in_background(lambda: run(online.backfill, "t", values)) as outcome:
            until(lambda: f"pid {late.info.backend_pid}," in waited_for(db))
            later.execute("begin; insert into t values (600, 600, 600)")  # nobody waits for what comes after
            late.execute("commit")
        assert outcome[0].rows == 102
        assert done_rows(db, values) == 102
        later.execute("rollback")


@MOSTLY_HERE
def test_a_writer_who_never_commits_is_named(run: Run, db: Connection, any_url: URL) -> None:
    fill(db, "id int primary key", "g", count=100)
    with connect(any_url) as late, online.policy(give_up_after="300ms"):
        late.execute("begin; insert into t values (500, 500, 500)")
        pid = late.info.backend_pid
        with pytest.raises(
            LockTimeoutError, match=rf"(?s)in the way: pid {pid}.*the proof that nothing is left isn't given"
        ):
            run(online.backfill, "t", TELLS)
        assert done_rows(db, TELLS) == 100
        late.execute("commit")
    assert run(online.backfill, "t", TELLS).rows == 101
    assert done_rows(db, TELLS) == 101


@MOSTLY_HERE
def test_rows_that_others_move_about_are_done(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=300)

    def move() -> None:
        db.execute("update t set id = id + 1000 where id % 7 = 0")
        db.execute("update t set id = -id, filler = repeat('y', 900) where id % 5 = 0")
        db.execute("delete from t where id % 11 = 0")
        db.execute("insert into t select g, g, g from generate_series(2001, 2050) g")

    with online.pace(**SMALL_BATCHES), at(": batch: done", move, number=3):
        done = run(online.backfill, "t", TELLS)
    assert done.arriving == 0
    assert scalar(db, "select count(*) from t") == done_rows(db, TELLS) > 300


@MOSTLY_HERE
def test_values_that_others_have_filled_in_stay(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=300)
    db.execute("update t set n = null")

    def fill_in() -> None:
        db.execute("update t set n = 7 where id in (10, 290)")

    with online.pace(**SMALL_BATCHES), at(": batch: done", fill_in, number=2):
        run(online.backfill, "t", TELLS, where="n IS NULL")
    assert rows(db, "select id, n from t where n <> -g order by id") == [(10, 7), (290, 7)]


# Rows that can't be done ------------------------------------------------------------------------------

POISON = {
    "a value": ("22P02", "", "update t set filler = 'abc' where id = any(%s)", "update t set filler = id"),
    "a constraint": (
        "23514", "alter table t add constraint ck check (n > 0 or filler <> 'bad') not valid;",
        "update t set filler = 'bad' where id = any(%s)", "update t set filler = id",
    ),
    "a trigger": (
        "P0001",
        """create function refuse() returns trigger language plpgsql as
        $$ begin if new.filler = 'bad' then raise 'no!'; end if; return new; end $$;
        create trigger refuse after update of n on t for each row execute function refuse();""",
        "update t set filler = 'bad' where id = any(%s)", "update t set filler = id",
    ),
    "a foreign key, at commit": (
        "23503",
        """create table p (id int primary key); insert into p select -g from generate_series(1, 300) g;
        alter table t add foreign key (n) references p deferrable initially deferred not valid;""",
        "delete from p where -id = any(%s)", "insert into p select -g from generate_series(1, 300) g on conflict do nothing",
    ),
}  # fmt: skip


@pytest.fixture
def poison(
    db: Connection, request: pytest.FixtureRequest
) -> tuple[str, Callable[..., Any], Callable[[], Any]]:
    """A SQLSTATE, how rows become such that can't be done, and how they are mended."""
    sqlstate, ddl, spoil, mend = POISON[request.param]
    fill(db, "id int primary key", "g", count=300)
    db.execute("update t set filler = id, n = null")
    db.execute("vacuum full t")
    db.execute(ddl.encode())
    return sqlstate, lambda *ids: db.execute(spoil.encode(), (list(ids),)), lambda: db.execute(mend.encode())


TEXT = {"n": "-filler::int"}


def text_for(sqlstate: str) -> dict[str, str]:
    return TEXT if sqlstate == "22P02" else TELLS


@MOSTLY_HERE
@pytest.mark.parametrize("poison", ["a value", *map(slowly, [*POISON][1:])], indirect=True)
def test_a_row_that_cannot_be_done_is_found_and_named(
    run: Run, db: Connection, poison: tuple[str, Callable[..., Any], Callable[[], Any]]
) -> None:
    sqlstate, spoil, mend = poison
    spoil(177)
    for _ in range(2):  # a re-run fails in the same way
        told = rf"id = 177: .* \(SQLSTATE {sqlstate}\)\. \d+ rows .* stay\."
        with at("batch: before", lambda: None) as passed, pytest.raises(ViolationError, match=told) as error:
            run(online.backfill, "t", text_for(sqlstate), by="key", stripes=1)
        assert passed.count("backfill: batch: before") < 60  # it was halved, not tried row by row
        assert "\n" not in str(error.value)
        assert scalar(db, "select count(*) from t where n = -g") == 176
        assert rows(db, "select relation, key, sqlstate, was_skipped from migrations.backfill_errors") == [
            ("public.t", {"id": "177"}, sqlstate, False)
        ]
    assert str(error.value).count(" 0 rows were done by this run")
    mend()
    done = run(online.backfill, "t", text_for(sqlstate), by="key", stripes=1)
    assert (done.rows, done.errors, scalar(db, "select count(*) from t where n = -g")) == (300, 0, 300)
    assert rows(db, "select state, detail from migrations.backfills") == [("done", None)]


@MOSTLY_HERE
@pytest.mark.parametrize("poison", ["a value"], indirect=True)
@pytest.mark.parametrize(
    "options", [slowly({"by": "ctid", "stripes": 1}), {"by": "ctid", "stripes": 8}, slowly({"workers": 3})]
)
def test_some_rows_may_be_passed_over(
    run: Run, db: Connection, options: dict[str, Any],
    poison: tuple[str, Callable[..., Any], Callable[[], Any]],
) -> None:  # fmt: skip
    _, spoil, mend = poison
    spoil(17, 250)
    with online.pace(**SMALL_BATCHES, max_errors=2):
        done = run(online.backfill, "t", TEXT, **options)  # a closing pass meets them again: they count once
    assert (done.rows, done.errors, done.arriving) == (298, 2, 0)
    assert scalar(db, "select count(*) from t where n = -g") == 298
    assert rows(db, "select key ->> 'id', sqlstate, was_skipped from migrations.backfill_errors order by 1") == [
        ("17", "22P02", True), ("250", "22P02", True),
    ]  # fmt: skip
    spoil(99)
    with (
        online.pace(**SMALL_BATCHES, max_errors=2),
        pytest.raises(ViolationError, match=r"id = \d+: .*22P02"),
    ):
        run(online.backfill, "t", TEXT, **options)
    mend()
    assert run(online.backfill, "t", TEXT, **options).errors == 0
    assert scalar(db, "select count(*) from t where n = -g") == 300


@MOSTLY_HERE
def test_rows_that_are_passed_over_by_key_stay_so(run: Run, db: Connection) -> None:
    """Where nothing tells, a row that was passed over isn't met again: its error is kept, and counts."""
    fill(db, "id int primary key", "g", count=100)
    values = {"n": "n + 1 + 0 / ((g - 20) * (g - 50) * (g - 80))"}
    db.execute("create table poison as select 1")
    with online.pace(**SMALL_BATCHES, max_errors=2):
        with pytest.raises(ViolationError, match="id = 80: division by zero"):
            run(online.backfill, "t", values)
        assert scalar(db, "select count(*) from t where n = g + 1") == 77
        db.execute("update t set g = 0 where id = 80")
        done = run(online.backfill, "t", values)
    assert (done.rows, done.errors) == (98, 2)
    assert rows(db, "select id from t where n <> id + 1 order by 1") == [(20,), (50,)]
    assert rows(db, "select key ->> 'id' from migrations.backfill_errors order by 1") == [("20",), ("50",)]


# Rows that are never done -----------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize("where", [None, "n > 0"])
def test_a_trigger_that_changes_the_value_does_not_make_it_endless(
    run: Run, db: Connection, where: str | None
) -> None:
    fill(db, "id int primary key", "g", count=200)
    db.execute(COUNTED.format(key="id", table="t").encode())
    db.execute("""
        create function change() returns trigger language plpgsql as 'begin new.n := 2 * new.g; return new; end';
        create trigger change before update on t for each row execute function change()
    """)
    done = run(online.backfill, "t", TELLS, where=where)
    assert scalar(db, "select count(*) from t where n = 2 * g") == 200
    assert done.arriving == 0
    assert scalar(db, "select max(c) from (select count(*) c from writes group by who) x") <= 4
    assert "trigger change may change it again" in done.plan[0]


@MOSTLY_HERE
def test_writers_who_go_on_making_rows(
    run: Run, db: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(db, "id int primary key", "g", count=100)
    monkeypatch.setattr(closing, "PASSES", 3)
    keys = iter(range(1000, 2000))

    def write() -> None:
        db.execute(
            f"insert into t select g, g, g from generate_series({next(keys)}, {next(keys)}) g".encode()
        )

    with caplog.at_level(logging.WARNING), at("backfill: batch: done", write, number=None):
        done = run(online.backfill, "t", TELLS)
    assert done.arriving > 0
    assert "somebody goes on writing such rows" in caplog.text
    assert rows(db, "select state from migrations.backfills") == [("done",)]
    # When they stop, the last pass finds nothing.
    with at("backfill: batch: done", write):
        assert run(online.backfill, "t", TELLS).arriving == 0
    assert scalar(db, "select count(*) from t where n <> -g") == 0


@MOSTLY_HERE
def test_rows_that_stay_to_do_are_counted_up_only_once(run: Run, db: Connection) -> None:
    """One expression yields NULL where the condition wants NULL; another one reads what it sets."""
    fill(db, "id int primary key, m int", "g, null", count=200)
    with online.pace(**SMALL_BATCHES):
        run(online.backfill, "t", {"m": "nullif(g, 100)", "n": "n + 1"}, where="m IS NULL")
    assert rows(db, "select n - g, count(*) from t group by 1") == [(1, 200)]
