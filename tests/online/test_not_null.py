"""NOT NULL by online.alter_column: no scan under the strong lock, and every interrupted run goes on."""

import threading
from collections.abc import Callable

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import ObjectError, ViolationError
from homeops_db.online.not_null import proof_name
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import EVERYWHERE, MOSTLY_HERE, constraints, described, psql, script_of

UNTIL_17 = pytest.mark.parametrize(
    "any_url", ["local server", pytest.param("stock 15", marks=pytest.mark.slow)], indirect=True
)
TABLE = "create table t (id int primary key, c int); insert into t select n, n from generate_series(1, 100) n"
POINTS = [
    pytest.param("add: before", marks=pytest.mark.slow),
    pytest.param("add: inside", marks=pytest.mark.slow),
    "add: committed",
    pytest.param("validate: before", marks=pytest.mark.slow),
    "validate: inside",
    "validate: committed",
    pytest.param("set: before", marks=pytest.mark.slow),
    "set: inside",
    pytest.param("set: committed", marks=pytest.mark.slow),
]


def scans(db: Connection, table: str) -> int:
    db.execute("select pg_stat_clear_snapshot()")
    row = db.execute("select pg_stat_get_numscans(%s::regclass)", (table,)).fetchone()
    assert row is not None
    return row[0]


def set_not_null(run: Callable, table: str = "t") -> bool:
    return run(online.alter_column, table, "c", nullable=False).changed


def as_plain(db: Connection) -> dict:
    """What plain op.alter_column would have left."""
    db.execute("create table plain (like t including all); alter table plain rename to t_plain")
    db.execute("alter table t_plain alter c drop not null, alter c set not null")
    return described(db, "t_plain", "c")


def is_native(db: Connection) -> bool:
    return db.info.server_version >= 180000


@EVERYWHERE
def test_it_is_set(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    passed: list[str] = []
    with faults.injected(passed.append):
        assert set_not_null(run)
    assert "alter_column: drop the check: before" not in passed, "SET drops it: one strong lock, not two"
    assert described(db, "t", "c") == as_plain(db)
    assert not [name for name in constraints(db, "t") if name.startswith("homeops")]
    assert not set_not_null(run)
    assert run(online.alter_column, "t", "c", nullable=True).changed
    assert not described(db, "t", "c")["is_not_null"]
    assert list(constraints(db, "t")) in (
        ["t_pkey"],
        ["t_pkey", "t_id_not_null"],
        ["t_id_not_null", "t_pkey"],
    )
    assert not run(online.alter_column, "t", "c", nullable=True).changed


@EVERYWHERE
def test_one_scan_and_never_under_the_strong_lock(run: Callable, db: Connection) -> None:
    """A plain SET NOT NULL scans under ACCESS EXCLUSIVE; here the one scan is VALIDATE's."""
    db.execute(TABLE)
    before = scans(db, "t")
    set_not_null(run)
    until(lambda: scans(db, "t") > before)
    assert scans(db, "t") == before + 1


@MOSTLY_HERE
def test_reads_and_writes_go_on_during_the_scan(run: Callable, db: Connection, any_url: URL) -> None:
    """VALIDATE is held open by a condition that we lock; meanwhile another session reads and writes."""
    db.execute(TABLE)
    seen: list[int] = []

    def use(point: str) -> None:
        if point == "alter_column: validate: inside":
            with connect(any_url, options="-c lock_timeout=1s") as other:
                other.execute("update t set c = c + 1 where id = 1")
                seen.append(other.execute("select count(*) from t").fetchone()[0])
                with pytest.raises(Exception, match="null"):
                    other.execute("insert into t values (1000, null)")

    with faults.injected(use):
        set_not_null(run)
    assert seen == [100]


@pytest.mark.parametrize("point", POINTS)
@MOSTLY_HERE
def test_rerun_after_a_crash(run: Callable, db: Connection, point: str) -> None:
    db.execute(TABLE)
    crashed: list[str] = []

    def crash(name: str) -> None:
        if name == f"alter_column: {point}" and not crashed:
            crashed.append(name)
            raise KeyboardInterrupt

    with faults.injected(crash):
        if is_native(db) and point.startswith("set"):
            return  # there is no such step
        with pytest.raises(KeyboardInterrupt):
            set_not_null(run)
        set_not_null(run)
    assert described(db, "t", "c") == as_plain(db)
    assert not [name for name in constraints(db, "t") if name.startswith("homeops")]
    assert not db.execute("select 1 from pg_constraint where not convalidated").fetchall()


@MOSTLY_HERE
def test_going_back_after_a_crash(run: Callable, db: Connection) -> None:
    db.execute(TABLE)

    def crash(name: str) -> None:
        if name == "alter_column: validate: committed":
            raise KeyboardInterrupt

    with faults.injected(crash), pytest.raises(KeyboardInterrupt):
        set_not_null(run)
    assert run(online.alter_column, "t", "c", nullable=True).changed
    db.execute("insert into t values (1000, null)")


@EVERYWHERE
def test_rows_with_null(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLE}; update t set c = null where id in (7, 8)")
    with pytest.raises(ViolationError) as found:
        set_not_null(run)
    assert "2 rows (id=7; id=8) contradict" in str(found.value)
    assert "\n" not in str(found.value)
    with pytest.raises(Exception, match=r"null|check"):
        db.execute("insert into t values (1000, null)")
    with pytest.raises(ViolationError):
        set_not_null(run)
    db.execute("update t set c = 0 where c is null")
    assert set_not_null(run)
    assert described(db, "t", "c")["is_not_null"]


@UNTIL_17
def test_a_valid_check_by_another_name_is_used_and_kept(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLE}; alter table t add constraint mine check (c is not null)")
    before = scans(db, "t")
    passed: list[str] = []
    with faults.injected(passed.append):
        set_not_null(run)
    assert not [name for name in passed if "validate" in name]
    assert "mine" in constraints(db, "t")
    others = "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    until(lambda: not db.execute(others).fetchone())  # a session that has ended has told what it scanned
    assert scans(db, "t") == before


@UNTIL_17
@pytest.mark.parametrize("kind", ["check (c is not null) not valid", "check (c is not null or id > 0)"])
def test_another_check_proves_nothing(run: Callable, db: Connection, kind: str) -> None:
    db.execute(f"{TABLE}; alter table t add constraint mine {kind}")
    passed: list[str] = []
    with faults.injected(passed.append):
        set_not_null(run)
    assert [name for name in passed if "validate" in name]
    assert described(db, "t", "c")["is_not_null"]


@MOSTLY_HERE
def test_a_check_that_stays_with_the_parent_proves_nothing(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLE}; create table child () inherits (t); insert into child values (1000, null)")
    db.execute("alter table t add constraint mine check (c is not null) no inherit")
    with pytest.raises(ViolationError, match="1 row"):
        set_not_null(run)


@EVERYWHERE
def test_partitions(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int, c int) partition by list (id)")
    db.execute(
        "create table t1 partition of t for values in (1); create table t2 partition of t for values in (2)"
    )
    db.execute("insert into t values (1, 1), (2, 2)")
    before = scans(db, "t1"), scans(db, "t2")
    set_not_null(run)
    assert described(db, "t2", "c")["is_not_null"]
    until(lambda: scans(db, "t1") > before[0] and scans(db, "t2") > before[1])
    assert (scans(db, "t1"), scans(db, "t2")) == (before[0] + 1, before[1] + 1)
    assert not [name for name in constraints(db, "t1") if name.startswith("homeops")]
    with pytest.raises(ObjectError, match=r"inherited from public\.t"):
        run(online.alter_column, "t1", "c", nullable=True)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("create table t (c int primary key)", "primary key"),
        ("create table t (c int generated always as identity)", "identity"),
        (
            "create table t (c int not null); create unique index ix on t (c); alter table t replica identity using index ix",
            "replication",
        ),
    ],
)
@MOSTLY_HERE
def test_what_must_stay_not_null(run: Callable, db: Connection, table: str, why: str) -> None:
    db.execute(table)
    with pytest.raises(ObjectError, match=f"{why}.*Nothing was changed"):
        run(online.alter_column, "t", "c", nullable=True)
    assert described(db, "t", "c")["is_not_null"]


def test_long_names() -> None:
    assert proof_name("c") == "homeops_not_null_c"
    names = {proof_name("x" * 62 + last) for last in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


@MOSTLY_HERE
def test_a_strangers_constraint_by_our_name(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLE}; alter table t add constraint homeops_not_null_c check (c > 0)")
    if is_native(db):
        set_not_null(run)
    else:
        with pytest.raises(ObjectError, match="another one"):
            set_not_null(run)
    assert constraints(db, "t")["homeops_not_null_c"] == "CHECK ((c > 0))"


@MOSTLY_HERE
def test_locks_wait_for_nobody_twice(run: Callable, db: Connection, any_url: URL) -> None:
    """A reader that holds the table when it is time to SET: the step is tried again until it has gone."""
    db.execute(TABLE)
    holder = connect(any_url)
    gone = threading.Timer(0.3, lambda: holder.execute("commit"))

    def hold(name: str) -> None:
        if name in {"alter_column: set: before", "alter_column: add: before"} and not gone.ident:
            holder.execute("begin; select * from t")
            gone.start()

    with faults.injected(hold):
        assert set_not_null(run)
    gone.join()
    holder.close()


@EVERYWHERE
def test_script(db: Connection, any_url: URL) -> None:
    db.execute(TABLE)
    script = script_of(online.alter_column, "t", "c", nullable=False, schema="public")
    psql(any_url, script)
    assert described(db, "t", "c") == as_plain(db)
    assert not [name for name in constraints(db, "t") if name.startswith("homeops")]
    db.execute("alter table t alter c drop not null; update t set c = null where id = 1")
    assert "homeops_not_null_c" in psql(any_url, script, fails=True)
    db.execute("update t set c = 0 where id = 1")
    psql(any_url, script)
    psql(any_url, script_of(online.alter_column, "t", "c", nullable=True, schema="public"))
    assert not described(db, "t", "c")["is_not_null"]
