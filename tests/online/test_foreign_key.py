import threading
from collections.abc import Callable

import pytest
from alembic import op
from psycopg import Connection
from psycopg.errors import ForeignKeyViolation
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import psql, script_of
from tests.online.conftest import revision

TWO = """
create table r (id int primary key, other text unique, plain int);
create table f (id int primary key, r int, s text);
insert into r select g, g, g from generate_series(1, 20) g;
insert into f select g, g, g from generate_series(1, 20) g
"""
PARTITIONED = """
create table r (id int primary key);
create table p (id int, r int) partition by range (id);
create table p1 partition of p for values from (0) to (10);
create table p2 partition of p for values from (10) to (30) partition by range (id);
create table p2a partition of p2 for values from (10) to (20);
create table p2b partition of p2 for values from (20) to (30);
insert into r select generate_series(1, 30);
insert into p select g, g + 1 from generate_series(0, 29) g
"""
FK = ("fk", "f", "r", ["r"], ["id"])


def keys(db: Connection) -> list[tuple]:
    """Every foreign key: table, name, meaning, whether it is validated, and whether it hangs below another."""
    return db.execute("""
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, conparentid <> 0
        from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace order by 1, 2
    """).fetchall()


def test_it_is_added_and_validated_once(run: Callable, db: Connection) -> None:
    db.execute(TWO)
    done = run(online.create_foreign_key, *FK)
    assert (done.changed, done.subject) == (True, "fk on f")
    assert keys(db) == [("f", "fk", "FOREIGN KEY (r) REFERENCES r(id)", True, False)]
    assert not run(online.create_foreign_key, *FK).changed


OPTIONS = {
    "onupdate": "CASCADE", "ondelete": "SET NULL (r)", "deferrable": True, "initially": "DEFERRED", "match": "FULL",
}  # fmt: skip


def test_its_options_are_those_of_op(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(TWO)
    run(lambda: op.create_foreign_key(*FK, **OPTIONS))
    by_op = keys(db)
    assert "MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (r) DEFERRABLE INITIALLY DEFERRED" in by_op[0][2]
    assert not run(online.create_foreign_key, *FK, **OPTIONS).changed
    run(online.drop_constraint, "fk", "f", "foreignkey")
    run(online.create_foreign_key, *FK, **OPTIONS)
    assert keys(db) == by_op
    run(online.drop_constraint, "fk", "f", "foreignkey")
    psql(any_url, script_of(online.create_foreign_key, *FK, **OPTIONS))
    assert keys(db) == by_op


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize("change", [
    {"ondelete": "CASCADE"}, {"onupdate": "SET NULL"}, {"deferrable": True}, {"deferrable": True, "initially": "DEFERRED"},
    {"match": "FULL"}, {"ondelete": "SET NULL (r)"},
])  # fmt: skip
def test_another_one_by_that_name_is_refused(run: Callable, db: Connection, change: dict) -> None:
    db.execute(TWO)
    run(online.create_foreign_key, *FK, ondelete="SET NULL")
    with pytest.raises(
        ObjectError, match=r"fk of public\.f already, and it is another one: FOREIGN KEY.*Nothing was changed"
    ):
        run(online.create_foreign_key, *FK, **change)


def test_not_valid_is_left_so_and_gone_on_with(run: Callable, db: Connection) -> None:
    db.execute(TWO)
    run(online.create_foreign_key, *FK, postgresql_not_valid=True)
    assert keys(db)[0][3] is False
    assert run(online.create_foreign_key, *FK).changed
    assert keys(db)[0][3] is True


def test_a_violation_names_keys_and_orphans_and_the_rerun_succeeds(run: Callable, db: Connection) -> None:
    db.execute(f"{TWO}; delete from r where id <= 12; update f set r = null where id = 1")
    with pytest.raises(ViolationError) as caught:
        run(online.create_foreign_key, *FK)
    told = str(caught.value)
    assert told.startswith("11 rows (id=2: r=2; id=3: r=3; ")
    assert "id=11: r=11, …) contradict constraint fk (FOREIGN KEY (r) REFERENCES r(id)) of public.f. " in told
    find = told.partition("To find them: ")[2]
    assert len(db.execute(find.encode()).fetchall()) == 11
    assert keys(db)[0][3] is False
    with pytest.raises(ForeignKeyViolation):
        db.execute("insert into f values (100, 3)")
    db.execute("delete from f where id <= 12")
    run(online.create_foreign_key, *FK)
    assert keys(db)[0][3] is True


def test_match_full_finds_what_is_half_null(run: Callable, db: Connection) -> None:
    db.execute(
        "create table r (a int, b int, unique (a, b)); create table f (id int primary key, a int, b int)"
    )
    db.execute("insert into r values (1, 1); insert into f values (1, 1, 1), (2, 1, null), (3, null, null)")
    with pytest.raises(ViolationError, match=r"^1 row \(id=2: a=1, b=null\)"):
        run(online.create_foreign_key, "fk", "f", "r", ["a", "b"], ["a", "b"], match="FULL")
    run(online.create_foreign_key, "fk2", "f", "r", ["a", "b"], ["a", "b"])


def test_add_and_validate_are_two_transactions_and_writers_go_on(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(TWO)
    seen: list[str] = []

    def look(point: str) -> None:
        seen.append(point)
        if point == "create_foreign_key: add: committed":
            assert keys(db)[0][3] is False
        if point == "create_foreign_key: validate: inside":
            with connect(any_url, options="-c lock_timeout=100") as traffic:
                traffic.execute(
                    "insert into r values (100); insert into f values (100, 100); delete from f where id = 1; delete from r where id = 1"
                )
                traffic.execute("update f set r = 2 where id = 2")

    with faults.injected(look):
        run(online.create_foreign_key, *FK)
    assert seen[-6:] == [
        f"create_foreign_key: {step}: {point}"
        for step in ("add", "validate")
        for point in ("before", "inside", "committed")
    ]


def test_two_runs_in_opposite_directions_do_not_deadlock(any_url: URL, db: Connection) -> None:
    """Both take the two tables in one order, whichever refers to the other."""
    db.execute(TWO)
    held: dict[str, list[tuple]] = {}

    def look(name: str) -> Callable[[str], None]:
        def note(point: str) -> None:
            if point.endswith("add: inside"):
                held[name] = db.execute("""
                    select c.relname, mode from pg_locks l join pg_class c on c.oid = l.relation
                    where c.relname in ('f', 'r') and mode = 'ShareRowExclusiveLock' order by 1
                """).fetchall()

        return note

    both = [("f", "ShareRowExclusiveLock"), ("r", "ShareRowExclusiveLock")]
    for name, arguments in (("one", FK), ("two", ("fk", "r", "f", ["plain"], ["id"]))):
        with faults.injected(look(name)), revision(any_url):
            online.create_foreign_key(*arguments)
    assert held == {"one": both, "two": both}
    # The first of them is asked for first: whoever holds it stops the second from being taken.
    with connect(any_url) as other:
        other.execute("begin; lock table f in access share mode; alter table r drop constraint fk")
        asked: list[str] = []
        thread = threading.Thread(target=lambda: asked.append(_try(any_url)))
        thread.start()
        until(lambda: asked)
        assert (
            db.execute(
                "select 1 from pg_locks where relation = 'r'::regclass and mode = 'ShareRowExclusiveLock'"
            ).fetchone()
            is None
        )
        other.execute("rollback")
        thread.join()


def _try(url: URL) -> str:
    with revision(url), online.policy(give_up_after="50ms"):
        try:
            online.create_foreign_key("fk3", "f", "r", ["r"], ["id"])
        except Exception as error:
            return type(error).__name__
    return "done"


def test_a_table_may_refer_to_itself(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, parent int); insert into t values (1, 1), (2, 3)")
    with pytest.raises(ViolationError, match=r"^1 row \(id=2: parent=3\)"):
        run(online.create_foreign_key, "fk", "t", "t", ["parent"], ["id"])
    db.execute("update t set parent = 1")
    run(online.create_foreign_key, "fk", "t", "t", ["parent"], ["id"])
    assert keys(db)[0][3] is True


def test_the_referenced_table_may_be_partitioned(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    db.execute(
        "alter table p add primary key (id); create table f (id int primary key, p int); insert into f values (1, 15), (2, 99)"
    )
    with pytest.raises(ViolationError, match=r"^1 row \(id=2: p=99\)"):
        run(online.create_foreign_key, "fk", "f", "p", ["p"], ["id"])
    db.execute("delete from f where id = 2")
    run(online.create_foreign_key, "fk", "f", "p", ["p"], ["id"])
    assert not run(online.create_foreign_key, "fk", "f", "p", ["p"], ["id"]).changed
    assert ("f", "fk", "FOREIGN KEY (p) REFERENCES p(id)", True, False) in keys(db)


PART = ("fk", "p", "r", ["r"], ["id"])


def test_a_partitioned_table_ends_as_by_op(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(PARTITIONED)
    run(lambda: op.create_foreign_key(*PART, ondelete="CASCADE"))
    by_op = keys(db)
    assert len(by_op) == 5
    run(online.drop_constraint, "fk", "p", "foreignkey")
    assert keys(db) == []
    run(online.create_foreign_key, *PART, ondelete="CASCADE")
    assert keys(db) == by_op
    assert not run(online.create_foreign_key, *PART, ondelete="CASCADE").changed
    run(online.drop_constraint, "fk", "p", "foreignkey")
    psql(any_url, script_of(online.create_foreign_key, *PART, ondelete="CASCADE"))
    assert keys(db) == by_op


def test_a_partition_is_not_read_under_the_parents_lock(run: Callable, db: Connection, any_url: URL) -> None:
    """What the transaction that adds the parent's key scanned, by its own counters."""
    db.execute(PARTITIONED)
    if db.info.server_version >= 180000:
        pytest.skip("18 adds the parent's key NOT VALID")
    scans: list[int] = []

    def look(point: str) -> None:
        if point.endswith("attach: before"):
            op.get_bind().exec_driver_sql("select pg_stat_force_next_flush()")
        if point.endswith("attach: inside"):
            scans.append(op.get_bind().exec_driver_sql(
                "select sum(pg_stat_get_xact_numscans(oid))::int from pg_class where relname in ('p1', 'p2a', 'p2b', 'r')"
            ).scalar())  # fmt: skip

    with faults.injected(look):
        run(online.create_foreign_key, *PART)
    assert scans == [0]


def test_adopting_waits_for_readers_of_the_other_table_by_looking(any_url: URL, db: Connection) -> None:
    """The adopted keys' triggers go, under ACCESS EXCLUSIVE: a statement that asks for it late queues readers."""
    db.execute(PARTITIONED)
    if db.info.server_version >= 180000:
        pytest.skip("18 adopts nothing")
    tries: list[str] = []
    with connect(any_url) as reader:
        reader.execute("begin; select from r")
        with (
            faults.injected(lambda point: tries.append(point) if point.endswith("attach: before") else None),
            revision(any_url),
            online.policy(give_up_after="300ms"),
            pytest.raises(LockTimeoutError, match=r"ACCESS EXCLUSIVE.* on .*public\.r"),
        ):
            online.create_foreign_key(*PART)
        reader.execute("commit")
    assert len(tries) <= 1
    with revision(any_url):
        online.create_foreign_key(*PART)
    assert len(keys(db)) == 5


def test_a_partitioned_table_is_gone_on_with(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    db.execute("insert into p values (21, 99)")
    with pytest.raises(
        ViolationError, match=r"^1 row \(ctid=\(0,11\) of p2b: r=99\) contradicts constraint fk"
    ):
        run(online.create_foreign_key, *PART)
    with pytest.raises(ForeignKeyViolation):
        db.execute("insert into p values (22, 99)")
    db.execute("delete from p where r = 99")
    run(online.create_foreign_key, *PART)
    assert all(key[3] for key in keys(db))


def test_a_partition_that_comes_meanwhile_is_done_first(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    if db.info.server_version >= 180000:
        pytest.skip("18 adds the parent's key at once")
    steps: list[str] = []

    def come(point: str) -> None:
        steps.append(point)
        if point.endswith("attach: before") and "p3" not in "".join(steps):
            db.execute("create table if not exists p3 partition of p for values from (30) to (40)")

    with faults.injected(come):
        run(online.create_foreign_key, *PART)
    assert "create_foreign_key: add to public.p3: committed" in steps
    assert ("p3", "fk", "FOREIGN KEY (r) REFERENCES r(id)", True, True) in keys(db)


def test_a_partitions_other_constraint_by_that_name_is_refused_first(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    db.execute("alter table p2b add constraint fk check (r > 0)")
    if db.info.server_version >= 180000:
        run(online.create_foreign_key, *PART)  # 18 gives the partition's another name
        return
    with pytest.raises(ObjectError, match=r"fk of public\.p2b already.*Nothing was changed"):
        run(online.create_foreign_key, *PART)
    assert keys(db) == []
    with pytest.raises(UnsafeError, match="can't be NOT VALID"):
        run(online.create_foreign_key, *PART, postgresql_not_valid=True)


def test_a_partitioned_table_may_refer_to_itself(run: Callable, db: Connection) -> None:
    db.execute(PARTITIONED)
    db.execute("alter table p add primary key (id); update p set r = 0")
    self = ("fk", "p", "p", ["r"], ["id"])
    run(online.create_foreign_key, *self)
    assert {key[0] for key in keys(db) if key[2] == "FOREIGN KEY (r) REFERENCES p(id)" and key[3]} == {
        "p",
        "p1",
        "p2",
        "p2a",
        "p2b",
    }
    assert not run(online.create_foreign_key, *self).changed
    with pytest.raises(ForeignKeyViolation):
        db.execute("update p set r = 77 where id = 1")
    with pytest.raises(ForeignKeyViolation):
        db.execute("delete from p where id = 0")
    run(online.drop_constraint, "fk", "p")
    assert keys(db) == []


def test_hypertables_on_either_side(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute(
            "create extension timescaledb; create table r (id int primary key); insert into r values (1)"
        )
        db.execute("create table h (at timestamptz not null, r int, unique (at, r))")
        db.execute("select create_hypertable('h', 'at')")
        db.execute(
            "insert into h select '2026-01-01'::timestamptz + g * interval '7 days', g from generate_series(1, 2) g"
        )
        with revision(empty_url), pytest.raises(ViolationError, match=r"^1 row \(ctid=.*: r=2\)"):
            online.create_foreign_key("fk", "h", "r", ["r"], ["id"])
        db.execute("delete from h where r = 2")
        with revision(empty_url):
            online.create_foreign_key("fk", "h", "r", ["r"], ["id"])
        with pytest.raises(ForeignKeyViolation):
            db.execute("insert into h values ('2026-05-05', 2)")
        db.execute(
            "create table f (id int primary key, at timestamptz, r int); insert into f select 1, at, r from h"
        )
        db.execute("insert into f values (2, now(), 1)")
        with revision(empty_url), pytest.raises(ViolationError, match=r"^1 row \(id=2: at="):
            online.create_foreign_key("fk", "f", "h", ["at", "r"], ["at", "r"])


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((None, "f", "r", ["r"], ["id"]), "has no name"),
        (("ü" * 32, "f", "r", ["r"], ["id"]), "64 bytes"),
        (("fk", "nothing", "r", ["r"], ["id"]), "nothing doesn't exist"),
        (("fk", "f", "nothing", ["r"], ["id"]), "nothing doesn't exist"),
        (("fk", "f", "r", ["nothing"], ["id"]), 'column "nothing"'),
        (("fk", "f", "r", ["r"], ["nothing"]), 'column "nothing"'),
        (("fk", "f", "r", ["r"], ["plain"]), r"No unique constraint of public\.r .*: plain\."),
        (("fk", "f", "r", ["r"], ["other"]), "cannot be implemented"),
        (("fk", "f", "r", ["r", "s"], ["id"]), "local_cols has 2 columns"),
        (("fk", "f", "r.r", ["r"], ["id"]), "has a dot"),
        (("t_pkey", "f", "r", ["r"], ["id"]), "already"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_changed(
    run: Callable, db: Connection, arguments: tuple, told: str
) -> None:
    db.execute(f"{TWO}; alter table f rename constraint f_pkey to t_pkey")
    with pytest.raises(ObjectError, match=f"{told}.*Nothing was changed") as caught:
        run(online.create_foreign_key, *arguments)
    assert "\n" not in str(caught.value)
    assert keys(db) == []


def test_a_missing_index_is_told_with_the_call_that_makes_it(
    run: Callable, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute(TWO)
    run(online.create_foreign_key, *FK)
    (told,) = [record for record in caplog.records if record.name.startswith("homeops_db.online")]
    assert told.levelname == "WARNING"
    call = told.getMessage().rpartition(": ")[2]
    assert call == "online.create_index('ix_f_r', 'f', ['r'], schema='public')"
    run(lambda: eval(call, {"online": online}))  # noqa: S307
    caplog.clear()
    run(online.create_foreign_key, "fk2", *FK[1:])
    assert not [record for record in caplog.records if record.name.startswith("homeops_db.online")]


def test_a_table_of_another_role_may_be_referred_to(any_url: URL, db: Connection) -> None:
    db.execute(
        f"{TWO}; do $$ begin create role homeops_referrer; exception when duplicate_object then end $$"
    )
    db.execute(
        "grant all on schema public to homeops_referrer; alter table f owner to homeops_referrer; create index on f (r)"
    )
    db.execute("grant select, references on r to homeops_referrer")
    theirs = any_url.update_query_dict({"options": "-c role=homeops_referrer"})
    try:
        with revision(theirs), pytest.raises(ObjectError, match=r"belongs to role .* Nothing was changed"):
            online.create_foreign_key("fk", "r", "f", ["plain"], ["id"])
        with revision(theirs):
            online.create_foreign_key(*FK)
        assert keys(db)[0][3] is True
    finally:
        db.execute(
            "reassign owned by homeops_referrer to current_user; drop owned by homeops_referrer; drop role homeops_referrer"
        )


@pytest.mark.parametrize("any_url", ["stock 15"], indirect=True)
@pytest.mark.parametrize("name", ['a"; drop table r; --', "Ünïcode %s %% {} 'x'", "ü" * 31 + "x", "select"])
def test_identifiers_are_only_names(run: Callable, db: Connection, any_url: URL, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(f"create schema {quoted}; create table {quoted}.r ({quoted} int primary key)".encode())
    db.execute(
        f"create table {quoted}.{quoted} ({quoted} int primary key) partition by range ({quoted})".encode()
    )
    part = '"' + name[:20].replace('"', '""') + ' part"'
    db.execute(
        f"create table {quoted}.{part} partition of {quoted}.{quoted} for values from (0) to (9)".encode()
    )
    db.execute(f"insert into {quoted}.{quoted} values (1)".encode())
    arguments = (name, name, "r", [name], [name])
    schemas = {"source_schema": name, "referent_schema": name}
    with pytest.raises(ViolationError) as caught:
        run(online.create_foreign_key, *arguments, **schemas)
    assert str(caught.value).startswith(f"1 row ({name}=1: {name}=1) contradicts constraint {name} ")
    db.execute(b"delete " + str(caught.value).partition("To find them: SELECT * ")[2].encode())
    run(online.create_foreign_key, *arguments, **schemas)
    made = "select conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated from pg_constraint where contype = 'f' order by 1"
    by_online = db.execute(made).fetchall()
    run(online.drop_constraint, name, name, "foreignkey", schema=name)
    psql(any_url, script_of(online.create_foreign_key, *arguments, **schemas))
    assert db.execute(made).fetchall() == by_online
    db.execute(f"drop schema {quoted} cascade".encode())


def test_no_columns_are_refused(run: Callable, db: Connection) -> None:
    db.execute("create table r (id int primary key); create table f (r int)")
    with pytest.raises(ObjectError, match="Nothing was changed"):
        run(online.create_foreign_key, "fk", "f", "r", [], [])
