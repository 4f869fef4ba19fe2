"""Backfills that are killed at any moment, or whose server is: whatever happens, each row is done exactly once."""

import random
import signal
from collections.abc import Callable, Iterator, Sequence

import pytest
from psycopg import Connection

from tests.faults.conftest import Bench
from tests.faults.runs import Ended, Order, Running
from tests.fixtures.databases import connect, libpq
from tests.fixtures.stock import Stock
from tests.fixtures.waiting import until
from tests.online.filling import slowly

ROWS = 4000
PACE = "with online.pace(batch_rows=20, min_batch_rows=1, max_batch_rows=20):"
FILLED = f"select count(*) = {ROWS} and bool_and(n = g + 1) from {{}}"

CASES = {
    "by key": (f'{PACE} online.backfill("t", {{"n": "n + 1"}}, stripes=1)', FILLED.format("t")),
    "by key, striped": (f'{PACE} online.backfill("t", {{"n": "n + 1"}}, stripes=8, workers=2)', FILLED.format("t")),
    "by page": (f'{PACE} online.backfill("t", {{"n": "g + 1"}}, stripes=8)', FILLED.format("t")),
    "partitions by key": (f'{PACE} online.backfill("parts", {{"n": "n + 1"}})', FILLED.format("parts")),
    "insert": (
        f'{PACE} online.batched_insert("copies", "select id, id as g, n + 1 as n from t")',
        f"{FILLED.format('copies')} having count(distinct id) = {ROWS}",
    ),
    "delete": (
        f'{PACE} online.batched_delete("t", "n > 0")',
        "select count(*) = 0 from t",
    ),
}  # fmt: skip
"""What is run, and what is true at its end."""

TABLES = f"""
drop schema if exists migrations cascade;
drop table if exists t, parts, copies, writes;
create table t (id int primary key, g int, n int, filler text default repeat('x', 200));
create table parts (id int primary key, g int, n int) partition by hash (id);
do 'begin for i in 0..39 loop execute format(
    ''create table parts_%s partition of parts for values with (modulus 40, remainder %s)'', i, i); end loop; end';
create table copies (id int, g int, n int);
insert into t select g, g, g from generate_series(1, {ROWS}) g;
insert into parts select g, g, g from generate_series(1, {ROWS}) g;
create table writes (who int);
create or replace function count_write() returns trigger language plpgsql as
'begin insert into writes values (coalesce(new.id, old.id)); return null; end';
create trigger counted after update or delete on t for each row execute function count_write();
create trigger counted after update on parts for each row execute function count_write();
create trigger counted after insert on copies for each row execute function count_write();
"""

pytestmark = pytest.mark.parametrize("bench", [17], indirect=True)


def is_right(db: Connection, case: str) -> bool:
    """Whether each row that is meant was written exactly once, and holds what it shall."""
    written = db.execute("select count(*), count(distinct who) from writes").fetchone()
    return db.execute(CASES[case][1].encode()).fetchone() == (True,) and written == (ROWS, ROWS)


def until_it_is_done(bench: Bench, case: str, times: int, break_off: Callable[[Running], None]) -> int:
    """Run, break off at a random moment, run again until it has got to its end; the same with new tables.

    Says how often a run that was broken off went on by itself.
    """
    broken = by_itself = 0
    order = Order(libpq(bench.server.url), body=CASES[case][0])
    while broken < times:
        with connect(bench.server.url) as db:
            db.execute(TABLES.encode())
        ended: Ended | None = None
        while ended is None or not has_ended(ended.points):
            with bench.runs.started(order) as running:
                if is_broken := broken < times:
                    moment = random.randint(1, 300)  # noqa: S311 - any will do
                    until(lambda: is_there(running, moment))  # noqa: B023 - called at once
                    break_off(running)
                    broken += 1
                ended = running.wait()
                assert ended.code in ((0, 1, -signal.SIGKILL) if is_broken else (0,)), ended.said
                by_itself += is_broken and has_ended(ended.points)
        with connect(bench.server.url) as db:
            assert is_right(db, case), ended.said
    return by_itself


def is_there(running: Running, moment: int) -> bool:
    """Whether it has passed so many points, or will pass no more."""
    return len(running.points) >= moment or has_ended(running.points) or bool(running.said)


def has_ended(points: Sequence[str]) -> bool:
    """Whether the backfill has; what the revision does after it is another matter."""
    return any(point.endswith(": ended") for point in points)


def kill(running: Running) -> None:
    running.signal(signal.SIGKILL)


def often(times: int, *quick: str) -> pytest.MarkDecorator:
    """Every case so many times, with the slow ones; those that are named a few times in the quick run too."""
    every = [slowly(case, times) for case in CASES]
    return pytest.mark.parametrize(("case", "times"), [*((case, times // 10) for case in quick), *every])


@often(50, "by key, striped")
def test_the_process_is_killed(bench: Bench, case: str, times: int) -> None:
    until_it_is_done(bench, case, times, kill)


@pytest.fixture
def forgetful(bench: Bench) -> Iterator[Stock]:
    """A server that has written down little of what it committed when it is stopped at once."""
    with connect(bench.server.url) as db:
        db.execute("alter system set wal_writer_delay = '5s'")
        db.execute("alter system set wal_writer_flush_after = '1GB'")
        db.execute("select pg_reload_conf()")
    yield bench.server
    with connect(bench.server.url) as db:
        db.execute("alter system reset all")
        db.execute("select pg_reload_conf()")


@often(20, "partitions by key")
def test_the_server_is_stopped_at_once_and_started(
    bench: Bench, forgetful: Stock, case: str, times: int
) -> None:
    """The run goes on by itself when the server is there again; what a crash took back is done again."""

    def stop(_: Running) -> None:
        forgetful.stop()
        forgetful.start()

    assert until_it_is_done(bench, case, times, stop) > 0


@often(30, "by key")
def test_any_session_of_it_is_ended(bench: Bench, case: str, times: int) -> None:
    """A worker's, the one that holds the claim, the one that looks, or the revision's own."""

    def terminate(_: Running) -> None:
        with connect(bench.server.url) as db:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend'"
                " and datname = current_database() and pid <> pg_backend_pid() order by random() limit 1"
            )

    assert until_it_is_done(bench, case, times, terminate) > 0
