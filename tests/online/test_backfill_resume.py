"""A backfill that is broken off, by whatever means: nothing is lost, nothing is done twice, and one run works at a time."""

import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic import command, op
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import RevisionFailedError
from homeops_db.history import backfill_orders, backfill_standing
from homeops_db.history.patience import driver_of
from homeops_db.online.backfill import keeper, loop, worker
from tests.faults.runs import Order, Running, Runs
from tests.fixtures.databases import libpq
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
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
from tests.online.meanwhile import at, in_background

Run = Callable[..., Any]

BATCH = "backfill: batch: before"
BODY = f"""
from homeops_db.online.backfill import keeper
keeper._LINGERS = 0.3
with online.pace(**{SMALL_BATCHES}), online.policy(lock_timeout="20s"):
    online.backfill("t", {{"n": "n + 1"}}, stripes=STRIPES)
"""

TAKEN = r"(Lock|Online)Error: .*(nother run has (taken )?(this )?backfill).*What was committed stays"


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    process = Runs()
    yield process
    process.close()


@pytest.fixture(params=[slowly(1), 4], ids=["plain", "striped"])
def order(request: pytest.FixtureRequest, any_url: URL, db: Connection) -> Callable[..., Order]:
    """A run of the same backfill in a process of its own; nothing tells rows that are done from the others."""
    fill(db, "id int primary key", "g", count=400)
    db.execute(COUNTED.format(key="id", table="t").encode())

    def make(**faults: Any) -> Order:
        return Order(libpq(any_url), body=BODY.replace("STRIPES", str(request.param)), **faults)

    return make


def each_once(db: Connection) -> bool:
    """Whether each row was written once, and never a second time."""
    written = rows(db, "select count(*), count(distinct who) from writes")
    return written == [(400, 400)] and scalar(db, "select count(*) from t where n = g + 1") == 400


def holder(db: Connection) -> int:
    """The pid of the session that holds the claim on the first backfill."""
    standing = backfill_standing.one(db, 1)
    assert standing.backend is not None
    return standing.backend.pid


def follows(db: Connection) -> bool:
    """Whether a session looks again and again at a backfill that another one has."""
    found = "query ~ 'fingerprint = ' and datname = current_database() and pid <> pg_backend_pid()"
    return bool(scalar(db, f"select count(*) from pg_stat_activity where {found}"))


def is_waiting(db: Connection, query: str) -> bool:
    found = "select from pg_stat_activity where wait_event_type = 'Lock' and query ~* %s and datname = current_database()"
    return db.execute(found.encode(), (query,)).rowcount > 0


def terminate(db: Connection, pid: int) -> None:
    db.execute("select pg_terminate_backend(%s)", (pid,))
    until(lambda: not db.execute("select from pg_stat_activity where pid = %s", (pid,)).rowcount)


def reaches(running: Running, point: str, number: int) -> None:
    until(lambda: running.points.count(point) >= number)


# Two runs at once -------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_one_works_and_the_other_follows_it(runs: Runs, db: Connection, order: Callable[..., Order]) -> None:
    with runs.started(order(fault="freeze", at=BATCH, nth=3)) as first:
        reaches(first, BATCH, 3)
        with runs.started(order()) as second:
            until(lambda: follows(db))
            first.signal(signal.SIGCONT)
            ended = first.wait(), second.wait()
    assert [one.code for one in ended] == [0, 0], ended
    assert "backfill: begun" not in ended[1].points
    assert each_once(db)
    assert rows(db, "select state, epoch from migrations.backfills") == [("done", 1)]


@MOSTLY_HERE
def test_when_the_first_is_killed_the_other_takes_over(
    runs: Runs, db: Connection, order: Callable[..., Order]
) -> None:
    with runs.started(order(fault="freeze", at=BATCH, nth=3)) as first:
        reaches(first, BATCH, 3)
        with runs.started(order()) as second:
            until(lambda: follows(db))
            first.signal(signal.SIGKILL)
            ended = second.wait()
    assert ended.code == 0, ended.said
    assert each_once(db)
    assert rows(db, "select state, epoch from migrations.backfills") == [("done", 2)]


@MOSTLY_HERE
def test_when_the_first_is_cancelled_so_is_the_other(
    runs: Runs, db: Connection, order: Callable[..., Order]
) -> None:
    with runs.started(order(fault="freeze", at=BATCH, nth=3)) as first:
        reaches(first, BATCH, 3)
        with runs.started(order()) as second:
            until(lambda: follows(db))
            backfill_orders.cancel(db, 1)
            first.signal(signal.SIGCONT)
            ended = first.wait(), second.wait()
    assert [one.code for one in ended] == [1, 1], ended
    assert "was cancelled while this run followed it" in ended[1].said
    assert rows(db, "select state, epoch from migrations.backfills") == [("cancelled", 1)]


# A run that was taken for dead, and isn't -------------------------------------------------------------


@MOSTLY_HERE
def test_its_batch_under_way_is_waited_for(runs: Runs, db: Connection, order: Callable[..., Order]) -> None:
    """Its claim is lost with its connection, while a worker of its own is inside of a batch."""
    db.execute("""
        create function wait_here() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock(4); return new; end';
        create trigger wait_here before update on t for each row when (new.id = 117) execute function wait_here();
        select pg_advisory_lock(4)
    """)
    with connect_like(db) as looks, runs.started(order()) as first:
        until(lambda: is_waiting(looks, "FROM pg_temp.homeops_batch"))
        first.signal(signal.SIGSTOP)
        terminate(looks, holder(looks))
        with runs.started(order()) as second:
            until(lambda: is_waiting(looks, "backfill_ranges set epoch"))
            before = scalar(looks, "select count(*) from writes")
            db.execute("select pg_advisory_unlock(4)")
            ended = second.wait()
        first.signal(signal.SIGCONT)
        taken = first.wait()
    assert ended.code == 0, ended.said
    assert before < 120
    assert taken.code == 1
    assert re.search(TAKEN, taken.said), taken.said
    assert each_once(db)
    assert rows(db, "select state, epoch, rows_done from migrations.backfills b join (select backfill_id,"
                " sum(rows_done) as rows_done from migrations.backfill_ranges group by 1) r on r.backfill_id = b.id") == [
        ("done", 2, 400)
    ]  # fmt: skip


@MOSTLY_HERE
@pytest.mark.parametrize("is_over", [True, False])
def test_its_next_batch_does_nothing(
    runs: Runs, db: Connection, order: Callable[..., Order], is_over: bool
) -> None:
    """It wakes up when the other run is at work, or has ended and let the claim go."""
    with runs.started(order(fault="freeze", at=BATCH, nth=3)) as first:
        reaches(first, BATCH, 3)
        terminate(db, holder(db))
        freeze = {} if is_over else {"fault": "freeze", "at": BATCH, "nth": 1}
        with runs.started(order(**freeze)) as second:
            if is_over:
                assert second.wait().code == 0
            else:
                reaches(second, BATCH, 1)
            before = scalar(db, "select count(*) from writes")
            first.signal(signal.SIGCONT)
            taken = first.wait()
            assert taken.code == 1
            assert scalar(db, "select count(*) from writes") == before
            assert re.search(TAKEN, taken.said), taken.said
            if not is_over:
                second.signal(signal.SIGCONT)
                assert second.wait().code == 0
    assert each_once(db)
    assert rows(db, "select state, epoch, detail from migrations.backfills") == [("done", 2, None)]


def connect_like(db: Connection) -> Connection:
    return type(db).connect(**db.info.get_parameters(), autocommit=True)


# Sessions that are ended ------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BEAT", 0.02)
    monkeypatch.setattr(loop, "_GLANCE", 0.02)
    monkeypatch.setattr(worker, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(keeper, "_PAUSE", 0.01)


def workers(db: Connection) -> list[int]:
    """The pids whose last statement was a batch."""
    found = rows(
        db,
        "select pid from pg_stat_activity where query like '%FROM pg_temp.homeops_batch%' and datname = current_database() and pid <> pg_backend_pid()",
    )
    return [pid for (pid,) in found]


@MOSTLY_HERE
@pytest.mark.parametrize("which", [slowly("the worker"), slowly("the keeper"), "both"])
def test_it_goes_on_by_itself_when_a_session_of_its_own_is_ended(
    run: Run, db: Connection, quick: None, which: str
) -> None:
    fill(db, "id int primary key", "g", count=400)
    db.execute(COUNTED.format(key="id", table="t").encode())

    def end() -> None:
        for pid in ([] if which == "the keeper" else workers(db)) + (
            [] if which == "the worker" else [holder(db)]
        ):
            terminate(db, pid)

    with online.pace(**SMALL_BATCHES), at(BATCH, end, number=3):
        done = run(online.backfill, "t", {"n": "n + 1"}, stripes=2)
    assert done.rows == 400
    assert each_once(db)
    assert rows(db, "select state, epoch from migrations.backfills") == [("done", 1)]


@MOSTLY_HERE
def test_a_worker_that_is_ended_inside_a_batch_does_it_again(run: Run, db: Connection, quick: None) -> None:
    fill(db, "id int primary key", "g", count=400)
    db.execute(COUNTED.format(key="id", table="t").encode())
    db.execute("""
        create function wait_here() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock(4); return new; end';
        create trigger wait_here before update on t for each row when (new.id = 117) execute function wait_here();
        select pg_advisory_lock(4)
    """)
    with (
        connect_like(db) as looks,
        online.pace(**SMALL_BATCHES),
        online.policy(lock_timeout="20s"),
        in_background(lambda: run(online.backfill, "t", {"n": "n + 1"})) as outcome,
    ):
        until(lambda: is_waiting(looks, "FROM pg_temp.homeops_batch"))
        for pid in workers(looks):
            terminate(looks, pid)
        db.execute("select pg_advisory_unlock(4)")
    assert outcome[0].rows == 400
    assert each_once(db)


@MOSTLY_HERE
@pytest.mark.parametrize("point", ["begun", slowly("ranges stored"), "closing pass done", slowly("ended")])
def test_a_claim_that_is_lost_between_two_steps(run: Run, db: Connection, quick: None, point: str) -> None:
    fill(db, "id int primary key", "g", count=100)
    passed: list[str] = []

    def pass_by(name: str) -> None:
        passed.append(name)
        if passed.count("backfill: batch: done") == 1 and name == "backfill: batch: done":
            db.execute("insert into t values (500, 500, 500)")  # for a closing pass
        if name == f"backfill: {point}" and passed.count(name) == 1:
            terminate(db, holder(db))

    with faults.injected(pass_by):
        done = run(online.backfill, "t", {"n": "-g"}, where="id > 0")
    assert f"backfill: {point}" in passed
    assert (done.id, done.rows, scalar(db, "select count(*) from t where n = -g")) == (1, 101, 101)
    assert rows(db, "select state, epoch from migrations.backfills") == [("done", 1)]
    until(lambda: is_clean(db))


@MOSTLY_HERE
@pytest.mark.parametrize("point", [BATCH, "backfill: ended"])
def test_when_the_revisions_own_session_is_lost_the_work_is_kept(
    toy: Toy, any_url: URL, with_rows: Connection, point: str
) -> None:
    db = with_rows
    revise(toy, 'online.backfill("t1", {"n": "n + 1"})')

    def end() -> None:
        terminate(db, driver_of(op.get_context()).info.backend_pid)

    with at(point, end), pytest.raises(RevisionFailedError):
        command.upgrade(toy.config(any_url), "v1.1.0")
    assert scalar(db, "select count(*) from t1 where n = id + 1") == 100
    command.upgrade(toy.config(any_url), "v1.1.0")
    assert scalar(db, "select count(*) from t1 where n = id + 1") == 100


# A revision that is run again -------------------------------------------------------------------------


def revise(toy: Toy, *lines: str) -> None:
    path = toy.add("v1.1.0", "\n".join(["from homeops_db import online", *lines]), "pass")
    assert path.exists()


@pytest.fixture
def with_rows(toy: Toy, any_url: URL, db: Connection) -> Connection:
    command.upgrade(toy.config(any_url), "v1.0.0")
    db.execute(
        "alter table t1 add primary key (id), add n int; insert into t1 select g, g from generate_series(1, 100) g"
    )
    return db


@MOSTLY_HERE
def test_what_is_done_is_not_done_again_when_a_later_step_failed(
    toy: Toy, any_url: URL, with_rows: Connection
) -> None:
    revise(
        toy,
        'first = online.backfill("t1", {"n": "n + 1"})',
        'second = online.backfill("t1", {"n": "n + 100"}, where="id > 50")',
        "op.execute('insert into results values (%d, %d)' % (first.rows, second.rows))",
    )
    for _ in range(2):
        with pytest.raises(RevisionFailedError, match='"results" does not exist'):
            command.upgrade(toy.config(any_url), "v1.1.0")
        assert scalar(with_rows, "select sum(n - id) from t1") == 100 + 50 * 100
    with_rows.execute("create table results (one int, two int)")
    command.upgrade(toy.config(any_url), "v1.1.0")
    assert scalar(with_rows, "select sum(n - id) from t1") == 100 + 50 * 100
    assert rows(with_rows, "select one, two from results") == [
        (100, 50)
    ]  # what it did, also when it was before
    assert (
        rows(with_rows, "select version, state, epoch from migrations.backfills")
        == [("v1.1.0", "done", 1)] * 2
    )
    # A revision that ended and was taken back is another matter.
    command.downgrade(toy.config(any_url), "v1.0.0")
    command.upgrade(toy.config(any_url), "v1.1.0")
    assert scalar(with_rows, "select sum(n - id) from t1") == 2 * (100 + 50 * 100)


@MOSTLY_HERE
def test_the_same_twice_in_one_revision_is_done_twice(toy: Toy, any_url: URL, with_rows: Connection) -> None:
    """And a re-run knows which of the two was done."""
    again = 'online.backfill("t1", {"n": "n + 1"})'
    revise(
        toy,
        again,
        "op.execute('insert into steps values (1)')",
        again,
        "op.execute('insert into ends values (1)')",
    )
    for missing, count in (("steps", 1), ("ends", 2), ("ends", 2)):
        with pytest.raises(RevisionFailedError, match=f'"{missing}" does not exist'):
            command.upgrade(toy.config(any_url), "v1.1.0")
        assert scalar(with_rows, f"select count(*) from t1 where n = id + {count}") == 100
        with_rows.execute("create table if not exists steps (a int)")
    with_rows.execute("create table ends (a int)")
    command.upgrade(toy.config(any_url), "v1.1.0")
    assert scalar(with_rows, "select count(*) from t1 where n = id + 2") == 100


@MOSTLY_HERE
def test_a_revision_that_was_mended_begins_anew(toy: Toy, any_url: URL, with_rows: Connection) -> None:
    with_rows.execute("update t1 set n = 0 where id = 60")
    revise(
        toy,
        "with online.pace(batch_rows=10, max_batch_rows=10, min_batch_rows=1):",
        '    online.backfill("t1", {"n": "id / n"}, stripes=1)',
    )
    with pytest.raises(Exception, match=r"id = 60: division by zero \(SQLSTATE 22012\)"):
        command.upgrade(toy.config(any_url), "v1.1.0")
    (path,) = toy.folder.glob("*v1.1.0*")
    path.write_text(path.read_text().replace("id / n", "id / nullif(n, 0)"))
    command.upgrade(toy.config(any_url), "v1.1.0")
    assert rows(with_rows, "select state from migrations.backfills order by id") == [("replaced",), ("done",)]
