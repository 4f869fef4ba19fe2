"""What is said before a backfill starts: measured against a real table each time."""

import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import storage
from homeops_db.online.backfill import estimate, notices
from homeops_db.online.backfill.job import Job, update
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.looking import FUNCTION, LOOKED, MANY, PARTITIONED, look_at, said, table

# How much there is to do ------------------------------------------------------------------------------


@MOSTLY_HERE
def test_a_small_table_is_counted(db: Connection) -> None:
    db.execute(LOOKED)
    db.execute(MANY.format(1000))
    found = look_at(db, "t", "b", todo="b is null")
    assert (found.rows, found.rows_total, found.share) == (750, 1000, 0.75)
    assert found.notices[0].startswith("about 750 of about 1k rows to do: ")


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
def test_a_large_table_is_estimated(db: Connection, analyzed: bool) -> None:
    db.execute(LOOKED + " with (autovacuum_enabled = off)")
    db.execute(MANY.format(60_000))
    if analyzed:
        db.execute("analyze t; delete from t where id % 10 = 0")  # what the planner believes is older
    found = look_at(db, "t", "b", todo="b is null")
    assert found.rows_total == pytest.approx(60_000, rel=0.3)
    assert found.share == pytest.approx(0.75, abs=0.05)
    assert found.rows == pytest.approx(found.rows_total * found.share, abs=1)


@MOSTLY_HERE
def test_only_some_pages_are_read(db: Connection) -> None:
    db.execute(LOOKED)
    db.execute(MANY.format(60_000))
    (stored,) = storage.stored(db, [table(db, "t").oid])
    assert stored.pages > 3 * estimate._PAGES
    job = Job("backfill", "t", {}, update("t", {"b": "1"}), "t", ("b",), "b is null")
    sample = estimate._sample(db, job, stored)
    assert sample is not None
    assert sample.rows / 60_000 == pytest.approx(estimate._PAGES / stored.pages, abs=0.1)


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("1 / (a - 500) is distinct from b", "division by zero (22012)"),
        ("nextval('looked') > b", "cannot execute nextval() in a read-only transaction (25006)"),
    ],
)
def test_a_condition_that_fails_on_a_row_counts_all(db: Connection, condition: str, reason: str) -> None:
    db.execute(f"{LOOKED}; create sequence looked")
    db.execute(MANY.format(1000))
    found = look_at(db, "t", "b", todo=condition)
    assert (found.share, found.rows) == (1, 1000) or found.rows == found.rows_total
    assert said(found, "how many") == [
        f"how many rows are to do can't be told: its condition fails on a row: {reason}"
    ]
    assert db.execute("select is_called from looked").fetchone() == (False,)


@MOSTLY_HERE
def test_a_condition_that_takes_long_is_left(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_PATIENCE", "50ms")
    db.execute(f"{LOOKED}; insert into t values (1)")
    found = look_at(db, "t", "b", todo="b is null and pg_sleep(30) is not null")
    assert "its condition takes more than 50ms on some pages" in found.notices[1]


@MOSTLY_HERE
def test_all_leaves_are_counted(db: Connection) -> None:
    db.execute(
        "create table p (id int, b int) partition by range (id);"
        "create table p1 partition of p for values from (0) to (100);"
        "create table p2 partition of p for values from (100) to (1000) partition by range (id);"
        "create table p21 partition of p2 for values from (100) to (1000);"
        "insert into p select i, case when i < 100 then 1 end from generate_series(0, 399) i"
    )
    found = look_at(db, "p", "b", todo="p.b is null")
    assert (found.rows, found.rows_total) == (300, 400)


@MOSTLY_HERE
def test_a_parent_with_rows_of_its_own_is_counted_once(db: Connection) -> None:
    db.execute(
        "create table i (id int, b int); create table i1 () inherits (i);"
        "insert into i select generate_series(1, 10); insert into i1 select generate_series(1, 5)"
    )
    assert look_at(db, "i", "b", todo="b is null").rows == 15


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.slow
def test_many_partitions_take_under_a_second(db: Connection, any_url: URL) -> None:
    db.execute("create table p (id int primary key, b int, c int) partition by range (id)")
    db.execute(
        "do $$ begin for i in 0..499 loop execute format("
        "'create table p%s partition of p for values from (%s) to (%s)', i, i * 10, i * 10 + 10);"
        "end loop; end $$"
    )
    db.execute("create index on p (c); create publication pub for table p")
    db.execute("insert into p select i from generate_series(0, 4999) i")
    with connect(any_url) as fresh:
        began = time.perf_counter()
        found = look_at(fresh, "p", "b", todo="b is null")
        assert time.perf_counter() - began < 1
    assert found.rows == pytest.approx(5000)
    db.execute("drop publication pub")


@MOSTLY_HERE
def test_a_striped_update_grows_less(db: Connection) -> None:
    db.execute(LOOKED)
    db.execute(MANY.format(1000))
    striped, plain = (look_at(db, "t", "b", is_striped=is_striped) for is_striped in (True, False))
    assert striped.wal_bytes / plain.wal_bytes == pytest.approx(0.53, abs=0.01)
    assert striped.heap_bytes < plain.heap_bytes / 4
    assert look_at(db, "t", "b") == striped  # no index on it
    assert look_at(db, "t", "b", todo="id < 10").heap_bytes > 0
    assert look_at(db, "t", "id").wal_bytes == plain.wal_bytes
    assert (look_at(db, "t", deletes=True).heap_bytes, look_at(db, "t", deletes=True).wal_bytes > 0) == (
        0,
        True,
    )


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.slow
def test_the_estimates_are_those_of_a_plain_update(db: Connection) -> None:
    db.execute(LOOKED + " with (autovacuum_enabled = off)")
    db.execute(MANY.format(20_000))
    db.execute("vacuum analyze t")
    db.execute("checkpoint")
    found = look_at(db, "t", "a", is_striped=False)
    size = "select pg_relation_size('t')"
    (was,) = db.execute(size).fetchone()
    (plan,) = db.execute("explain (analyze, wal, format json) update t set a = a + 1").fetchone()
    assert plan[0]["Plan"]["WAL Bytes"] == pytest.approx(found.wal_bytes, rel=0.25)
    (now,) = db.execute(size).fetchone()
    assert now - was == pytest.approx(found.heap_bytes, rel=0.25)


# What fires -------------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("create", "expected"),
    [
        ("after update on t for each row execute function f()", "on each row, AFTER UPDATE"),
        ("before update of b on t for each row execute function f()", "on each row, BEFORE UPDATE OF b"),
        ("before update of g on t for each row execute function f()", "on each row, BEFORE UPDATE OF g"),
        ("before update of a on t for each row execute function f()", None),
        ("after insert or delete on t for each row execute function f()", None),
        ("after update on t for each statement execute function f()", "once a batch, AFTER UPDATE"),
        (
            "after update on t for each row when (new.b is not null) execute function f()",
            "on each row, AFTER UPDATE, where its WHEN holds",
        ),
    ],
)
def test_a_trigger_that_fires_is_named(db: Connection, create: str, expected: str | None) -> None:
    db.execute(f"create table t (id int, a int, b int, g int generated always as (b * 2) stored); {FUNCTION}")
    db.execute(f"create trigger x {create}")
    assert said(look_at(db, "t", "b"), "trigger") == (
        [f"trigger x (public.f) fires {expected}"] if expected else []
    )


@MOSTLY_HERE
def test_a_deferred_trigger_fires_at_the_commit(db: Connection) -> None:
    db.execute(f"{LOOKED}; {FUNCTION}")
    db.execute(
        "create constraint trigger x after update on t deferrable initially deferred for each row "
        "execute function f()"
    )
    assert said(look_at(db, "t", "b"), "trigger") == [
        "trigger x (public.f) fires on each row, AFTER UPDATE, at the batch's commit"
    ]


@MOSTLY_HERE
def test_a_trigger_that_is_switched_off_isnt_named(db: Connection) -> None:
    db.execute(f"{LOOKED}; {FUNCTION} create trigger x after update on t for each row execute function f()")
    for state, role, fires in [
        ("disable trigger", "origin", False),
        ("enable trigger", "origin", True),
        ("enable trigger", "replica", False),
        ("enable always trigger", "replica", True),
        ("enable replica trigger", "origin", False),
    ]:
        db.execute(f"alter table t {state} x; set session_replication_role = {role}")
        assert bool(said(look_at(db, "t", "b"), "trigger")) == fires, (state, role)


def test_a_trigger_of_all_partitions_is_named_once(db: Connection) -> None:
    db.execute(
        f"{PARTITIONED} {FUNCTION} create trigger x after update on p for each row execute function f();"
        "create trigger y before update on p2 for each row execute function f();"
        "create trigger s after update on p for each statement execute function f()"
    )
    assert said(look_at(db, "p", "b"), "trigger") == [
        "trigger y (public.f) fires on each row, BEFORE UPDATE, on public.p2",
        "trigger x (public.f) fires on each row, AFTER UPDATE",
        "trigger s (public.f) doesn't fire: it is for whole statements on public.p, and batches name its "
        "partitions",
    ]


@MOSTLY_HERE
def test_an_insert_fires_triggers_of_its_target(db: Connection) -> None:
    db.execute(
        f"create table s (id int, a int, b int); {PARTITIONED} {FUNCTION}"
        "create trigger x after insert on p for each row execute function f();"
        "create trigger y after insert on p for each statement execute function f();"
        "create trigger z after insert on s for each row execute function f()"
    )
    assert said(look_at(db, "s", fills="p"), "trigger") == [
        "trigger x (public.f) fires on each row, AFTER INSERT",
        "trigger y (public.f) fires once a batch, AFTER INSERT",
    ]


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("publication", "sends"),
    [
        ("for table p", ["UPDATE", "INSERT", "DELETE"]),
        ("for table p with (publish = 'insert, delete')", ["INSERT", "DELETE"]),
        ("for tables in schema public", ["UPDATE", "INSERT", "DELETE"]),
        ("for all tables", ["UPDATE", "INSERT", "DELETE"]),
        ("for table other", []),
    ],
)
def test_a_publication_is_named_where_it_sends_rows(
    db: Connection, publication: str, sends: list[str]
) -> None:
    db.execute(f"{PARTITIONED} create table other (id int primary key)")
    db.execute("create table s (id int, a int, b int)")
    with db.transaction(force_rollback=True):
        db.execute(f"create publication pub {publication}")
        found = {
            "UPDATE": look_at(db, "p", "b"),
            "DELETE": look_at(db, "p", deletes=True),
            "INSERT": look_at(db, "s", fills="p"),
        }
    for verb, forecast in found.items():
        expected = ["publication pub sends each row to its subscribers"] if verb in sends else []
        assert said(forecast, "publication") == expected, verb


def test_foreign_keys_and_checks_of_the_column_are_named(db: Connection) -> None:
    db.execute(
        "create table r (id int primary key); create table t (id int primary key, a int references r, "
        "b int constraint fk references r, c int constraint ck check (c > 0), d int, "
        "g int generated always as (b + 1) stored);"
        "alter table t add constraint nv check (a > 0) not valid, add constraint old foreign key (b) "
        "references r not valid"
    )
    assert said(look_at(db, "t", "b"), "foreign", "check", "generated") == [
        "foreign key fk looks each new value up in public.r",
        "foreign key old looks each new value up in public.r",
        "generated column g is computed anew for each row",
        "check nv is NOT VALID and still tried on each row that is written: old rows that contradict it fail",
    ]
    db.execute(f"{PARTITIONED} alter table t add constraint whole foreign key (d) references p")
    assert said(look_at(db, "t", "d"), "foreign") == ["foreign key whole looks each new value up in public.p"]
    assert said(look_at(db, "t", "c"), "foreign", "check")[0] == "check ck is tried on each row"
    assert said(look_at(db, "t", "id"), "generated", "check ck") == []


@pytest.mark.parametrize("any_url", ["stock 18"], indirect=True)
@pytest.mark.slow
def test_a_not_null_that_isnt_validated_is_named(db: Connection) -> None:
    db.execute(f"{LOOKED}; insert into t values (1); alter table t add constraint nn not null a not valid")
    assert said(look_at(db, "t", "b"), "not-null") == [
        "not-null constraint nn is NOT VALID and still tried on each row that is written: old rows that "
        "contradict it fail"
    ]
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.execute("update t set b = 1")


@pytest.mark.parametrize(
    ("index", "column", "covers"),
    [
        ("create index x on t (b)", "b", True),
        ("create index x on t (a) include (b)", "b", True),
        ("create index x on t ((b + 1))", "b", True),
        ("create index x on t (a) where b > 0", "b", True),
        ("create index x on t (g)", "b", True),
        ("alter table t add constraint x unique (b)", "b", True),
        ("create index x on t (a)", "b", False),
    ],
)
def test_an_index_on_the_column_is_named(db: Connection, index: str, column: str, covers: bool) -> None:
    db.execute("create table t (id int, a int, b int, g int generated always as (b * 2) stored)")
    db.execute(index)
    found = said(look_at(db, "t", column), "index x (btree ")
    assert bool(found) == covers
    db.execute("insert into t (id, a, b) values (1, 1, 1)")
    db.execute("update t set b = 2")
    hot = db.execute("select pg_stat_get_xact_tuples_hot_updated('t'::regclass)")  # the server's own verdict
    with db.transaction():
        db.execute("update t set b = 3")
        hot = db.execute("select pg_stat_get_xact_tuples_hot_updated('t'::regclass)").fetchone()
    assert (hot[0] >= 1) != covers


@MOSTLY_HERE
def test_an_index_of_all_partitions_is_named_once(db: Connection) -> None:
    db.execute(f"{PARTITIONED} create index whole on p (b); create index part on p2 (b, a)")
    assert said(look_at(db, "p", "b"), "index") == [
        f"index {name} (btree {columns}) gets every row anew, and no update stays on its page: build it "
        "after the backfill"
        for name, columns in [("part", "(b, a)"), ("whole", "(b)")]
    ]


def test_what_refers_to_deleted_rows_is_named(db: Connection) -> None:
    db.execute(
        "create table t (id int primary key);"
        "create table c1 (id int primary key, t_id int constraint k1 references t on delete cascade);"
        "create table c2 (id int, t_id int constraint k2 references t); create index on c2 (t_id);"
        "create table c3 (id int, c1_id int constraint k3 references c1 on delete set null);"
        "insert into c1 select generate_series(1, 0); insert into c3 select generate_series(1, 100);"
        "insert into t values (1); insert into c1 values (1, 1)"
    )
    assert said(look_at(db, "t", deletes=True), "foreign") == [
        "foreign key k1 of public.c1 deletes the rows of public.c1 that refer to it; without an index on "
        "t_id it reads 8 kB of public.c1 each time: build one first",
        "foreign key k2 of public.c2 turns a deleted row away that public.c2 refers to",
        "foreign key k3 of public.c3 empties the rows of public.c3 that refer to it; without an index on "
        "c1_id it reads 8 kB of public.c3 each time: build one first",
    ]
    assert said(look_at(db, "c1", "t_id"), "foreign") == [
        "foreign key k1 looks each new value up in public.t"
    ]


@pytest.mark.parametrize(
    "index",
    ["create index on c (t_id)", "create index on c (t_id, id) where t_id is not null", None],
)
def test_partitions_that_refer_are_counted_by_their_indexes(db: Connection, index: str | None) -> None:
    db.execute(
        f"{PARTITIONED} insert into p select generate_series(1, 200);"
        "create table c (id int, t_id int references p) partition by range (id);"
        "create table ca partition of c for values from (0) to (10);"
        "create table cb partition of c for values from (10) to (1000);"
        "insert into c select g, g from generate_series(1, 100) g"
    )
    if index:
        db.execute(index)
    (found,) = said(look_at(db, "p", deletes=True), "foreign")
    assert ("reads 16 kB of public.c each time" in found) == (index is None), found


@MOSTLY_HERE
def test_who_keeps_dead_rows_is_named(any_url: URL, db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    db.execute(LOOKED)
    monkeypatch.setattr(notices, "_OLD", 0)
    with connect(any_url, application_name="report") as other:
        named = f"pid {other.info.backend_pid} (report, role {any_url.username}) keeps dead rows"
        with other.transaction():
            other.execute("create table of_another_transaction (id int)")
            until(lambda: said(look_at(db, "t", "b"), named))  # an autovacuum may be older
        assert said(look_at(db, "t", "b"), named) == []


# A whole backfill -------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_a_backfill_gives_its_notices(
    run: Callable, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute(f"{LOOKED}; {FUNCTION} create trigger x before update on t for each row execute function f()")
    db.execute(MANY.format(500))
    with caplog.at_level("INFO"), online.pace(max_dead_share=0):
        done = run(online.backfill, "t", {"b": "a"})
    assert done.rows == 500
    assert done.notices[0].startswith("about 500 of about 500 rows to do: ")
    assert "trigger x (public.f) fires on each row, BEFORE UPDATE" in done.notices
    assert "trigger x (public.f) fires on each row, BEFORE UPDATE" in caplog.text
