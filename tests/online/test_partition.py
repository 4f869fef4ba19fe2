import threading
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import ObjectError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.conftest import revision

Run = Callable[..., Any]

NEW = "FROM (10) TO (20)"


@pytest.fixture
def t(db: Connection) -> None:
    """A parent with one partition, and a table to attach; calls() counts the rows that a bound is held against."""
    db.execute("""
        create sequence calls;
        create function bucket(n int) returns int language plpgsql immutable as
            $$ begin perform nextval('calls'); return n; end $$;
        create table t (n int not null, b text) partition by range (bucket(n));
        create table t1 partition of t for values from (0) to (10);
        create table t2 (n int not null, b text);
        insert into t2 select g from generate_series(10, 19) g;
    """)


def calls(db: Connection) -> int:
    row = db.execute("select case when is_called then last_value else 0 end from calls").fetchone()
    assert row is not None
    return row[0]


def partitions(db: Connection, parent: str = "t") -> dict[str, str]:
    return dict(
        db.execute(
            "select inhrelid::regclass::text, pg_get_expr(relpartbound, c.oid) || case when inhdetachpending"
            " then ' pending' else '' end"
            " from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = %s::regclass order by 1",
            (parent,),
        ).fetchall()
    )


def checks(db: Connection, table: str = "t2") -> dict[str, str]:
    return dict(
        db.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint"
            " where contype = 'c' and conrelid = %s::regclass",
            (table,),
        ).fetchall()
    )


def at(point: str, look: Callable[[], object]) -> Callable[[str], None]:
    """Look when a point is passed."""
    return lambda name: look() if name == point else None  # type: ignore[return-value]


def locks_of_writer(db: Connection) -> dict[str, set[str]]:
    """The locks of the session that holds one on t2."""
    found = db.execute("""
        select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation
        where l.pid in (select pid from pg_locks where relation = 't2'::regclass and mode = 'AccessExclusiveLock')
          and c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
    """).fetchall()
    held: dict[str, set[str]] = {}
    for name, mode in found:
        held.setdefault(name, set()).add(mode.removesuffix("Lock"))
    return held


@pytest.mark.usefixtures("t")
def test_it_is_attached_without_a_row_read_under_the_lock(run: Run, db: Connection) -> None:
    before: list[int] = []
    with faults.injected(at("attach_partition: attach: before", lambda: before.append(calls(db)))):
        done = run(online.attach_partition, "t", "t2", NEW)
    assert done.changed
    assert before[0] >= 10, "its rows were held against the bound before"
    assert calls(db) == before[0], "and not again under ACCESS EXCLUSIVE"
    assert partitions(db)["t2"] == "FOR VALUES FROM (10) TO (20)"
    assert checks(db) == {}
    assert db.execute("select count(*) from t where n >= 10").fetchone() == (10,)


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_a_plain_attach_reads_every_row_under_the_lock(db: Connection) -> None:
    db.execute("alter table t attach partition t2 for values from (10) to (20)")
    assert calls(db) >= 10


@pytest.mark.usefixtures("t")
def test_a_default_partition_is_not_read_under_the_lock_either(run: Run, db: Connection) -> None:
    db.execute(
        "create table td partition of t default; insert into t select g from generate_series(100, 119) g"
    )
    before: list[int] = []
    with faults.injected(at("attach_partition: attach: before", lambda: before.append(calls(db)))):
        run(online.attach_partition, "t", "t2", NEW)
    assert calls(db) == before[0]
    assert (checks(db), checks(db, "td")) == ({}, {})
    assert sorted(partitions(db)) == ["t1", "t2", "td"]


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_rows_of_the_bound_in_the_default_partition_are_found_before_anything_is_changed(
    run: Run, db: Connection
) -> None:
    db.execute("create table td partition of t default; insert into t values (12), (13), (99)")
    with pytest.raises(
        ViolationError, match=r"2 rows of the DEFAULT partition public.td belong to public.t2"
    ):
        run(online.attach_partition, "t", "t2", NEW)
    assert checks(db, "td") == {}
    db.execute("insert into t values (14)")  # which its check would refuse
    db.execute("delete from td where n < 20")
    assert run(online.attach_partition, "t", "t2", NEW).changed


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_rows_that_come_in_between_leave_no_check_on_the_default_partition(run: Run, db: Connection) -> None:
    db.execute("create table td partition of t default")
    adds: list[str] = []

    def stray(name: str) -> None:
        if name == "attach_partition: add: before":
            adds.append(name)
            if len(adds) == 2:
                db.execute("insert into t values (12)")

    with faults.injected(stray), pytest.raises(ViolationError, match="1 row of the DEFAULT"):
        run(online.attach_partition, "t", "t2", NEW)
    assert checks(db, "td") == {}
    db.execute("insert into t values (13)")


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_rows_outside_the_bound_are_named(run: Run, db: Connection) -> None:
    db.execute("insert into t2 values (99)")
    with pytest.raises(ViolationError, match="1 row "):
        run(online.attach_partition, "t", "t2", NEW)
    assert "t2" not in partitions(db)
    db.execute("delete from t2 where n = 99")
    assert run(online.attach_partition, "t", "t2", NEW).changed


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_a_check_of_a_run_that_was_given_up_is_dropped(run: Run, db: Connection) -> None:
    db.execute("insert into t2 values (25)")
    with pytest.raises(ViolationError):
        run(online.attach_partition, "t", "t2", NEW)
    assert len(checks(db)) == 1
    run(online.attach_partition, "t", "t2", "FROM (10) TO (30)")
    assert checks(db) == {}


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_attached_by_the_same_bound_it_is_left_alone(run: Run, db: Connection) -> None:
    run(online.attach_partition, "t", "t2", NEW)
    for bound in (NEW, "for values from (10) to (20)", "FROM (9 + 1) TO ('20')"):
        assert not run(online.attach_partition, "t", "t2", bound).changed


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("FROM (5) TO (20)", "would overlap partition .*t1"),
        ("FROM (20) TO (10)", "empty range bound"),
        ("IN (1)", "invalid bound specification"),
        ("FROM (10) TO (x)", "can't be made a partition"),
        ("FROM (10 TO (20)", "syntax error"),
        ("10 to 20", "is no bound of a partition"),
    ],
)
def test_a_bound_that_does_not_fit_is_refused(run: Run, db: Connection, bound: str, message: str) -> None:
    with pytest.raises(ObjectError, match=message) as refused:
        run(online.attach_partition, "t", "t2", bound)
    assert "homeops" not in str(refused.value)
    assert (sorted(partitions(db)), checks(db)) == (["t1"], {})


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        ("create table x partition of t for values from (10) to (20)", ObjectError, "is attached already"),
        ("create table p (n int not null, b text) partition by list (n); create table x partition of p default", ObjectError, "is below p"),
        ("create table p (n int not null, b text); create table x () inherits (p)", ObjectError, "is below p"),
        ("create table x (n int not null, b text); create table c () inherits (x)", ObjectError, "inherit from"),
        ("create table x (n int not null, c text)", ObjectError, 'column "c" not found in parent "t"'),
        ("create table x (n int, b text); alter table t alter n set not null", ObjectError, "NOT NULL"),
        ("create table x (n bigint not null, b text)", ObjectError, "different type"),
        ("alter table t add constraint c check (n > 0); create table x (n int not null, b text)", ObjectError, "missing constraint"),
        ("create view x as select 1 n", ObjectError, "no table that"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_refused(
    run: Run, db: Connection, prepare: str, error: type[Exception], message: str
) -> None:
    db.execute(prepare)
    before = checks(db, "x")
    with pytest.raises(error, match=message):
        run(online.attach_partition, "t", "x", "FROM (30) TO (40)")
    assert checks(db, "x") == before


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_names_that_mean_something_else_are_refused(run: Run, db: Connection) -> None:
    for parent, partition, message in (
        ("nope", "t2", "nope doesn't exist"),
        ("t", "nope", "nope doesn't exist"),
        ("t2", "t1", "isn't partitioned"),
        ("t", 'x"; drop table t1; --', "doesn't exist"),
    ):
        with pytest.raises(ObjectError, match=message):
            run(online.attach_partition, parent, partition, NEW)
        with pytest.raises(ObjectError, match=message):
            run(online.detach_partition, parent, partition)
    assert "t1" in partitions(db)


@MOSTLY_HERE
def test_a_strangers_default_partition_is_not_ours_to_check(any_url: URL, db: Connection) -> None:
    db.execute("drop role if exists homeops_test_tenant; create role homeops_test_tenant login")
    db.execute("grant usage, create on schema public to homeops_test_tenant")
    try:
        with connect(any_url.set(username="homeops_test_tenant")) as tenant:
            tenant.execute("create table t (n int) partition by list (n); create table t2 (n int)")
        db.execute(
            "create table td (n int); alter table t attach partition td default; create table mine (n int)"
        )
        with revision(any_url.set(username="homeops_test_tenant")):
            for table, theirs in (("mine", "mine"), ("t2", "td")):
                with pytest.raises(
                    ObjectError, match=f"public.{theirs} belongs to role .* Nothing was changed"
                ):
                    online.attach_partition("t", table, "IN (1)")
        assert checks(db) == {}
    finally:
        db.execute("drop owned by homeops_test_tenant; drop role homeops_test_tenant")


@MOSTLY_HERE
def test_strange_names_are_names(run: Run, db: Connection) -> None:
    db.execute("""
        create schema "S 1"; create schema "{s}";
        create table "S 1"."p%s" ("a b" text) partition by list ("a b");
        create table "S 1".d partition of "S 1"."p%s" default;
        create table "{s}"."d" ("a b" text);
        insert into "{s}"."d" values ('{x} %s ''');
    """)
    bound = "IN ('{x} %s ''', 'a:b')"
    where = {"schema": "S 1", "partition_schema": "{s}"}
    run(online.attach_partition, "p%s", "d", bound, **where)
    assert partitions(db, '"S 1"."p%s"')['"{s}".d'] == f"FOR VALUES {bound}"
    run(online.detach_partition, "p%s", "d", **where)
    assert list(partitions(db, '"S 1"."p%s"')) == ['"S 1".d']


@pytest.mark.usefixtures("t")
def test_what_the_parent_has_and_the_table_lacks_must_be_there_first(run: Run, db: Connection) -> None:
    db.execute("""
        create table r (id int primary key);
        alter table t add column r int;
        alter table t2 add column r int;
        alter table t add constraint fk foreign key (r) references r on delete cascade;
        create index ix on t (lower(b)) where n > 1;
    """)
    with pytest.raises(UnsafeError) as refused:
        run(online.attach_partition, "t", "t2", NEW)
    text = str(refused.value)
    assert "index ix (USING btree (lower(b)) WHERE (n > 1)): online.create_index()" in text
    assert "fk (FOREIGN KEY (r) REFERENCES r(id) ON DELETE CASCADE): online.create_foreign_key()" in text
    assert "\n" not in text
    assert checks(db) == {}
    db.execute("create index ix2 on t2 (lower(b)) where n > 1")
    db.execute("alter table t2 add constraint k foreign key (r) references r on delete cascade not valid")
    with pytest.raises(UnsafeError, match=r"a validated k .* online.validate_constraint\(\)"):
        run(online.attach_partition, "t", "t2", NEW)
    db.execute("alter table t2 validate constraint k")
    run(online.attach_partition, "t", "t2", NEW)
    found = db.execute(
        "select relname from pg_class join pg_index on indexrelid = oid where indrelid = 't2'::regclass"
    )
    assert found.fetchall() == [("ix2",)]
    keys = db.execute("select conname from pg_constraint where contype = 'f' and conrelid = 't2'::regclass")
    assert keys.fetchall() == [("k",)]


@MOSTLY_HERE
def test_keys_of_the_parent_are_asked_for_by_their_own_operations(run: Run, db: Connection) -> None:
    db.execute("""
        create table t (n int primary key, b int, unique (n, b)) partition by hash (n);
        create table t2 (n int not null, b int);
    """)
    with pytest.raises(UnsafeError) as refused:
        run(online.attach_partition, "t", "t2", "WITH (modulus 2, remainder 0)")
    assert "ADD PRIMARY KEY USING INDEX" in str(refused.value)
    assert "online.create_unique_constraint()" in str(refused.value)


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_an_index_left_invalid_does_not_count(run: Run, db: Connection) -> None:
    db.execute("create index ix on t (b); create index ix2 on t2 (b)")
    db.execute("update pg_index set indisvalid = false where indexrelid = 'ix2'::regclass")
    with pytest.raises(UnsafeError, match=r"a valid index ix2: online.reindex\(\)"):
        run(online.attach_partition, "t", "t2", NEW)


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_a_check_left_not_valid_is_asked_for(run: Run, db: Connection) -> None:
    db.execute("alter table t add constraint c check (n > 0)")
    db.execute("alter table t2 add constraint c check (n > 0) not valid")
    with pytest.raises(UnsafeError, match=r"a validated c .*: online.validate_constraint\(\)"):
        run(online.attach_partition, "t", "t2", NEW)


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("key", "bound", "others"),
    [
        ("list (b)", "IN ('10', NULL)", ["IN ('1')"]),
        ("list (b)", "IN (NULL)", ["DEFAULT"]),
        ("list (b)", "DEFAULT", ["IN ('1')", "IN ('2', NULL)"]),
        ("list (b)", "DEFAULT", []),
        ("hash (n)", "WITH (modulus 1, remainder 0)", []),
        ("range (n, b)", "FROM (10, MINVALUE) TO (MAXVALUE, MAXVALUE)", ["FROM (1, 'a') TO (5, 'b')", "DEFAULT"]),
        ("range (lower(b))", "FROM ('10') TO ('a')", ["FROM ('b') TO ('c')"]),
        ("range (at)", "FROM ('2026-01-01') TO ('2026-02-01')", ["DEFAULT"]),
        ("list (v)", "IN ('10', '11')", ["DEFAULT"]),
        ("list (n)", f"IN ({', '.join(map(str, range(10, 300)))})", ["DEFAULT"]),
    ],
)  # fmt: skip
def test_every_kind_of_bound(run: Run, db: Connection, key: str, bound: str, others: list[str]) -> None:
    columns = "(gone int, n int not null, b text, at timestamptz, v varchar(9))"
    db.execute(f"create table t {columns} partition by {key}")
    db.execute("alter table t drop gone")
    for number, other in enumerate(others):
        other = other if other == "DEFAULT" else f"for values {other}"  # noqa: PLW2901
        db.execute(f"create table o{number} partition of t {other}")
    db.execute("create table t2 (v varchar(9), at timestamptz, b text, n int not null)")
    db.execute(
        "insert into t2 select '10', '2026-01-05', case when %s then null else '10' end, 10",
        ("NULL" in bound,),
    )
    assert run(online.attach_partition, "t", "t2", bound).changed
    assert checks(db) == {}
    assert not run(online.attach_partition, "t", "t2", bound).changed
    run(online.detach_partition, "t", "t2")
    assert checks(db) == {}
    assert "t2" not in partitions(db)


@MOSTLY_HERE
def test_where_no_check_convinces_the_server_it_is_refused(run: Run, db: Connection) -> None:
    """Of a key with a collation of its own, the server doesn't recognize its own condition."""
    db.execute('create table t (b text) partition by range (lower(b) collate "C"); create table t2 (b text)')
    with pytest.raises(UnsafeError, match="no CHECK convinces it"):
        run(online.attach_partition, "t", "t2", "FROM ('a') TO ('b')")
    assert checks(db) == {}


@MOSTLY_HERE
def test_trees_below_and_above(run: Run, db: Connection) -> None:
    db.execute("""
        create table t (a int not null, n int not null) partition by list (a);
        create table m partition of t for values in (1) partition by range (n);
        create table t2 (a int not null, n int not null) partition by hash (n);
        create table t2_0 partition of t2 for values with (modulus 1, remainder 0);
        insert into t2 values (1, 10);
    """)
    run(online.attach_partition, "m", "t2", NEW)
    assert db.execute("select tableoid::regclass::text from t").fetchall() == [("t2_0",)]
    assert (checks(db), checks(db, "t2_0")) == ({}, {})
    db.execute("create table wrong (a int not null, n int not null); insert into wrong values (2, 25)")
    with pytest.raises(ViolationError):  # its bound is kept, its parent's isn't
        run(online.attach_partition, "m", "wrong", "FROM (20) TO (30)")
    run(online.detach_partition, "m", "t2")
    assert (checks(db), checks(db, "t2_0")) == ({}, {})
    assert db.execute("select count(*) from t2").fetchone() == (1,)


@pytest.mark.usefixtures("t")
def test_the_locks_are_those_that_are_told(run: Run, db: Connection) -> None:
    db.execute("""
        create table r (id int primary key);
        alter table t add column r int references r;
        alter table t2 add column r int references r;
        create table td partition of t default;
    """)
    held: list[dict[str, set[str]]] = []
    for operation, point in (("attach_partition", "attach"), ("detach_partition", "detach")):
        with faults.injected(at(f"{operation}: {point}: inside", lambda: held.append(locks_of_writer(db)))):
            run(getattr(online, operation), "t", "t2", *([NEW] if operation == "attach_partition" else []))
    attached, detached = held
    assert "AccessExclusive" in attached["t2"] & attached["td"] & attached["r"]
    assert attached["t"] == {"ShareUpdateExclusive"}
    assert "t1" not in attached
    assert "AccessExclusive" in detached["t"] & detached["t2"] & detached["td"]
    assert "ShareRowExclusive" in detached["r"]
    assert "AccessExclusive" not in detached["r"]


@MOSTLY_HERE
def test_a_referenced_parent(run: Run, db: Connection) -> None:
    db.execute("""
        create table t (n int primary key) partition by range (n);
        create table t1 partition of t for values from (0) to (10);
        create table t2 (n int primary key);
        create table child (n int references t);
    """)
    held: list[dict[str, set[str]]] = []
    with faults.injected(at("attach_partition: attach: inside", lambda: held.append(locks_of_writer(db)))):
        run(online.attach_partition, "t", "t2", NEW)
    assert "ShareRowExclusive" in held[0]["child"]
    assert "AccessExclusive" not in held[0]["child"]
    with pytest.raises(UnsafeError, match=r"child_n_fkey of child refer to public\.t"):
        run(online.detach_partition, "t", "t2")
    assert "t2" in partitions(db)


@pytest.fixture
def attached(t: None, run: Run, db: Connection) -> None:
    run(online.attach_partition, "t", "t2", NEW)


def detaching(any_url: URL, errors: list[BaseException], **limits: Any) -> threading.Thread:
    def work() -> None:
        try:
            with revision(any_url), online.policy(**limits):
                online.detach_partition("t", "t2")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.usefixtures("attached")
def test_detach_lets_the_traffic_go_on(any_url: URL, db: Connection) -> None:
    errors: list[BaseException] = []
    with connect(any_url) as reader:
        reader.execute("begin; select count(*) from t")
        thread = detaching(any_url, errors, old_after="1h")  # so that it begins, and waits in the server
        until(lambda: partitions(db).get("t2", "").endswith("pending"))
        db.execute("set lock_timeout = '1s'")
        db.execute(
            "select count(*) from t; insert into t values (1); select count(*) from t2; insert into t2 values (11)"
        )
        assert reader.execute("select count(*) from t").fetchone() == (1,), (
            "nobody sees it in the parent any more"
        )
        reader.execute("commit")
    thread.join()
    assert errors == []
    assert (list(partitions(db)), checks(db)) == (["t1"], {})
    assert db.execute("select count(*) from t2").fetchone() == (11,)


@MOSTLY_HERE
@pytest.mark.usefixtures("attached")
def test_its_own_check_stays(run: Run, db: Connection) -> None:
    db.execute("alter table t2 add constraint mine check (n < 20)")
    run(online.detach_partition, "t", "t2")
    assert list(checks(db)) == ["mine"]


@MOSTLY_HERE
@pytest.mark.usefixtures("attached")
def test_who_uses_the_partition_itself_is_not_held_up(any_url: URL, db: Connection) -> None:
    """Once nobody uses the parent, the server asks for the partition alone; the watch breaks that off."""
    errors: list[BaseException] = []
    with connect(any_url) as direct:
        direct.execute("begin; select count(*) from t2")
        db.execute("set lock_timeout = '5s'")
        thread = detaching(any_url, errors, max_victim_ms=30, old_after="1h", give_up_after="30s")
        # To read the bound waits behind it too, until it is broken off.
        until(lambda: partitions(db)["t2"].endswith("pending"))
        db.execute("select count(*) from t2")
        direct.execute("commit")
    thread.join()
    assert errors == []
    assert (list(partitions(db)), checks(db)) == (["t1"], {})


@pytest.mark.usefixtures("attached")
def test_half_detached_it_is_finished(run: Run, any_url: URL, db: Connection) -> None:
    with connect(any_url) as reader, connect(any_url) as admin:
        reader.execute("begin; select count(*) from t")
        admin.execute("set statement_timeout = '200ms'")
        with pytest.raises(Exception, match="timeout"):
            admin.execute("alter table t detach partition t2 concurrently")
    assert partitions(db)["t2"].endswith("pending")
    with pytest.raises(ObjectError, match="is half detached"):
        run(online.attach_partition, "t", "t2", NEW)
    with pytest.raises(ObjectError, match=r"public\.t2 is half detached"):
        run(online.detach_partition, "t", "t1")
    run(online.detach_partition, "t", "t2")
    assert list(partitions(db)) == ["t1"]


@pytest.mark.usefixtures("attached")
def test_beside_a_default_partition_it_is_one_short_transaction(run: Run, db: Connection) -> None:
    db.execute("create table td partition of t default")
    run(online.detach_partition, "t", "t2")
    run(online.detach_partition, "t", "td")
    assert (list(partitions(db)), checks(db), checks(db, "td")) == (["t1"], {}, {})


@MOSTLY_HERE
@pytest.mark.usefixtures("t")
def test_a_table_that_is_no_partition_cannot_be_detached(run: Run) -> None:
    with pytest.raises(ObjectError, match=r"public.t2 is no partition of public.t\. Nothing was changed"):
        run(online.detach_partition, "t", "t2")


@MOSTLY_HERE
@pytest.mark.usefixtures("attached")
def test_it_does_not_wait_for_ever_for_a_prepared_transaction(any_url: URL, run: Run, db: Connection) -> None:
    if db.execute("show max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("this server has no prepared transactions")
    with connect(any_url) as other:
        other.execute("begin; insert into t values (1); prepare transaction 'p'")
    try:
        with online.policy(give_up_after="1s"):
            run(online.detach_partition, "t", "t2")
        assert list(partitions(db)) == ["t1"]
    finally:
        db.execute("rollback prepared 'p'")


@pytest.mark.usefixtures("t")
@pytest.mark.parametrize("default", [False, True])
def test_psql_comes_to_the_same_end(run: Run, any_url: URL, db: Connection, default: bool) -> None:
    if default:
        db.execute("create table td partition of t default; insert into t values (99)")
    db.execute("alter table t2 add constraint mine check (n < 20)")
    psql(any_url, script_of(online.attach_partition, "t", "t2", NEW))
    assert partitions(db)["t2"] == "FOR VALUES FROM (10) TO (20)"
    assert list(checks(db)) == ["mine"]
    assert not default or checks(db, "td") == {}
    psql(any_url, script_of(online.detach_partition, "t", "t2"))
    assert "t2" not in partitions(db)
    assert list(checks(db)) == ["mine"]
    assert not run(online.create_check_constraint, "mine", "t2", "n < 20").changed


@MOSTLY_HERE
def test_psql_attaches_hash_and_default_partitions_without_a_scan(any_url: URL, db: Connection) -> None:
    db.execute("""
        create table t (n int) partition by list (n);
        create table t1 partition of t for values in (1) partition by hash (n);
        create table t2 (n int); insert into t2 values (1); create table t3 (n int); insert into t3 values (2), (null);
    """)
    psql(any_url, script_of(online.attach_partition, "t1", "t2", "WITH (MODULUS 1, REMAINDER 0)"))
    psql(any_url, script_of(online.attach_partition, "t", "t3", "DEFAULT"))
    assert partitions(db) == {"t1": "FOR VALUES IN (1)", "t3": "DEFAULT"}
    assert (checks(db), checks(db, "t3")) == ({}, {})


def test_hypertables_keep_their_chunks(empty_url: URL) -> None:
    with connect(empty_url) as admin:
        admin.execute("create extension timescaledb")
    with connect(empty_url) as db:
        db.execute("create table h (at timestamptz not null)")
        db.execute("select create_hypertable('h', 'at')")
        db.execute("create table p (at timestamptz not null) partition by range (at)")
        with revision(empty_url), pytest.raises(ObjectError, match="is a hypertable"):
            online.attach_partition("p", "h", "FROM ('2026-01-01') TO ('2026-02-01')")
        with revision(empty_url), pytest.raises(ObjectError, match="is a hypertable"):
            online.detach_partition("h", "p")
