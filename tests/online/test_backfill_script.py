"""Backfills as `--sql` writes them, run by psql: to the same end as one statement, whatever happens meanwhile."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.errors import Error
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import ObjectError, OnlineError
from homeops_db.history import ledger
from homeops_db.localdb import server
from homeops_db.locking.pace import pace
from homeops_db.locking.policy import policy
from homeops_db.online.backfill import script, source
from homeops_db.online.work import script as writing
from homeops_db.settings import Settings
from tests.fixtures.databases import connect, libpq
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, psql, script_of

Values = Mapping[str, str]


def backfill(table: str, values: Values, where: str | None = None, schema: str | None = "public") -> str:
    def write() -> None:
        with writing("backfill", table) as out:
            script.write_backfill(out, (table, schema), values, where)

    return script_of(write)


def batched_delete(table: str, where: str) -> str:
    def write() -> None:
        with writing("batched_delete", table) as out:
            script.write_delete(out, (table, "public"), where)

    return script_of(write)


def batched_insert(
    table: str, select: str, columns: Sequence[str] | None = None, on_conflict: Any = "error"
) -> str:
    def write() -> None:
        read = source.read(select)
        with writing("batched_insert", table) as out:
            script.write_insert(out, (table, "public"), read, columns or read.columns, on_conflict)

    return script_of(write)


@contextmanager
def running(url: URL, text: str) -> Iterator[subprocess.Popen[str]]:
    """psql at work on a script; it is killed at the end, if it still is."""
    program = server.ensure_running(Settings()).bin / "psql"
    process = subprocess.Popen(
        [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", libpq(url)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PGAPPNAME": "the script"},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str], db: Connection) -> None:
    """Kill psql, and see its session off: nobody tells a server that waits that its client is gone."""
    process.kill()
    process.wait()
    query = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'the script'"
    )
    until(lambda: value(db, query) == 0)


def value(db: Connection, query: str) -> Any:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def rows(db: Connection, table: str) -> list[tuple[Any, ...]]:
    """All rows, as text and in order."""
    name = sql.Identifier(table)
    return db.execute(sql.SQL("select t::text from {} t order by 1").format(name)).fetchall()


@pytest.fixture
def ready(db: Connection) -> Connection:
    """A database with the ledger, which every script begins with."""
    db.execute(ledger.DDL.encode())
    return db


TABLE = """
create table t (id int primary key, a text, n int, m int, d numeric(15,2), j json, p point, b box, c char(4),
                g int generated always as (n * 2) stored);
insert into t select g, g || '.005', g % 7, null, null, null, null, box(point(0, 0), point(1, 1)), null
from generate_series(1, 700) g;
create function total(t) returns int language sql immutable as 'select $1.id + $1.n';
"""
FILLS: list[tuple[Values, str | None]] = [
    ({"d": "a::numeric"}, "d IS NULL AND a IS NOT NULL"),
    ({"d": "t.a::numeric + 1", "m": "length(a)"}, None),
    # NULL, by an expression that tells, and by others
    ({"m": "nullif(id % 3, 0)"}, "m IS NULL"),
    ({"m": "nullif(id % 3, (random() * 0)::int)"}, "m IS NULL"),
    ({"m": "nullif(id % 3, 0)", "n": "n + 1"}, "m IS NULL"),
    # what is set is read
    ({"n": "n + 1"}, None),
    ({"n": "n + 1", "m": "n"}, "n < 4"),
    ({"n": "m", "m": "n"}, None),
    ({"n": "total(t)"}, "id > 10"),
    ({"m": "700 / (id - 7)"}, "id <> 7"),
    ({"n": "g + 1"}, None),
    ({"m": "nullif(id % 3, 0)", "n": "total(t)"}, "m IS NULL"),
    ({"m": "nullif(id % 3, 0)", "n": "g + (random() * 0)::int"}, "m IS NULL"),
    ({"m": "length(t::text)"}, None),
    ({"m": "(SELECT max(u.id) FROM t u WHERE u.id < t.id)"}, "t.id % 2 = 0"),
    # types whose equality is another thing, or isn't
    ({"j": "json_build_object('id', id)", "p": "point(id, n)"}, None),
    ({"b": "box(point(id, 0), point(id + 1, 1))"}, None),
    (
        {"a": r"""'100% :a :"b" :''c'' ' || a || E'\n\\ $homeops$ "' || '{pages} äß' /* : */"""},
        "a <> ':a' AND a::text LIKE '%.005' AND a <> '\\'",
    ),
]


@MOSTLY_HERE
def test_ends_as_one_update(ready: Connection, any_url: URL) -> None:
    text = ""
    for number, (values, where) in enumerate(FILLS):
        sets = ", ".join(f"{column} = ({expression})" for column, expression in values.items())
        text += (
            f"{TABLE} update t set {sets} where {where or 'true'}; alter table t rename to model_{number};"
        )
        text += f"{TABLE} {backfill('t', values, where)} alter table t rename to done_{number};"
    assert psql(any_url, text).count("WARNING") == 1, (
        "of the rows that stay NULL because nothing else is said"
    )
    for number, fill in enumerate(FILLS):
        assert rows(ready, f"done_{number}") == rows(ready, f"model_{number}"), fill


def test_leaves_settings_as_they_were(ready: Connection, any_url: URL) -> None:
    ready.execute(TABLE)
    names = "array['lock_timeout', 'statement_timeout', 'row_security', 'jit']"
    query = f"select array(select current_setting(name) from unnest({names}) name) as them"
    text = f"set lock_timeout = '4s'; set statement_timeout = 0; create table before as {query};"
    psql(any_url, f"{text} {backfill('t', {'m': '1'})} create table after as {query};")
    assert value(ready, "select a.them = b.them from before b, after a")
    assert value(ready, "select reltuples from pg_class where relname = 't'") == 700, "analyzed"


TREES = r"""
create schema "s:p ""x%";
create table "s:p ""x%"."tä'b\ " (id int, day date, a text, "c:x ""%1" int, primary key (id, day)) partition by range (day);
create table p1 partition of "s:p ""x%"."tä'b\ " for values from ('2026-01-01') to ('2026-02-01');
create table p2 (gone int, "c:x ""%1" int, a text, day date not null, id int not null);
alter table p2 drop column gone;
alter table p2 add unique (day, id);
create table p3 partition of "s:p ""x%"."tä'b\ " for values from ('2026-03-01') to ('2026-05-01') partition by hash (id);
create table p3_0 partition of p3 for values with (modulus 2, remainder 0);
create table p3_1 partition of p3 for values with (modulus 2, remainder 1);
alter table "s:p ""x%"."tä'b\ " attach partition p2 for values from ('2026-02-01') to ('2026-03-01');
insert into "s:p ""x%"."tä'b\ " select g, '2026-01-01'::date + g % 100, g, 0 from generate_series(1, 1000) g;
create table plain (id int primary key, n int);
create table child (extra int) inherits (plain);
create unique index on child (id);
alter table child alter id set not null;
insert into plain select g, 0 from generate_series(1, 500) g;
insert into child select g, 0, g from generate_series(501, 1000) g;
create table copy (id int, "c:x ""%1" int, day date);
"""


@MOSTLY_HERE
def test_every_part_of_a_tree(ready: Connection, any_url: URL) -> None:
    ready.execute(TREES)
    schema, table, column = 's:p "x%', "tä'b\\ ", 'c:x "%1'
    name = sql.Identifier(schema, table).as_string()
    read = source.read(f'SELECT t.id, t."c:x ""%1", day FROM {name} t')

    def copy() -> None:
        with writing("batched_insert", "copy") as out:
            script.write_insert(out, ("copy", "public"), read, None)

    psql(
        any_url,
        backfill(table, {column: "a::int * 2"}, schema=schema)
        + backfill(table, {column: '"c:x ""%1" + 1'}, "id > 10", schema=schema)
        + script_of(copy)
        + backfill("plain", {"n": "n + 1"})
        + batched_delete("plain", "id % 10 = 0"),
    )
    whole = f'from {name} where "c:x ""%1" = id * 2 + (id > 10)::int'
    assert value(ready, f"select count(*) {whole}") == 1000
    same = f'select id, "c:x ""%1", day from {name}'
    assert value(ready, f"select count(*) from ({same} except all table copy) d") == 0
    assert value(ready, "select count(*) from copy") == 1000
    assert ready.execute("select count(*), sum(n), max(id) from plain").fetchone() == (900, 900, 999)


def test_every_chunk_of_a_hypertable(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute(ledger.DDL.encode())
        db.execute("create extension timescaledb")
        db.execute("create table t (at timestamptz not null, id int, n int default 0)")
        db.execute("select create_hypertable('t', 'at')")
        db.execute(
            "insert into t select '2026-01-01'::timestamptz + g * interval '1 h', g from generate_series(1, 700) g"
        )
        db.execute("create unique index on t (id, at)")
        assert value(db, "select count(*) from show_chunks('t')") > 3
        psql(empty_url, backfill("t", {"n": "id * 2"}) + batched_delete("t", "id % 2 = 0"))
        assert db.execute("select count(*), sum(n - 2 * id) from t").fetchone() == (350, 0)
        psql(empty_url, "alter table t alter id set not null;" + backfill("t", {"n": "n + 1"}))
        assert db.execute("select count(*), sum(n - 2 * id) from t").fetchone() == (350, 350)


@contextmanager
def locked(url: URL, query: str) -> Iterator[Connection]:
    """Another session that holds rows."""
    with connect(url) as connection:
        connection.execute(b"begin; " + query.encode())
        yield connection


def stalls(db: Connection) -> bool:
    return bool(
        value(
            db,
            "select count(*) from pg_stat_activity where application_name = 'the script' and wait_event = 'PgSleep'",
        )
    )


BIG = "create table t (id int primary key, n int default 0, pad text); insert into t select g from generate_series(1, 3000) g;"


@MOSTLY_HERE
def test_killed_and_run_again_each_row_is_done_once(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    with pace(batch_rows=100, max_batch_rows=300):
        text = backfill("t", {"n": "n + 1"})
    with locked(any_url, "select from t where id = 2000 for update"), running(any_url, text) as process:
        until(lambda: stalls(ready))
        kill(process, ready)
    done = value(ready, "select count(*) from t where n = 1")
    assert 1000 < done < 2000
    assert value(ready, "select max(id) from t where n = 1") == done
    ready.execute("insert into t select g from generate_series(-10, 0) g")
    psql(any_url, text)
    assert ready.execute("select count(*), sum(n) from t where id > 0").fetchone() == (3000, 3000)
    assert ready.execute(
        "select state, rows_done from migrations.backfills b join migrations.backfill_ranges r on b.id = backfill_id"
    ).fetchall() == [("done", 3000)]


@MOSTLY_HERE
def test_what_was_done_to_a_column_that_is_gone_counts_for_nothing(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    with pace(batch_rows=100, max_batch_rows=300):
        text = backfill("t", {"n": "n + 1"})
    with locked(any_url, "select from t where id = 2000 for update"), running(any_url, text) as process:
        until(lambda: stalls(ready))
        kill(process, ready)
    ready.execute("alter table t drop n, add n int default 0")
    psql(any_url, text)
    assert ready.execute("select min(n), max(n) from t").fetchone() == (1, 1)


@MOSTLY_HERE
def test_what_a_revision_has_done_is_not_done_again_before_it_ends(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    text = backfill("t", {"n": "n + 1"})
    text = text.replace('"version": null', '"version": "v9.0.0"').replace(
        '"direction": null', '"direction": "upgrade"'
    )
    psql(any_url, text + text)
    assert value(ready, "select sum(n) from t") == 3000
    ready.execute(
        "insert into migrations.schema_events (version, direction, event) values ('v9.0.0', 'upgrade', 'finished')"
    )
    psql(any_url, text)
    assert value(ready, "select sum(n) from t") == 6000


@pytest.mark.parametrize("any_url", ["stock 15"], indirect=True)
def test_new_versions_of_rows_fit_on_the_pages_of_the_old_ones(ready: Connection, any_url: URL) -> None:
    """On a server of its own: an old transaction in any database of a server spoils it."""
    for name, expression in (("told", "id"), ("by_key", "n + 1")):
        ready.execute(
            f"create table {name} (id int primary key, n int default 0, pad text default repeat('x', 90))"
        )
        ready.execute(f"insert into {name} select generate_series(1, 12000)")
        ready.execute(f"vacuum analyze {name}")
        size = value(ready, f"select pg_relation_size('{name}')")
        psql(any_url, backfill(name, {"n": expression}))
        assert value(ready, f"select sum(n) from {name}") == (72006000 if name == "told" else 12000)
        assert value(ready, f"select pg_relation_size('{name}')") < 1.4 * size
        hot = f"select n_tup_hot_upd > 0.5 * n_tup_upd from pg_stat_user_tables where relname = '{name}'"
        until(lambda hot=hot: value(ready, hot))


@pytest.mark.parametrize("expression", ["m + 1", pytest.param("n + 1", marks=pytest.mark.slow)])
@MOSTLY_HERE
def test_a_row_that_moves_behind_is_not_missed(expression: str, ready: Connection, any_url: URL) -> None:
    """The first page, which was gone through, has room again for what later rows have become."""
    ready.execute(BIG.replace("3000", "1000") + "alter table t add m int default 0")
    ready.execute("alter table t set (autovacuum_enabled = off); delete from t where id < 215")
    with pace(batch_rows=8, min_batch_rows=1, max_batch_rows=8):
        text = backfill("t", {"n": expression}, "n = 0")

    def moved() -> int:
        ready.execute("vacuum (truncate off) t")
        ready.execute("update t set pad = repeat('x', 300) where id between 700 and 900")
        return int(value(ready, "select count(*) from t where id >= 700 and n = 0 and ctid < '(1,0)'"))

    with (
        locked(any_url, "select from t where id = 300 for update") as holder,
        running(any_url, text) as process,
    ):
        until(lambda: value(ready, "select n from t where id = 299") == 1)
        until(moved)
        ready.execute("insert into t values (0)")
        holder.execute("commit")
        assert process.wait() == 0
    assert ready.execute("select min(n), max(n) from t").fetchone() == (1, 1)


@pytest.mark.parametrize("expression", ["id + 1", "n + 1"])
@MOSTLY_HERE
def test_a_row_that_is_committed_late_is_not_missed(expression: str, ready: Connection, any_url: URL) -> None:
    ready.execute(
        "create table t (id int primary key, n int); insert into t select g, g from generate_series(101, 300) g"
    )
    text = backfill("t", {"n": expression})
    with (
        locked(any_url, "insert into t values (1, 1), (400, 400)") as writer,
        running(any_url, text) as process,
    ):
        until(lambda: stalls(ready))
        writer.execute("commit")
        assert process.wait() == 0
    assert value(ready, "select sum(n - id) from t") == 202


@contextmanager
def traffic(url: URL) -> Iterator[list[str]]:
    """Writes as an application makes them that knows the new column; what they were, and errors, are listed."""
    writes: list[str] = []
    is_over = threading.Event()

    def write() -> None:
        with connect(url) as connection:
            while not is_over.is_set():
                number = len(writes)
                row = number * 37 % 6000
                writes.append(
                    (
                        f"update t set pad = repeat('x', 50) where id = {row}",
                        f"update t set id = -id where id = {row}",
                        f"delete from t where id = {row}",
                        f"insert into t values ({10000 + number}, 0, 'new')",
                    )[number % 4]
                )
                try:
                    connection.execute(writes[-1].encode())
                except Error as error:
                    writes[-1] = f"failed: {error}"

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield writes
    finally:
        is_over.set()
        thread.join()


@MOSTLY_HERE
def test_beside_traffic(ready: Connection, any_url: URL) -> None:
    ready.execute("create table t (id int primary key, n int, pad text) with (fillfactor = 90)")
    ready.execute("insert into t select g, null, g from generate_series(1, 6000) g")
    with traffic(any_url) as writes, pace(batch_rows=100, max_batch_rows=500):
        until(lambda: len(writes) > 10)
        psql(any_url, backfill("t", {"n": "abs(id) % 10"}, "n IS NULL"))
        assert value(ready, "select count(*) from t where n is null") == 0
        psql(any_url, batched_delete("t", "n = 3"))
        assert value(ready, "select count(*) from t where n = 3") == 0
        psql(any_url, backfill("t", {"n": "n + 10"}, "pad <> 'new'"))
    assert not [write for write in writes if write.startswith("failed")]
    # A row whose key is made less than the place that is reached is out of reach: nothing tells it.
    wrong = "n <> abs(id) % 10 + 10 and pad <> 'new' and id > 0"
    assert value(ready, f"select count(*) from t where {wrong}") == 0


POISON = {
    "told": ({"m": "100 / (id - 77)"}, None),
    "by key": ({"m": "coalesce(m, 0) + 100 / (id - 77)"}, None),
    "by a constraint that is deferred": ({"m": "id + 0"}, "id < 1000"),
}


@pytest.mark.parametrize("name", POISON)
@MOSTLY_HERE
def test_a_row_that_fails_is_named(name: str, ready: Connection, any_url: URL) -> None:
    values, where = POISON[name]
    ready.execute("create table t (id int primary key, m int unique deferrable initially deferred)")
    ready.execute("insert into t select g, null from generate_series(1, 300) g where g <> 300")
    ready.execute(
        "insert into t values (1077, 77)" if "constraint" in name else "insert into t values (1077, null)"
    )
    if "constraint" not in name:
        ready.execute("alter table t drop constraint t_m_key")
    text = backfill("t", values, where)
    told = psql(any_url, text, fails=True)
    assert "id = 77:" in told
    assert "SQLSTATE 22012" in told or "SQLSTATE 23505" in told
    assert value(ready, "select count(*) from t where m is not null and id < 77") == 76
    assert value(ready, "select count(*) from t where m is not null and id between 78 and 300") == 0
    ready.execute("delete from t where id = 77 or id = 1077")
    psql(any_url, text)
    expected = "id" if "constraint" in name else "100 / (id - 77)"
    assert value(ready, f"select count(*) from t where m = {expected}") == 298


@pytest.mark.parametrize("expression", ["100 / (id - 177)", "coalesce(m, 0) + 100 / (id - 177)"])
@MOSTLY_HERE
def test_a_row_that_fails_in_a_stripe_is_named(expression: str, ready: Connection, any_url: URL) -> None:
    ready.execute("create table t (id int primary key, m int, pad text default repeat('x', 1800))")
    ready.execute("insert into t select generate_series(1, 400)")
    ready.execute("vacuum analyze t")
    text = backfill("t", {"m": expression})
    told = psql(any_url, text, fails=True)
    assert "id = 177: division by zero" in told
    assert 0 < value(ready, "select count(*) from t where m is not null") < 399
    ready.execute("delete from t where id = 177")
    psql(any_url, text)
    assert value(ready, "select count(*) from t where m = 100 / (id - 177)") == 399


@MOSTLY_HERE
def test_a_value_that_is_too_long_is_not_cut(ready: Connection, any_url: URL) -> None:
    """Cut to its length, the value would be what is there already."""
    ready.execute(
        "create table t (id int primary key, c varchar(3)); insert into t values (99, null), (100, 'n10')"
    )
    told = psql(any_url, backfill("t", {"c": "'n' || id"}), fails=True)
    assert "id = 100: value too long" in told
    assert rows(ready, "t") == [("(100,n10)",), ("(99,n99)",)]


@pytest.mark.slow
@MOSTLY_HERE
def test_gives_up_on_a_row_that_stays_locked(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    with pace(batch_rows=100), policy(give_up_after="200ms"):
        text = backfill("t", {"n": "id"})
    with locked(any_url, "select from t where id = 2000 for update"):
        assert "55P03" in psql(any_url, text, fails=True)
    assert 1000 < value(ready, "select count(*) from t where n = id") < 2000
    psql(any_url, text)
    assert value(ready, "select count(*) from t where n = id") == 3000


REFUSED: list[tuple[str, str, Values, str]] = [
    ("no unique key", "t", {"n": "n + 1"}, "alter table t drop constraint t_pkey"),
    ("no unique key", "t", {"id": "id + 1"}, ""),
    ("row-level security", "t", {"n": "id"}, "create policy odd on t using (id % 2 = 1)"),
    ('column "x"', "t", {"x": "id"}, ""),
    ('relation "public.gone"', "gone", {"n": "id"}, ""),
    ("v is no table", "v", {"n": "1"}, "create view v as table t"),
    ("type text", "t", {"n": "id::text"}, ""),
]


@pytest.fixture
def owner(ready: Connection) -> Iterator[str]:
    """A role that may make tables and is no superuser."""
    name = f"owner_{ready.info.backend_pid}"
    ready.execute(f"create role {name}; grant all on schema public to {name}")
    yield name
    ready.execute(f"drop owned by {name}; drop role {name}")


@MOSTLY_HERE
def test_what_is_refused_is_refused_before_anything_is_changed(
    ready: Connection, owner: str, any_url: URL
) -> None:
    for why, table, values, change in REFUSED:
        ready.execute(
            f"set role {owner}; drop table if exists t cascade; {BIG} {change}; reset role".encode()
        )
        ready.execute(
            "alter table t enable row level security, force row level security" if "row" in why else ""
        )
        before = rows(ready, "t")
        assert why in psql(any_url, f"set role {owner}; {backfill(table, values)}", fails=True)
        ready.execute("alter table t disable row level security")
        assert rows(ready, "t") == before
        assert value(ready, "select count(*) from migrations.backfills") == 0


def test_what_is_no_expression_is_refused_when_it_is_written() -> None:
    for write in (
        lambda: backfill("t", {"n": "1), m = (2"}),
        lambda: backfill("t", {"n": "1 -- one"}),
        lambda: backfill("t", {"n": "1"}, "true; drop table t"),
        lambda: batched_delete("t", "true) or (true"),
    ):
        with pytest.raises(ObjectError, match="Nothing was changed"):
            write()


@MOSTLY_HERE
def test_ends_where_a_trigger_undoes_it(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    ready.execute(
        "create function undo() returns trigger language plpgsql as 'begin new.n := 0; return new; end'"
    )
    ready.execute(
        "create trigger undo before update on t for each row when (old.id = 7) execute function undo()"
    )
    assert "WARNING:  t has rows that are still to do" in psql(any_url, backfill("t", {"n": "id"}))
    assert value(ready, "select sum(n - id) from t") == -7


@MOSTLY_HERE
def test_ends_where_others_go_on_making_rows(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG + "create table log (n int); alter table t alter n drop default; update t set n = null")
    ready.execute("create sequence next_id start 4000")
    # Stands for a client that doesn't know the column: whenever a batch has been done, there is a new row.
    ready.execute(
        "create function more() returns trigger language plpgsql as 'begin insert into t values (nextval(''next_id'')); return null; end'"
    )
    ready.execute("create trigger more after update on t for each statement execute function more()")
    with pace(batch_rows=10_000):
        told = psql(any_url, backfill("t", {"n": "id"}, "n IS NULL"))
    assert "WARNING:  t has rows that are still to do" in told
    assert value(ready, "select count(*) from t where n = id") > 3000


@pytest.mark.slow
@MOSTLY_HERE
def test_goes_on_without_a_partition_that_is_dropped(ready: Connection, any_url: URL) -> None:
    ready.execute("create table t (id int primary key, n int default 0) partition by range (id)")
    for number in range(3):
        ready.execute(
            f"create table t{number} partition of t for values from ({number * 1000}) to ({number * 1000 + 1000})"
        )
    ready.execute("insert into t select generate_series(0, 2999)")
    hold = "select from t0 where id = 500 for update"
    for text in (backfill("t", {"n": "n + 1"}), backfill("t", {"n": "id"})):
        with locked(any_url, hold) as holder, running(any_url, text) as process:
            until(lambda: stalls(ready))
            ready.execute("drop table t1")
            holder.execute("commit")
            assert process.wait() == 0
        ready.execute("create table t1 partition of t for values from (1000) to (2000)")
    assert ready.execute("select count(*), sum(n - id) from t").fetchone() == (2000, 0)


@MOSTLY_HERE
def test_insert_and_delete(ready: Connection, any_url: URL, run: Callable[..., Any]) -> None:
    ready.execute(BIG + "create table u (id bigint primary key, name text, at timestamptz default now())")
    ready.execute(
        "create table names (id int, name text); insert into names select g, 'n' || g % 5 from generate_series(1, 4000) g"
    )
    select = "SELECT t.id * 2 AS id, n.name FROM t LEFT JOIN names n ON n.id = t.id WHERE t.id > 5 AND n.name <> 'n0' -- :x"
    with pace(batch_rows=100, max_batch_rows=300):
        text = batched_insert("u", select)
    with locked(any_url, "insert into u values (4002)") as holder, running(any_url, text) as process:
        until(lambda: stalls(ready))
        kill(process, ready)
        holder.execute("rollback")
    done = value(ready, "select count(*) from u")
    assert 1000 < done < 2000
    ready.execute("truncate u")
    with locked(any_url, "insert into u values (4002)") as holder, running(any_url, text) as process:
        until(lambda: stalls(ready))
        kill(process, ready)
        holder.execute("rollback")
    assert value(ready, "select min(id) from u") == 12, "it began anew: what it had copied was gone"
    run(online.batched_insert, "u", select, schema="public")
    expected = "select t.id * 2, n.name from t join names n using (id) where t.id > 5 and n.name <> 'n0'"
    assert value(ready, f"select count(*) from ({expected} except select id, name from u) d") == 0
    assert value(ready, "select count(*) from u") == value(ready, f"select count(*) from ({expected}) e")
    again = batched_insert("u", "SELECT id * 2 AS id, pad FROM t WHERE id > 5", ["id", "name"])
    assert "id = 6:" in psql(any_url, again, fails=True)
    psql(any_url, batched_insert("u", "SELECT id * 2 AS id FROM t", on_conflict="nothing"))
    assert value(ready, "select count(*) from u") == 3000
    psql(
        any_url,
        batched_delete("u", "EXISTS (SELECT FROM names WHERE names.id * 2 = u.id AND names.name = 'n1')"),
    )
    assert value(ready, "select count(*) from u where id / 2 % 5 = 1") == 0
    assert value(ready, "select count(*) from u") == 2400
    refused = psql(any_url, batched_insert("u", "SELECT id, name FROM names", ["id", "name"]), fails=True)
    assert "no unique key" in refused
    assert "into it" in psql(any_url, batched_insert("t", "SELECT id + 9000 AS id FROM t"), fails=True)


@pytest.mark.slow
@MOSTLY_HERE
def test_hears_what_it_is_told_from_elsewhere(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    with pace(batch_rows=100, max_batch_rows=100):
        text = backfill("t", {"n": "n + 1"})
    state = "update migrations.backfills set state = "
    hold = "select from t where id = 2000 for update"
    with locked(any_url, hold) as holder, running(any_url, text) as process:
        until(lambda: stalls(ready))
        ready.execute(f"{state} 'paused'")
        holder.execute("commit")
        seen = []
        for _ in range(2):
            now = value(ready, "select clock_timestamp()")
            until(lambda now=now: value(ready, "select heartbeat_at from migrations.backfills") > now)
            seen.append(value(ready, "select sum(n) from t"))
        assert seen[0] == seen[1] < 3000
        ready.execute(f"{state} 'cancelled'")
        assert process.wait() == 3
        assert "cancelled" in process.communicate()[1]
    psql(any_url, text)
    assert value(ready, "select sum(n) from t") == 3000


@pytest.mark.slow
def test_one_script_at_a_time(ready: Connection, any_url: URL) -> None:
    ready.execute(BIG)
    text = backfill("t", {"n": "n + 1"})
    with locked(any_url, "select from t where id = 2000 for update"), running(any_url, text):
        until(lambda: stalls(ready))
        assert "at work on the same" in psql(any_url, text, fails=True)


@MOSTLY_HERE
def test_the_operation_goes_on_where_a_script_was_killed(
    ready: Connection, any_url: URL, run: Callable[..., Any]
) -> None:
    ready.execute(BIG)
    with pace(batch_rows=100, max_batch_rows=300):
        text = backfill("t", {"n": "n + 1"})
    with locked(any_url, "select from t where id = 2000 for update"), running(any_url, text) as process:
        until(lambda: stalls(ready))
        kill(process, ready)
    run(online.backfill, "t", {"n": "n + 1"}, schema="public")
    assert ready.execute("select count(*), min(n), max(n) from t").fetchone() == (3000, 1, 1)


@MOSTLY_HERE
def test_a_script_goes_on_where_the_operation_was_broken_off(
    ready: Connection, any_url: URL, run: Callable[..., Any]
) -> None:
    """Within a window, between two of its stripes, in several ranges."""
    ready.execute(BIG.replace("pad text", "pad text default repeat('x', 500)"))
    passed: list[int] = []

    def stop(point: str) -> None:
        passed.extend([threading.get_ident()] * point.endswith("batch: done"))
        if passed.count(threading.get_ident()) == 6:
            raise OnlineError("broken off")

    small = pace(batch_rows=20, min_batch_rows=1, max_batch_rows=20)
    with faults.injected(stop), small, pytest.raises(OnlineError, match="broken off"):
        run(online.backfill, "t", {"n": "n + 1"}, schema="public", stripes=4, workers=2)
    assert 0 < value(ready, "select sum(n) from t") < 3000
    assert value(
        ready, "select count(*) from migrations.backfill_ranges where position ->> 'is_open' = 'true'"
    )
    psql(any_url, backfill("t", {"n": "n + 1"}))
    assert ready.execute("select count(*), min(n), max(n) from t").fetchone() == (3000, 1, 1)


@MOSTLY_HERE
def test_a_script_goes_on_within_a_stripe(ready: Connection, any_url: URL) -> None:
    """Of the window up to 40, one stripe was done, and of the other one what comes up to 30."""
    ready.execute(
        "create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 90) g"
    )
    ready.execute("update t set n = n + 1 where id <= 20 or id <= 40 and id % 2 = 0 or id <= 30")
    text = backfill("t", {"n": "n + 1"})
    fingerprint = re.findall('"fingerprint": "(.*)"', text)[0]
    ready.execute(
        "insert into migrations.backfills (operation, relation, fingerprint, definition)"
        " values ('backfill', 'public.t', %s, '{}')", (fingerprint,),
    )  # fmt: skip
    axis = """{"oid": %s, "columns": ["id"], "types": ["integer"], "stripe": "t.id", "identity": ["id"]}"""
    at = """{"low": ["20"], "high": ["40"], "is_open": true, "stripe": 1, "stripes": 2, "after": ["30"]}"""
    ready.execute(
        "insert into migrations.backfill_ranges (backfill_id, relation, axis, high, position, epoch)"
        f" select id, 'public.t', format(%s, 't'::regclass::oid)::jsonb, '[\"90\"]', '{at}', 0 from migrations.backfills",
        (axis.replace("%s", "%1$s"),),
    )  # fmt: skip
    psql(any_url, text)
    assert ready.execute("select min(n - id), max(n - id) from t").fetchone() == (1, 1)
