import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from alembic import op
from psycopg import Connection
from psycopg.errors import CheckViolation
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import ObjectError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import constraints, psql, script_of
from tests.online.conftest import revision

ONE = "create table t (id int primary key, a int, b text); insert into t select g, g from generate_series(1, 20) g"

HELD_UP = "select 1 from pg_stat_activity where wait_event = 'advisory' and datname = current_database()"


def state(db: Connection, name: str = "ck", table: str = "t") -> bool | None:
    """None: not there; else whether it is validated."""
    row = db.execute(
        "select convalidated from pg_constraint where conname = %s and conrelid = %s::regclass", (name, table)
    ).fetchone()
    return None if row is None else row[0]


def test_it_is_added_and_validated_once(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    done = run(online.create_check_constraint, "ck", "t", "a > 0")
    assert (done.changed, done.subject) == (True, "ck on t")
    assert constraints(db, "t")["ck"] == "CHECK ((a > 0))"
    assert not run(online.create_check_constraint, "ck", "t", sa.column("a") > 0).changed


def test_not_valid_is_left_so_and_gone_on_with(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    run(online.create_check_constraint, "ck", "t", "a > 5", postgresql_not_valid=True)
    assert state(db) is False
    assert not run(online.create_check_constraint, "ck", "t", "a > 5", postgresql_not_valid=True).changed
    db.execute("delete from t where a <= 5")
    assert run(online.create_check_constraint, "ck", "t", "(a)>(5)").changed
    assert state(db) is True
    assert not run(online.create_check_constraint, "ck", "t", "a > 5", postgresql_not_valid=True).changed
    assert state(db) is True


def test_a_violation_names_count_and_keys_and_the_rerun_succeeds(run: Callable, db: Connection) -> None:
    db.execute(ONE)
    with pytest.raises(ViolationError) as caught:
        run(online.create_check_constraint, "ck", "t", "a > 12")
    told = str(caught.value)
    assert told.startswith("12 rows (id=1; id=2; ")
    assert "id=10, …)" in told
    assert "id=11" not in told
    assert "\n" not in told
    find = told.partition("To find them: ")[2]
    assert len(db.execute(find.encode()).fetchall()) == 12
    assert state(db) is False
    with pytest.raises(CheckViolation):
        db.execute("insert into t values (100, 3)")
    db.execute(b"delete " + find.removeprefix("SELECT * ").encode())
    assert run(online.create_check_constraint, "ck", "t", "a > 12").changed
    assert state(db) is True


def test_rows_without_a_key_are_told_by_their_place(run: Callable, db: Connection) -> None:
    db.execute(
        "create table t (a int) partition by range (a); create table t1 partition of t for values from (0) to (9)"
    )
    db.execute("insert into t values (1), (2)")
    with pytest.raises(
        ViolationError,
        match=r"^1 row \(ctid=\(0,2\) of t1\) contradicts constraint ck \(CHECK \(\(a < 2\)\)\) of public\.t\. ",
    ):
        run(online.create_check_constraint, "ck", "t", "a < 2")


def test_rows_that_a_policy_hides_are_not_called_none(run: Callable, any_url: URL, db: Connection) -> None:
    db.execute(f"{ONE}; do $$ begin create role homeops_policed; exception when duplicate_object then end $$")
    db.execute("grant all on schema public to homeops_policed; alter table t owner to homeops_policed")
    db.execute("alter table t enable row level security; alter table t force row level security")
    policed = any_url.update_query_dict({"options": "-c role=homeops_policed"})
    try:
        with (
            revision(policed),
            pytest.raises(ViolationError, match=r"^Rows that this role isn't allowed to see contradict"),
        ):
            online.create_check_constraint("ck", "t", "a > 12")
    finally:
        db.execute(
            "reassign owned by homeops_policed to current_user; drop owned by homeops_policed; drop role homeops_policed"
        )


@pytest.fixture
def held_up(db: Connection) -> Iterator[str]:
    """A condition that waits on the row with a = 1, for as long as the advisory lock 7 is held."""
    db.execute(ONE)
    db.execute("""
        create function slow(a int) returns boolean language plpgsql as $$
        begin if a = 1 then perform pg_advisory_xact_lock_shared(7); end if; return true; end $$
    """)
    db.execute("select pg_advisory_lock(7)")
    yield "slow(a)"
    db.execute("select pg_advisory_unlock_all()")


def test_reads_and_writes_go_on_during_the_validation(
    run: Callable, db: Connection, any_url: URL, held_up: str
) -> None:
    ended: list[object] = []
    thread = threading.Thread(
        target=lambda: ended.append(run(online.create_check_constraint, "ck", "t", held_up))
    )
    thread.start()
    try:
        until(lambda: db.execute(HELD_UP).fetchone())
        with connect(any_url, options="-c lock_timeout=100") as traffic:
            traffic.execute("insert into t values (101, 101)")
            traffic.execute("update t set b = 'x' where id = 2")
            assert traffic.execute("select count(*) from t").fetchone() == (21,)
            assert state(traffic) is False, "committed by itself, before the validation"
        assert not ended
    finally:
        db.execute("select pg_advisory_unlock(7)")
        thread.join()
    assert state(db) is True


def test_a_validation_outlasts_the_timeouts(db: Connection, any_url: URL, held_up: str) -> None:
    impatient = any_url.update_query_dict({"options": "-c statement_timeout=150 -c lock_timeout=100"})

    def unlock() -> None:
        until(
            lambda: db.execute(HELD_UP + " and clock_timestamp() - query_start > interval '0.4 s'").fetchone()
        )
        db.execute("select pg_advisory_unlock(7)")

    thread = threading.Thread(target=unlock)
    thread.start()
    with revision(impatient):
        online.create_check_constraint("ck", "t", held_up)
        assert op.get_bind().exec_driver_sql("show statement_timeout").scalar() == "150ms"
    thread.join()


def test_add_and_validate_are_two_transactions(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(ONE)
    seen: list[tuple[str, bool | None]] = []
    with faults.injected(
        lambda point: seen.append(
            (point, state(db) if point.split(": ")[1] != "look" and "inside" not in point else None)
        )
    ):
        run(online.create_check_constraint, "ck", "t", "a > 0")
    assert seen[-6:] == [
        ("create_check_constraint: add: before", None),
        ("create_check_constraint: add: inside", None),
        ("create_check_constraint: add: committed", False),
        ("create_check_constraint: validate: before", False),
        ("create_check_constraint: validate: inside", None),
        ("create_check_constraint: validate: committed", True),
    ]


def test_partitions_and_children_have_it_too(run: Callable, db: Connection) -> None:
    db.execute(
        "create table p (a int) partition by range (a); create table p1 partition of p for values from (0) to (9)"
    )
    db.execute("create table m (a int); create table c () inherits (m); insert into c values (-1)")
    run(online.create_check_constraint, "ck", "p", "a > 0")
    assert state(db, table="p1") is True
    with pytest.raises(ViolationError, match=r"^1 row "):
        run(online.create_check_constraint, "ck", "m", "a > 0")
    assert state(db, table="c") is False
    db.execute("alter table c add constraint other check (a > 7) not valid")
    with pytest.raises(ObjectError, match=r"other of public\.c already"):
        run(online.create_check_constraint, "other", "m", "a > 0")
    assert state(db, "other", "m") is None


def test_a_hypertable_has_it_in_every_chunk(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb; create table h (at timestamptz not null, v int)")
        db.execute("select create_hypertable('h', 'at')")
        db.execute(
            "insert into h select '2026-01-01'::timestamptz + g * interval '7 days', g from generate_series(1, 3) g"
        )
        with (
            revision(empty_url),
            pytest.raises(ViolationError, match=r"^1 row \(ctid=\(0,1\) of _timescaledb_internal\._hyper"),
        ):
            online.create_check_constraint("ck", "h", "v > 1")
        db.execute("delete from h where v = 1")
        with revision(empty_url):
            online.create_check_constraint("ck", "h", "v > 1")
        assert db.execute(
            "select count(*), bool_and(convalidated) from pg_constraint where conname = 'ck'"
        ).fetchone() == (4, True)


def test_another_one_by_that_name_is_refused(run: Callable, db: Connection) -> None:
    db.execute(
        f"{ONE}; alter table t add constraint ck check (a > 1) not valid, add constraint uq unique (a)"
    )
    for name in ("ck", "uq"):
        with pytest.raises(
            ObjectError, match=f"There is a constraint {name} of public.t already.* Nothing was changed"
        ):
            run(online.create_check_constraint, name, "t", "a > 0")
    db.execute("alter table t drop constraint ck, add constraint ck check (a > 0) no inherit")
    with pytest.raises(ObjectError, match="NO INHERIT"):
        run(online.create_check_constraint, "ck", "t", "a > 0")


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((None, "t", "a > 0"), "has no name"),
        (("ü" * 32, "t", "a > 0"), "64 bytes"),
        (("ck", "nothing", "a > 0"), "doesn't exist"),
        (("ck", "t", "c > 0"), 'column "c" does not exist'),
        (("ck", "t", "a"), "must be type boolean"),
        (("ck", "t", "a >"), "syntax error"),
        (("ck", "t", "a > (select 1)"), "subquery"),
        (("ck", "t", "a > 'x'"), "invalid input syntax"),
        (("ck", "t", "nowhere(a)"), "does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_changed(
    run: Callable, db: Connection, arguments: tuple, told: str
) -> None:
    db.execute(ONE)
    with pytest.raises(ObjectError, match=f"{told}.*Nothing was changed") as caught:
        run(online.create_check_constraint, *arguments)
    assert "\n" not in str(caught.value)
    assert "t_pkey" in constraints(db, "t")
    assert not any(text.startswith("CHECK") for text in constraints(db, "t").values())


CONDITIONS = [
    "b <> '100%' and b not like '%s' and b <> '%(x)s'",
    "b <> 'it''s; -- \"quoted\"' and b::varchar <> E'\\\\'",
    "b <> '{\"a\": 1}' and a % 2 >= 0",
    sa.text("t.a > 0 and (t.* is not null or t.b is null)"),
    sa.column("b").in_(["a:b", "c%d", "e'f"]),
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_is_read_as_by_op(run: Callable, db: Connection, condition: object) -> None:
    db.execute(f"{ONE}; create table if not exists twin (like t)")
    run(online.create_check_constraint, "ck", "t", condition)
    assert not run(online.create_check_constraint, "ck", "t", condition).changed
    made = constraints(db, "t")["ck"]
    db.execute("alter table t rename to old; alter table twin rename to t")
    run(lambda: op.create_check_constraint("ck", "t", condition))
    assert constraints(db, "t")["ck"] == made


NAMES = ['a"; drop table t; --', "Ünïcode %s %% {} 'x'", "ü" * 31 + "x", "select"]


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_identifiers_are_only_names(run: Callable, db: Connection, any_url: URL, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(f"create schema {quoted}; create table {quoted}.{quoted} ({quoted} int primary key)".encode())
    db.execute(f"insert into {quoted}.{quoted} values (0)".encode())
    condition = sa.column(name) > 0
    with pytest.raises(ViolationError) as caught:
        run(online.create_check_constraint, name, name, condition, schema=name)
    assert str(caught.value).startswith(f"1 row ({name}=0) contradicts constraint {name} ")
    db.execute(b"delete " + str(caught.value).partition("To find them: SELECT * ")[2].encode())
    run(online.create_check_constraint, name, name, condition, schema=name)
    made = constraints(db, f"{quoted}.{quoted}")
    run(online.drop_constraint, name, name, "check", schema=name)
    psql(any_url, script_of(online.create_check_constraint, name, name, condition, schema=name))
    assert constraints(db, f"{quoted}.{quoted}") == made
    db.execute(f"drop schema {quoted} cascade".encode())


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_script_ends_in_the_same_schema(
    run: Callable, db: Connection, any_url: URL, condition: object
) -> None:
    db.execute(ONE)
    run(online.create_check_constraint, "ck", "t", condition)
    made = constraints(db, "t")
    run(online.drop_constraint, "ck", "t")
    psql(any_url, script_of(online.create_check_constraint, "ck", "t", condition))
    assert constraints(db, "t") == made


def test_a_script_may_leave_it_not_valid(db: Connection, any_url: URL) -> None:
    db.execute(ONE)
    psql(any_url, script_of(online.create_check_constraint, "ck", "t", "a > 7", postgresql_not_valid=True))
    assert state(db) is False
    psql(any_url, script_of(online.validate_constraint, "ck", "t"), fails=True)


def test_a_table_with_the_name_of_our_clone(run: Callable, db: Connection) -> None:
    db.execute("create table homeops_clone (id int primary key, a int)")
    run(online.create_check_constraint, "ck", "homeops_clone", "homeops_clone.a > 0")
    assert constraints(db, "homeops_clone")["ck"] == "CHECK ((a > 0))"
    run(online.alter_column, "homeops_clone", "a", nullable=False)
    db.execute("drop table homeops_clone")


def test_text_arrives_as_it_is_written(run: Callable, db: Connection) -> None:
    """Alembic writes four spaces for a tab when it writes SQL out."""
    db.execute(ONE)
    condition = "b <> 'a\tb\\c%d' and b <> 'e:f'"
    run(online.create_check_constraint, "ck", "t", condition)
    run(online.add_column, "t", sa.Column("c", sa.Text, server_default="a\tb", comment="c\td"))
    assert constraints(db, "t")["ck"] == ("CHECK (((b <> 'a\tb\\c%d'::text) AND (b <> 'e:f'::text)))")
    row = db.execute("select c, col_description('t'::regclass, 4) from t limit 1").fetchone()
    assert row == ("a\tb", "c\td")


@pytest.mark.parametrize("condition", ["b <> '%:x'", sa.text("b <> ':x'")])
def test_a_parameter_without_a_value(run: Callable, db: Connection, condition: object) -> None:
    """SQLAlchemy would write NULL for it, without a word."""
    db.execute(ONE)
    with pytest.raises(ObjectError, match=r"has :x, .*Nothing was changed\."):
        run(online.create_check_constraint, "ck", "t", condition)
    assert state(db) is None
    run(online.create_check_constraint, "ck", "t", r"b <> '%\:x'")
    assert constraints(db, "t")["ck"] == "CHECK ((b <> '%:x'::text))"
    bound = sa.text("b <> :x").bindparams(x="y")
    run(online.create_check_constraint, "ck2", "t", bound)
    assert constraints(db, "t")["ck2"] == "CHECK ((b <> 'y'::text))"
