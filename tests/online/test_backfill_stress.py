"""Backfills among writers, compared row by row with a model of what they wrote; and what only a lucky writer hits."""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.online.backfill.result import Backfilled
from homeops_db.online.backfill.session import Sessions
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.stress import HYPERTABLE, KINDS, MODES, Kind, Stress

SMALL: dict[str, Any] = {
    "batch_rows": 20, "min_batch_rows": 5, "max_batch_rows": 60, "target": "2ms",
    "max_dead_share": 0, "max_active_p95": 0,
}  # fmt: skip
"""Many batches; and nothing waits for the autovacuum of a table that is all writers' leavings."""

HOW: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "two workers": {"workers": 2},
    "striped": {"stripes": 8},
    "by key": {"by": "key"},
}


def among_writers(
    db: Connection, url: URL, kind: Kind, mode: str, *, rows: int, seed: int = 1, **how: Any
) -> Backfilled:
    stress = Stress(db, url, "s", kind, MODES[mode])
    stress.create(rows, writers=4, seed=seed, holds=0.15)
    with stress.at_work(), revision(url), online.pace(**SMALL):
        done: Backfilled = online.backfill("s", MODES[mode].values, where=MODES[mode].where, **how)
    stress.check()
    return done


SHORT = [
    ("bigint", "told by value", "as it comes"),
    ("uuid", "told by null, never the same", "striped"),
    ("composite", "not told", "two workers"),
    ("partitioned", "told by null", "as it comes"),
]


@MOSTLY_HERE
@pytest.mark.parametrize(("kind", "mode", "how"), SHORT)
def test_each_row_once_and_nothing_else(db: Connection, any_url: URL, kind: str, mode: str, how: str) -> None:
    done = among_writers(db, any_url, KINDS[kind], mode, rows=500, **HOW[how])
    assert done.changed


LONG = [
    (kind, mode, list(HOW)[(row + column) % len(HOW)])
    for row, kind in enumerate(KINDS)
    for column, mode in enumerate(MODES)
]
"""Every key in every mode, each time in another way."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode", "how"), LONG)
def test_each_row_once_and_nothing_else_at_length(
    db: Connection, any_url: URL, kind: str, mode: str, how: str
) -> None:
    if (
        kind == "text by language"
        and not db.execute("select from pg_collation where collname = 'de-x-icu'").fetchone()
    ):
        pytest.skip("this server was built without ICU")
    if kind == "no key" and (mode == "not told" or how == "by key"):
        pytest.skip("this needs a key")
    among_writers(db, any_url, KINDS[kind], mode, rows=2000, seed=2, **HOW[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("mode", MODES)
def test_a_hypertable_among_writers(empty_url: URL, mode: str, how: str) -> None:
    with connect(empty_url, options="-c client_min_messages=warning") as db:
        db.execute("create extension timescaledb")
        among_writers(db, empty_url, HYPERTABLE, mode, rows=2000, **HOW[how])


@MOSTLY_HERE
@pytest.mark.parametrize(("kind", "mode", "how"), [("text", "not told", "two workers")])
def test_workers_that_are_terminated_again_and_again(
    db: Connection, any_url: URL, kind: str, mode: str, how: str
) -> None:
    killed: list[int] = []
    ending = threading.Event()

    def kill() -> None:
        with connect(any_url) as killer:
            while not ending.wait(0.02):
                killed.extend(pid for (pid,) in killer.execute(TERMINATE))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        among_writers(db, any_url, KINDS[kind], mode, rows=400, **HOW[how])
    finally:
        ending.set()
        thread.join()
    assert killed


TERMINATE = b"""
with batches as materialized (
    select pid from pg_stat_activity
    where datname = current_database() and query like '%FROM pg_temp.homeops_batch%' and pid <> pg_backend_pid()
)
select pid from batches where pg_terminate_backend(pid)
"""


# A row that runs away ---------------------------------------------------------------------------------


@MOSTLY_HERE
def test_a_row_that_runs_away_from_the_closing_pass_too_is_caught(
    run: Callable, db: Connection, any_url: URL
) -> None:
    """It leaves each partition before its turn, for one that had it: no pass over both of them ever meets it."""
    db.execute("create table t (part int, a int, b int, primary key (part, a)) partition by list (part)")
    db.execute(
        "create table t1 partition of t for values in (1); create table t2 partition of t for values in (2)"
    )
    db.execute("insert into t select g % 2 + 1, g from generate_series(1, 99) g")
    db.execute("insert into t values (2, 100)")
    moves: list[int] = []

    def run_away(point: str) -> None:
        if point == "backfill: batch: done" and len(moves) < 4:
            row = db.execute(LAST_DONE).fetchone()
            part = 1 if row == ("public.t1",) else 2
            moves.append(part)
            db.execute("update t set part = %s where a = 100 and b is null", (part,))

    with faults.injected(run_away):
        done = run(online.backfill, "t", {"b": "a + 1"})
    assert moves == [1, 2, 1, 2]  # from both passes; else nothing is tested
    assert db.execute("select * from t where b is distinct from a + 1").fetchall() == [], done


LAST_DONE = (
    b"select relation from migrations.backfill_ranges where is_done and batches > 0 order by id desc limit 1"
)


# A connection that is lost while its batch lives on -----------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize("operation", ["backfill", "batched_insert"])
def test_a_batch_that_outlives_its_connection_is_not_done_again(
    run: Callable, db: Connection, any_url: URL, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """A broken network: the client opens a new connection, and the server goes on with the batch on the old one."""
    db.execute(
        "create table t (id int primary key, n int); insert into t select g, 0 from generate_series(1, 50) g"
    )
    db.execute("create table copy (id int, n int)")
    opened: list[Connection] = []
    open_one = Sessions.open

    def remembered(self: Sessions, **given: Any) -> Connection:
        opened.append(open_one(self, **given))
        return opened[-1]

    monkeypatch.setattr(Sessions, "open", remembered)
    held = "update t set n = n where id = 20" if operation == "backfill" else "lock table copy in share mode"
    with connect(any_url) as holder:
        ended: list[object] = []

        def hold(point: str) -> None:
            if point == f"{operation}: ranges stored":
                holder.execute(f"begin; {held}".encode())

        def work() -> None:
            with online.pace(batch_rows=100), online.policy(lock_timeout="20s"):
                if operation == "backfill":
                    ended.append(run(online.backfill, "t", {"n": "n + 1"}))
                else:
                    ended.append(run(online.batched_insert, "copy", "select id, n from t"))

        thread = threading.Thread(target=work)
        with faults.injected(hold):
            thread.start()
            until(lambda: waiting(db) == 1)
            with socket.socket(fileno=os.dup(opened[-1].pgconn.socket)) as wire:
                wire.shutdown(socket.SHUT_RDWR)
            until(lambda: waiting(db) == 2 or not thread.is_alive())
            holder.execute("rollback")
            thread.join(30)
    assert ended
    table = "t" if operation == "backfill" else "copy"
    expected = (50, 50) if operation == "backfill" else (50, 0)
    assert db.execute(f"select count(*), sum(n) from {table}".encode()).fetchone() == expected


# Every type of key ------------------------------------------------------------------------------------

KEYS = [
    ("smallint", "g - 20"),
    ("integer", "(g * 40503 % 65521 - 32000) * 60000"),
    ("bigint", "(g - 20)::bigint * 400000000000000000"),
    ("numeric", "case g when 1 then 'NaN' when 2 then 'Infinity' when 3 then '-Infinity' else (g - 20) / 7.0 end"),
    ("double precision", "case g when 1 then 'NaN' when 2 then '-0' when 3 then '-Infinity' else (g - 20) / 7.0::float8 end"),
    ("real", "(g - 20) / 7.0::real"),
    ("money", "((g - 20) * 1000.01)::numeric::money"),
    ("boolean", "g = 1"),
    ("uuid", "md5(g::text)::uuid"),
    ("text", "case g when 1 then '' else chr(32 + g) || E'\\'\\\\\"%s{}%(x)s' || chr(8364) || E'\\n' end"),
    ('text collate "C"', "chr(40 + g % 60) || g"),
    ("varchar(9)", "'a' || g"),
    ("char(9)", "'a' || g"),
    ('"char"', 'chr(g)::"char"'),
    ("name", "'n' || g"),
    ("bytea", "decode(md5(g::text), 'hex')"),
    ("date", "case g when 1 then 'infinity' when 2 then '0044-03-15 BC' else date '2024-01-01' + g end"),
    ("timestamp", "case g when 1 then '-infinity' else timestamp '2024-01-01' + g * interval '1 us' end"),
    ("timestamptz", "case g when 1 then 'infinity' else timestamptz '2024-10-27 00:30 UTC' + g * interval '17 min' end"),
    ("time", "time '00:00' + g * interval '1 min'"),
    ("timetz", "('00:00'::time + g * interval '1 min')::text::timetz"),
    ("interval", "(g - 20) * interval '1 month -1 day 1 sec'"),
    ("inet", "inet '10.0.0.0' + g"),
    ("macaddr", "('00:00:00:00:00:' || lpad(to_hex(g), 2, '0'))::macaddr"),
    ("bit(8)", "g::bit(8)"),
    ("varbit", "g::bit(8)::varbit"),
    ("oid", "4294967295::oid::bigint - g"),
    ("int[]", "array[g % 5, g, null]"),
    ("int4range", "int4range(g % 5, g + 5)"),
    ("jsonb", "jsonb_build_object('a', g, 'b', 'it''s %')"),
    ("pair", "row(g % 5, 'a,\")' || g)::pair"),
    ("shade", "(array['red', 'green', 'blue']::shade[])[g % 3 + 1]"),
    ("positive", "g"),
]  # fmt: skip
SOME_KEYS = {"numeric", "text", "timestamptz", "pair"}


@MOSTLY_HERE
@pytest.mark.parametrize(
    "keys",
    [pytest.param(KEYS, marks=pytest.mark.slow), [key for key in KEYS if key[0] in SOME_KEYS]],
    ids=["all", "some"],
)
def test_every_type_of_key_is_a_place(run: Callable, db: Connection, any_url: URL, keys: list) -> None:
    """Written down as text after each batch, and read again: nothing is skipped or done twice between two."""
    db.execute("create type pair as (a int, b text); create type shade as enum ('red', 'green', 'blue')")
    db.execute("create domain positive as int check (value > 0)")
    with online.pace(**SMALL | {"batch_rows": 3, "min_batch_rows": 3, "max_batch_rows": 3}):
        for type_, expression in keys:
            db.execute(
                f"drop table if exists t; create table t (k {type_} primary key, n int default 0)".encode()
            )
            values = (
                f"select ({expression})::{type_.partition(' collate')[0]} as k from generate_series(1, 40) g"
            )
            db.execute(f"insert into t select distinct on (k) k from ({values}) x".encode())
            count = db.execute("select count(*) from t").fetchone()
            done = run(online.backfill, "t", {"n": "n + 1"}, vacuum=False)
            assert (done.rows,) == count, type_
            assert db.execute("select min(n), max(n) from t").fetchone() == (1, 1), type_
            assert type_ in ("boolean", "shade") or done.batches > 10, type_


@MOSTLY_HERE
def test_a_key_of_many_types_in_stripes(run: Callable, db: Connection) -> None:
    db.execute(
        "create table t (a text, b timestamptz, c smallint, d uuid, e numeric, n int default 0, primary key (d, a, e, b, c))"
    )
    db.execute(
        "insert into t select 'a' || g % 3, timestamptz '2024-01-01Z' + g % 5 * interval '1 d', -g, md5((g % 7)::text)::uuid,"
        " (g % 11) / 3.0 from generate_series(1, 400) g"
    )
    with online.pace(**SMALL | {"batch_rows": 5, "max_batch_rows": 10}):
        done = run(online.backfill, "t", {"n": "n + 1"}, stripes=8, workers=2)
    assert db.execute("select min(n), max(n), count(*) from t").fetchone() == (1, 1, 400)
    assert done.rows == 400


# A delete ---------------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_a_row_that_is_rescued_in_time_stays(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute("create table t (id int primary key, doomed boolean, pad text)")
    db.execute("insert into t select g, g % 3 > 0, repeat('x', 100) from generate_series(1, 1500) g")
    saved: set[int] = set()
    ending = threading.Event()

    def save(first: int) -> None:
        with connect(any_url) as writer:
            for key in range(first, 1500, 4):
                if ending.is_set():
                    break
                with writer.transaction():
                    text = "update t set doomed = false, pad = repeat('y', 500) where id = %s and doomed"
                    done = writer.execute(text, (key,)).rowcount
                    ending.wait(0.002)
                if done:
                    saved.add(key)

    threads = [threading.Thread(target=save, args=(first,)) for first in (1, 2, 1000)]
    for thread in threads:
        thread.start()
    with online.pace(**SMALL):
        done = run(online.batched_delete, "t", "doomed", workers=2)
    ending.set()
    for thread in threads:
        thread.join()
    left = {key for (key,) in db.execute("select id from t")}
    assert left == saved | set(range(3, 1501, 3))
    assert done.rows == 1500 - len(left)
    assert saved


def waiting(db: Connection) -> int:
    found = db.execute(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    ).fetchone()
    assert found is not None
    return int(found[0])
