"""A snapshot that is older than a filled column never reads it as it was before."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import LockTimeoutError, ViolationError
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import rows, scalar
from tests.online.meanwhile import at
from tests.online.settling import settled

CODE = online.TypeChange("t", "code", sa.Integer(), up="code::integer", down="code::text")
MADE = """
create table t (id int primary key, code text); insert into t select n, n::text from generate_series(1, 9) n;
create table other (id int)
"""
SUM = "select sum(code::int), count(code) from t"


@pytest.fixture
def later() -> Iterator[ExitStack]:
    """What is entered here is left when the test has ended."""
    with ExitStack() as stack:
        yield stack


@contextmanager
def reading(url: URL, level: str = "repeatable read") -> Iterator[Connection]:
    """A transaction that has a snapshot, and has not touched the table yet."""
    with connect(url) as reader:
        reader.execute(f"begin isolation level {level}".encode())
        reader.execute("select count(*) from other")
        yield reader


@MOSTLY_HERE
def test_a_switch_waits_for_snapshots_older_than_the_filling(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(MADE)
    with reading(any_url) as reader:
        run(CODE.expand)
        found = []

        def read_and_end() -> None:
            found.extend(rows(reader, SUM))
            reader.execute("commit")

        with at("older snapshots", read_and_end):
            run(CODE.switch)
        assert found == [(45, 9)]
        assert reader.execute(SUM).fetchone() == (45, 9)
    assert scalar(db, "select pg_typeof(code)::text from t limit 1") == "integer"


@MOSTLY_HERE
def test_who_does_not_end_is_named_and_nothing_is_switched(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(MADE)
    with reading(any_url) as reader:
        run(CODE.expand)
        with (
            online.policy(give_up_after="300ms"),
            pytest.raises(LockTimeoutError, match=r"before public.t was filled are open still") as caught,
        ):
            run(CODE.switch)
        assert f"pid {reader.info.backend_pid}" in str(caught.value)
        assert "after the switch they would read NULL in public.t.code" in str(caught.value)
        assert "Nothing was switched." in str(caught.value)
        assert rows(reader, SUM) == [(45, 9)]
    assert scalar(db, "select pg_typeof(code)::text from t limit 1") == "text"
    run(CODE.switch)
    assert scalar(db, "select sum(code) from t") == 45


@MOSTLY_HERE
def test_who_began_after_the_filling_is_not_waited_for(
    run: Callable, db: Connection, any_url: URL, later: ExitStack
) -> None:
    """Neither on the way there nor on the way back, though a writer who is older makes all snapshots look old."""
    db.execute(MADE)
    writer = later.enter_context(connect(any_url))
    writer.execute("begin; insert into other values (1)")
    run(CODE.expand)
    with reading(any_url) as first, at("older snapshots", lambda: None) as passed:
        run(CODE.switch)
        with reading(any_url) as second:
            run(CODE.undo_switch)
            run(CODE.switch)
            assert not any("older snapshots" in point for point in passed)
            assert rows(first, SUM) == rows(second, SUM) == [(45, 9)]
    run(CODE.contract)


@pytest.mark.slow
@MOSTLY_HERE
def test_what_was_built_anew_is_waited_for_again(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(MADE)
    for step in (CODE.expand, CODE.switch, CODE.contract):
        run(step)
    with reading(any_url) as third:
        run(CODE.undo_contract)
        with at("older snapshots", lambda: third.execute("commit")) as passed:
            run(CODE.undo_switch)
        assert "type_change_undo_switch: older snapshots" in passed


@pytest.mark.slow
@MOSTLY_HERE
def test_who_begins_while_it_waits_is_not_waited_for(
    run: Callable, db: Connection, any_url: URL, later: ExitStack
) -> None:
    db.execute(MADE)
    with connect(any_url) as writer, reading(any_url) as reader:
        writer.execute("begin; insert into other values (1)")
        reader.execute("commit; begin isolation level repeatable read; select count(*) from other")
        run(CODE.expand)
        late: list[Connection] = []

        def one_comes_and_one_goes() -> None:
            late.append(later.enter_context(reading(any_url)))
            reader.execute("commit")

        with at("older snapshots", one_comes_and_one_goes):
            run(CODE.switch)
        assert rows(late[0], SUM) == [(45, 9)]


@pytest.mark.slow
@MOSTLY_HERE
def test_who_takes_over_an_old_snapshot_is_waited_for(run: Callable, db: Connection, any_url: URL) -> None:
    """As the workers of pg_dump do."""
    db.execute(MADE)
    with reading(any_url) as reader, connect(any_url) as worker:
        snapshot = scalar(reader, "select pg_export_snapshot()")
        run(CODE.expand)
        settled(db)
        found = []

        def act() -> None:
            if not found:
                worker.execute("begin isolation level repeatable read")
                worker.execute(f"set transaction snapshot '{snapshot}'".encode())
                reader.execute("commit")
                found.append(None)
            else:
                found.extend(rows(worker, SUM))
                worker.execute("commit")

        with at("older snapshots", act, number=None):
            run(CODE.switch)
        assert found == [None, (45, 9)]


@MOSTLY_HERE
def test_a_value_that_was_mended_later_is_not_read_as_empty(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(MADE)
    db.execute("update t set code = 'x' where id = 3")
    run(CODE.expand)
    with reading(any_url) as reader:
        with pytest.raises(ViolationError):
            run(CODE.switch)
        db.execute("update t set code = '3' where id = 3")
        with at("older snapshots", lambda: reader.execute("commit")) as passed:
            run(CODE.switch)
        assert "type_change_switch: older snapshots" in passed
    run(CODE.undo_switch)
    db.execute("update t set code = 'y' where id = 4")
    with reading(any_url) as reader:
        db.execute("update t set code = '4' where id = 4")
        with at("older snapshots", lambda: reader.execute("commit")) as passed:
            run(CODE.switch)
        assert "type_change_switch: older snapshots" in passed, "its writer has met it, and the proof has not"


@pytest.mark.slow
@MOSTLY_HERE
def test_a_role_that_is_shown_little_waits_too(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(MADE)
    db.execute(
        "do $$ begin if to_regrole('plain_owner') is null then create role plain_owner login; end if; end $$"
    )
    db.execute("grant usage, create on schema public to plain_owner; alter table t owner to plain_owner")
    db.execute(f"grant create on database {any_url.database} to plain_owner".encode())
    as_owner = any_url.set(username="plain_owner")
    with reading(any_url) as reader:
        with revision(as_owner):
            CODE.expand()
        with (
            online.policy(give_up_after="300ms"),
            pytest.raises(LockTimeoutError, match=f"pid {reader.info.backend_pid}"),
            revision(as_owner),
        ):
            CODE.switch()
        reader.execute("commit")
    with revision(as_owner):
        CODE.switch()
