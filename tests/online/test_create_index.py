import contextvars
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.conftest import revision

Run = Callable[..., Any]


@pytest.fixture
def t(db: Connection) -> None:
    db.execute("create table t (a int, b text); insert into t select g, g % 7 from generate_series(1, 50) g")


def found(db: Connection, table: str = "t") -> dict[str, tuple[str, bool]]:
    """Name, definition and validity of a table's indexes."""
    return {
        name: (definition, is_valid)
        for name, definition, is_valid in db.execute(
            "select c.relname, regexp_replace(pg_get_indexdef(c.oid), '.* USING ', ''), i.indisvalid"
            " from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = %s::regclass order by 1",
            (table,),
        )
    }


def leave_invalid(db: Connection, name: str = "ix", columns: str = "b", table: str = "t") -> None:
    """What a unique build over duplicates leaves."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(f"create unique index concurrently {name} on {table} ({columns})")
    assert found(db, table)[name][1] is False


@contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run something in a thread; what comes of it, or its error, is there when the block has ended."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # handed on
            outcome.append(error)

    # With the policy in force: a thread begins without it.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(call,))
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(20)
    assert outcome


def test_it_is_built_and_kept(run: Run, db: Connection, t: None) -> None:
    everything = {
        "unique": True,
        "postgresql_using": "btree",
        "postgresql_where": "b is not null",
        "postgresql_include": ["b"],
        "postgresql_ops": {"a": "int4_ops"},
        "postgresql_with": {"fillfactor": 50},
        "postgresql_nulls_not_distinct": True,
        "if_not_exists": True,
        "schema": "public",
    }
    arguments = ("ix", "t", ["a", sa.text("lower(b)")])
    assert run(online.create_index, *arguments, **everything).changed
    assert not run(online.create_index, *arguments, **everything).changed
    definition, is_valid = found(db)["ix"]
    assert is_valid
    assert "NULLS NOT DISTINCT WITH (fillfactor='50') WHERE (b IS NOT NULL)" in definition


@MOSTLY_HERE
def test_writes_go_on_and_timeouts_are_lifted(run: Run, db: Connection, t: None, any_url: URL) -> None:
    db.execute(f"alter database {any_url.database} set lock_timeout = '50ms'")
    db.execute(f"alter database {any_url.database} set statement_timeout = '100ms'")
    with connect(any_url) as writer:
        writer.execute("begin; insert into t values (100)")
        with in_background(lambda: run(online.create_index, "ix", "t", ["a"])) as outcome:
            until(lambda: "ix" in found(db))
            db.execute("insert into t values (101)")
            until(  # it outlasts both timeouts
                lambda: (
                    db.execute(
                        "select from pg_stat_activity where query like 'CREATE INDEX CONC%' and state = 'active'"
                        " and query_start < clock_timestamp() - interval '300 ms'"
                    ).rowcount
                )
            )
            writer.execute("commit")
    assert outcome[0].changed
    assert found(db)["ix"][1]


@MOSTLY_HERE
@pytest.mark.parametrize("columns", ["b", "a, b"])
def test_what_a_failed_build_left_is_replaced(run: Run, db: Connection, columns: str) -> None:
    db.execute("create table t (a int, b text); insert into t values (1, 'x'), (1, 'x')")
    leave_invalid(db, columns=columns)
    assert run(online.create_index, "ix", "t", ["b"]).changed
    assert found(db) == {"ix": ("btree (b)", True)}


@MOSTLY_HERE
@pytest.mark.parametrize(
    "other",
    [
        "create index ix on t (b)",
        "create unique index ix on t (a)",
        "create index ix on t (a desc)",
        "create index ix on t (a) where a > 0",
        "create table t2 (a int); create index ix on t2 (a)",
        "create view ix as select 1",
        "create sequence ix",
        "create table ix ()",
    ],
)
def test_a_name_that_is_taken(run: Run, db: Connection, t: None, other: str) -> None:
    db.execute(other)
    before = found(db)
    with pytest.raises(ObjectError, match=r"Nothing was changed"):
        run(online.create_index, "ix", "t", ["a"])
    assert found(db) == before


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((None, "t", ["a"]), {}, "has no name"),
        (("i" * 64, "t", ["a"]), {}, "64 bytes"),
        (("ix", "nowhere", ["a"]), {}, "Table nowhere doesn't exist"),
        (("ix", "t", ["c"]), {}, "c.* does not exist"),
        (("ix", "t", ["a"]), {"schema": "elsewhere"}, "elsewhere.t doesn't exist"),
        (("ix", "t", ["a"]), {"postgresql_using": "nonsense"}, "nonsense"),
        (("ix", "t", [sa.text("random()")]), {}, "IMMUTABLE"),
        (("ix", "t", ["a"]), {"postgresql_where": "a >"}, "syntax error"),
        (("ix", "t", ["b"]), {"postgresql_ops": {"b": "int4_ops"}}, "operator class"),
        (("ix", "v", ["a"]), {}, "no table"),
    ],
)
def test_bad_input(
    run: Run, db: Connection, t: None, *, arguments: tuple, keywords: dict, message: str
) -> None:
    db.execute("create view v as select * from t")
    with pytest.raises(ObjectError, match=rf"(?s){message}.*Nothing was changed"):
        run(online.create_index, *arguments, **keywords)
    assert found(db) == {}


@MOSTLY_HERE
def test_it_is_always_concurrent(run: Run, t: None) -> None:
    with pytest.raises(UnsafeError, match=r"op\.create_index"):
        run(online.create_index, "ix", "t", ["a"], postgresql_concurrently=False)


@MOSTLY_HERE
def test_names_are_quoted(run: Run, db: Connection) -> None:
    name, table, column = 'i" ON homeops_clone x', 'T"; drop table x; --', 'c"%s:x'
    quoted = ['"' + part.replace('"', '""') + '"' for part in (table, column)]
    db.execute(psycopg.sql.SQL("create table {} ({} int)").format(*map(psycopg.sql.SQL, quoted)))
    run(online.create_index, name, table, [column], schema="public")
    run(online.reindex, name)
    run(online.drop_index, name, table)
    assert found(db, quoted[0]) == {}


@MOSTLY_HERE
def test_a_materialized_view(run: Run, db: Connection, t: None) -> None:
    db.execute("create materialized view mv as select * from t")
    run(online.create_index, "ix", "mv", ["a"], unique=True)
    assert found(db, "mv") == {"ix": ("btree (a)", True)}
    run(online.drop_index, "ix", "mv")
    assert found(db, "mv") == {}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            ["b"],
            {},
            r"2 keys of table public\.t occur more than once \(\(b\)=\(x\) 3 times; \(b\)=\(y\) 2 times\)",
        ),
        ([sa.text("upper(b)")], {}, r"2 keys .*\(upper\(b\)\)=\(X\) 3 times"),
        (["b"], {"postgresql_where": "a > 2"}, r"A key .*\(\(b\)=\(y\) 2 times\)"),
        (["b"], {"postgresql_nulls_not_distinct": True}, r"3 keys .*\(b\)=\(null\) 2 times"),
        (["c"], {}, r"15 keys .*times; …\)"),
    ],
)
@MOSTLY_HERE
def test_duplicates_are_named(run: Run, db: Connection, columns: list, options: dict, message: str) -> None:
    db.execute("""
        create table t (a int, b text, c int);
        insert into t (a, b) values (1, 'x'), (2, 'x'), (2, 'x'), (3, 'y'), (4, 'y'), (5, null), (6, null);
        insert into t (c) select g from generate_series(1, 15) g, generate_series(1, 2);
        update t set b = c::text || a where c is not null
    """)
    db.execute("update t set b = 'c' || ctid::text where c is not null")
    with pytest.raises(ViolationError, match=message) as caught:
        run(online.create_index, "ix", "t", columns, unique=True, **options)
    assert "What was built of it is dropped" in str(caught.value)
    assert found(db) == {}  # it might be enforced already
    find = str(caught.value).split("To find them: ")[1]
    named = re.match(r"(\d+) keys?|A key", str(caught.value))
    assert named is not None
    assert len(db.execute(find.encode()).fetchall()) == int(named[1] or 1)


@MOSTLY_HERE
def test_duplicates_behind_forced_row_security(run: Run, db: Connection, any_url: URL) -> None:
    """A policy hides rows from the owner: a count would be a lie, so the server's own words are given."""
    db.execute("""
        do $$ begin create role homeops_ix_owner login; exception when duplicate_object then null; end $$;
        grant all on schema public to homeops_ix_owner;
        create table t (a int); insert into t values (1), (1);
        alter table t owner to homeops_ix_owner; alter table t enable row level security, force row level security;
    """)
    try:
        with (
            pytest.raises(ViolationError, match="t: Duplicate keys exist, so unique index"),
            revision(any_url.set(username="homeops_ix_owner")),
        ):
            online.create_index("ix", "t", ["a"], unique=True)
        assert found(db) == {}
    finally:
        db.execute("drop owned by homeops_ix_owner; drop role homeops_ix_owner")


def test_a_forgotten_transaction_is_not_waited_for_without_end(
    run: Run, db: Connection, t: None, any_url: URL
) -> None:
    """One on another table: CIC waits for its snapshot. What was built can be dropped at once."""
    db.execute("create table other (a int)")
    with connect(any_url, application_name="forgotten") as old:
        old.execute("begin isolation level repeatable read; select * from other")
        pid = old.info.backend_pid
        with online.policy(give_up_after="300ms"), pytest.raises(LockTimeoutError) as caught:
            run(online.create_index, "ix", "t", ["a"])
    report = str(caught.value)
    assert re.match(
        r"Gave up after 0\.\d s: CREATE INDEX CONCURRENTLY public\.ix waits .*old snapshots", report
    )
    assert re.search(rf"in the way: pid {pid}, forgotten, .*idle in transaction", report)
    assert "is dropped" in report
    assert found(db) == {}


def test_a_writer_that_does_not_end_leaves_it_invalid(
    run: Run, db: Connection, t: None, any_url: URL
) -> None:
    """Dropping waits for the same transaction: it is left, said so, and the next run ends it."""
    with connect(any_url) as writer:
        writer.execute("begin; insert into t values (1)")
        with online.policy(give_up_after="300ms"), pytest.raises(LockTimeoutError) as caught:
            run(online.create_index, "ix", "t", ["a"])
        assert f"pid {writer.info.backend_pid}" in str(caught.value)
        assert "left INVALID as public.ix" in str(caught.value)
        assert found(db)["ix"][1] is False
        writer.execute("rollback")
    assert run(online.create_index, "ix", "t", ["a"]).changed
    assert found(db) == {"ix": ("btree (a)", True)}


@pytest.mark.parametrize("any_url", ["stock 15"], indirect=True)  # the local server has none
def test_a_prepared_transaction_is_refused_at_once(run: Run, db: Connection, t: None, any_url: URL) -> None:
    with connect(any_url) as other:
        other.execute("begin; insert into t values (1); prepare transaction 'forgotten'")
    try:
        until(
            lambda: (
                db.execute("select from pg_prepared_xacts where prepared < now() - interval '1 s'").rowcount
            )
        )
        with pytest.raises(LockTimeoutError, match="ROLLBACK PREPARED 'forgotten'"):
            run(online.create_index, "ix", "t", ["a"])
        assert found(db) == {}
    finally:
        db.execute("rollback prepared 'forgotten'")


@MOSTLY_HERE
def test_another_builder_is_named(run: Run, db: Connection, t: None, any_url: URL) -> None:
    with connect(any_url) as writer, connect(any_url) as builder:
        writer.execute("begin; insert into t values (1)")
        with in_background(lambda: builder.execute("create index concurrently ix on t (a)")):
            until(lambda: "ix" in found(db))
            with pytest.raises(ObjectError, match=rf"pid {builder.info.backend_pid}, is building"):
                run(online.create_index, "ix", "t", ["a"])
            writer.execute("commit")
    assert found(db) == {"ix": ("btree (a)", True)}


@MOSTLY_HERE
def test_a_deadlock_is_tried_again(run: Run, db: Connection, t: None, any_url: URL) -> None:
    db.execute(f"alter database {any_url.database} set deadlock_timeout = '100ms'")
    with connect(any_url, options="-c deadlock_timeout=20s") as writer:
        writer.execute("begin; insert into t values (1)")
        with in_background(lambda: run(online.create_index, "ix", "t", ["a"])) as outcome:
            until(lambda: "ix" in found(db))
            writer.execute("lock table t in share update exclusive mode")  # granted when the build has died
            writer.execute("commit")
    assert outcome[0].changed
    assert found(db) == {"ix": ("btree (a)", True)}


@MOSTLY_HERE
def test_somebody_elses_cancel_ends_it(run: Run, db: Connection, t: None, any_url: URL) -> None:
    with connect(any_url) as writer:
        writer.execute("begin; insert into t values (1)")
        with in_background(lambda: run(online.create_index, "ix", "t", ["a"])) as outcome:
            until(lambda: "ix" in found(db))
            db.execute("select pg_cancel_backend(pid) from pg_stat_progress_create_index")
    assert isinstance(outcome[0], psycopg.errors.QueryCanceled)


@MOSTLY_HERE
@pytest.mark.parametrize(
    "boundary", ["build: before", "build: done", "drop leftover: before", "drop leftover: done"]
)
def test_interrupted_at_every_boundary(run: Run, db: Connection, boundary: str) -> None:
    db.execute("create table t (a int, b text); insert into t values (1, 'x'), (1, 'x')")
    leave_invalid(db)

    def die(point: str) -> None:
        if point == f"create_index: {boundary}":
            raise ZeroDivisionError

    with faults.injected(die), pytest.raises(ZeroDivisionError):
        run(online.create_index, "ix", "t", ["a"])
    run(online.create_index, "ix", "t", ["a"])
    assert found(db) == {"ix": ("btree (a)", True)}


def test_the_script_ends_in_the_same(run: Run, db: Connection, t: None, any_url: URL) -> None:
    given = {"postgresql_where": "b like '%x:y%'", "postgresql_include": ["b"], "schema": "public"}
    psql(any_url, script_of(online.create_index, "ix", "t", ["a", sa.text("lower(b)")], **given))
    assert not run(online.create_index, "ix", "t", ["a", sa.text("lower(b)")], **given).changed
    psql(any_url, script_of(online.create_index, "ix2", "t", ["a"]))
    assert found(db)["ix2"] == ("btree (a)", True)
    assert "does not exist" in psql(
        any_url, script_of(online.create_index, "ix3", "nowhere", ["a"]), fails=True
    )
