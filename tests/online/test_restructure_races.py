"""A restructure, and whoever writes at the worst moment: no row is lost, stale or a ghost, and no write fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa
from psycopg import Connection, OperationalError
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ViolationError
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401
from tests.online.meanwhile import at

PATIENT = "-c statement_timeout=5s"
POINTS = [f"restructure: {point}" for point in ("made", "copied", "settled", "indexed", "drained", "synced")]

AMOUNT = online.Restructure(
    "t",
    columns=(..., sa.Column("amount", sa.Numeric(15, 2)), sa.Column("big", sa.Text)),
    transform={"amount": "amount::numeric(15,2)", "big": "upper(note)"},
    back={"amount": "amount::double precision"},
)
TABLE = """
create table other (id int primary key);
create table elsewhere (id int);
create table t (id int primary key, parent int {refers}, amount double precision, note text{more});
insert into other select generate_series(1, 500);
insert into t (id, parent, amount, note) select n, null, n / 4.0, 'note ' || n from generate_series(1, 400) n;
"""


@dataclass(frozen=True)
class Race:
    """What is done at each point: ``{n}`` is 10, 20, and so on; rows of ten ids are there for each."""

    acts: str
    refers: str = ""
    more: str = ""
    also: str = ""
    level: str = "read committed"


SELF = "references t on update cascade on delete cascade"
RACES = {
    "delete and insert again": Race(
        "delete from t where id between {n} and {n} + 3; insert into t (id, parent, amount, note) values ({n}, null, 5, 'again'), ({n} + 1, null, 6, 'b')"
    ),
    "keys move": Race(
        "update t set id = id + 10000 where id between {n} and {n} + 2; update t set id = {n} + 1 where id = {n} + 10000"
    ),
    "keys swap": Race(
        "update t set id = -1 where id = {n}; update t set id = {n} where id = {n} + 1; update t set id = {n} + 1 where id = -1"
    ),
    "upsert": Race(
        "insert into t (id, parent, amount, note) select g, null, g, 'up' from generate_series({n}, {n} + 1000, 500) g on conflict (id) do update set amount = 77"
    ),
    "merge": Race(
        "merge into t using generate_series({n}, {n} + 1006) g on t.id = g "
        "when matched and g % 3 = 0 then delete when matched and g % 3 = 1 then update set amount = 9, note = 'merged' "
        "when not matched and g % 5 = 0 then insert (id, parent, amount, note) values ({n} * 100000 + g, null, g, 'new')"
    ),
    "everything at once": Race("update t set amount = amount + 1, note = note || '.'"),
    "truncate": Race("truncate t; insert into t (id, parent, amount, note) select n, null, n, 'anew' from generate_series(1, 300) n"),
    "truncate that is rolled back": Race(
        "savepoint a; truncate t; insert into t (id, parent, amount, note) values (1, null, 1, 'x'); rollback to a; update t set note = 'kept' where id = {n}"
    ),
    "savepoints": Race(
        "savepoint a; update t set note = 'gone' where id = {n}; delete from t where id = {n} + 1; rollback to a; "
        "savepoint b; update t set note = 'stays' where id = {n} + 2; release b; update t set amount = 1 where id = {n} + 2"
    ),
    "an old snapshot": Race(
        "update t set note = 'rr' where id between {n} and {n} + 3; delete from t where id = {n} + 4; "
        "insert into t (id, parent, amount, note) values ({n} + 20000, null, 3, 'rr')",
        level="repeatable read",
    ),
    "an old snapshot, serializable": Race(
        "update t set note = 'ser' where id between {n} and {n} + 3; delete from t where id = {n} + 4; "
        "update t set id = {n} + 30000 where id = {n} + 5; insert into t (id, parent, amount, note) values ({n} + 20000, null, 3, 'rr')",
        level="serializable",
    ),
    "a row refers to another, and goes with it": Race(
        "insert into t (id, parent, amount, note) values ({n} + 9000, {n}, 1, 'child'), ({n} + 8000, {n} + 9000, 1, 'of it'); "
        "update t set parent = {n} + 1 where id = {n} + 2; delete from t where id = {n}; update t set id = -{n} where id = {n} + 1",
        refers=SELF,
    ),
    "a row refers to another, and lets it go": Race(
        "insert into t (id, parent, amount, note) values ({n} + 9000, {n}, 1, 'child'); update t set parent = {n} + 9000 where id = {n} + 2; "
        "delete from t where id = {n}; delete from t where id = {n} + 9000",
        refers="references t on delete set null",
    ),
    "rows that refer to each other go together": Race(
        "update t set parent = id + 1 where id between {n} and {n} + 3; delete from t where id between {n} and {n} + 4",
        refers="references t",
    ),
    "a child first": Race(
        "insert into t (id, parent, amount, note) values ({n} + 9000, {n} + 9001, 1, 'child'), ({n} + 9001, {n} + 9002, 1, 'x'), ({n} + 9002, null, 1, 'y')",
        refers="references t",
    ),
    "a child first, with a deferred key": Race(
        "insert into t (id, parent, amount, note) values ({n} + 9000, {n} + 9001, 1, 'child'); insert into t (id, parent, amount, note) values ({n} + 9001, null, 1, 'x')",
        refers="references t deferrable initially deferred",
    ),
    "unique values change their places": Race(
        "update t set note = 'x{n}' where id = {n}; update t set note = 'note ' || {n} where id = {n} + 1; "
        "update t set note = 'note ' || ({n} + 1) where id = {n}",
        more=", unique (note)",
    ),
    "unique values change their places at once": Race(
        "update t set note = 'note ' || (2 * {n} + 1 - id) where id in ({n}, {n} + 1)",
        more=", unique (note) deferrable initially deferred",
    ),
    "another table's row goes": Race(
        "update t set parent = {n} + 2 where id = {n} + 3; update t set parent = null where id = {n}; delete from other where id = {n}; "
        "update t set parent = {n} + 1 where id = {n} + 3",
        also="update t set parent = id; alter table t add constraint fk foreign key (parent) references other",
    ),
    "another table's row goes, and its rows with it": Race(
        "update t set parent = {n} + 1 where id = {n}; delete from other where id = {n}; delete from other where id = {n} + 1",
        also="update t set parent = id; alter table t add constraint fk foreign key (parent) references other on delete cascade",
    ),
    "triggers that write the row again": Race(
        "insert into t (id, parent, amount, note) values ({n} + 7000, null, 1, 'trig'); update t set amount = 4 where id = {n}; delete from t where id = {n} + 1",
        also="""
create function again() returns trigger language plpgsql as $$ begin
    if pg_trigger_depth() < 2 then
        update t set note = note || '+' where id = coalesce(new.id, old.id);
        update t set note = note || '-' where id = coalesce(new.id, old.id) + 1;
        insert into t (id, parent, amount, note) values (coalesce(new.id, old.id) + 100000, null, 1, 'by trigger') on conflict (id) do update set amount = t.amount + 1;
    end if; return null; end $$;
create trigger zzz_again after insert or update or delete on t for each row execute function again();
create function late() returns trigger language plpgsql as $$ begin
    update t set amount = 4.5, note = 'late' where id = new.id;
    insert into t (id, note) values (new.id + 50000, 'late') on conflict do nothing;
    return null; end $$;
create constraint trigger aaa_late after update on t deferrable initially deferred for each row
    when (new.amount = 4) execute function late();
""",
    ),
    "rules of replicas": Race(
        "set local session_replication_role = replica; update t set note = 'rep' where id = {n}; delete from t where id = {n} + 1; "
        "insert into t (id, parent, amount, note) values ({n} + 6000, null, 1, 'rep'); set local session_replication_role = origin"
    ),
    "two phases": Race("update t set note = 'two' where id = {n}; delete from t where id = {n} + 1; prepare transaction 'p{n}'"),
    "the key is always the server's": Race(
        "insert into t (no, id, note) overriding system value values ({n} + 900, {n} + 700, 'x'); update t set note = 'y' where id = {n}; "
        "delete from t where id = {n} + 1; insert into t (id, note) values ({n} + 1, 'fresh number')",
        more=", no int generated always as identity (start 10000)",
    ),
    "it is written anew": Race("update t set note = 'a' where id = {n}; cluster t using t_pkey; update t set note = 'b' where id = {n} + 1"),
    "it grows and shrinks": Race(
        "insert into t (id, parent, amount, note) select g, null, 1, repeat('x', 1000) from generate_series({n} * 1000, {n} * 1000 + 300) g; delete from t where id >= {n} * 1000"
    ),
}  # fmt: skip

QUICK = {"an old snapshot", "another table's row goes"}
LIVE = "select id, parent, amount::numeric(15,2)::float8, note{no} from t order by id"


def compared(db: Connection, race: Race) -> list:
    return rows(db, LIVE.format(no=", no" if "no int" in race.more else ""))


@MOSTLY_HERE
@pytest.mark.parametrize("name", [name if name in QUICK else slowly(name) for name in RACES])
def test_nothing_is_lost(run: Callable, db: Connection, any_url: URL, name: str) -> None:
    race = RACES[name]
    if "prepare" in race.acts and scalar(db, "show max_prepared_transactions") == "0":
        pytest.skip("this server prepares no transactions")
    db.prepare_threshold = None
    db.execute(TABLE.format(refers=race.refers, more=race.more))
    db.execute(race.also)
    number = 0

    with (
        connect(any_url, options=PATIENT) as writer,
        connect(any_url, options=PATIENT) as old,
        online.policy(give_up_after="3s"),
    ):
        writer.prepare_threshold = old.prepare_threshold = None

        def begin() -> None:
            old.execute(f"begin isolation level {race.level}".encode())
            old.execute("select count(*) from elsewhere")

        def write(by: Connection) -> None:
            nonlocal number
            number += 10
            acts = race.acts.replace("{n}", str(number))
            for act in acts.split("; ") if "language" not in acts else [acts]:
                by.execute(act.encode())
            if "prepare transaction" in acts:
                by.execute(f"commit prepared 'p{number}'".encode())
            else:
                by.execute("commit")

        def act() -> None:
            """One writes with a snapshot from the point before, one with a fresh one."""
            write(old)
            begin()
            if race.level == "read committed":
                writer.execute("begin")
                write(writer)

        begin()

        def at_point(point: str) -> None:
            if point in POINTS:
                act()

        with faults.injected(at_point):
            run(AMOUNT.expand)
        act()
        old.execute("commit")
        for step in (AMOUNT.switch, AMOUNT.undo_switch, AMOUNT.switch):
            before = compared(db, race)
            run(step)
            assert compared(db, race) == before
            if step is AMOUNT.switch and number < 150:
                assert scalar(db, "select count(*) from t where big is distinct from upper(note)") == 0
            begin()
            act()
            old.execute("commit")


NARROW = online.Restructure(
    "t",
    columns=(
        ...,
        sa.Column("amount", sa.Numeric(5, 2)),
        sa.Column("note", sa.String(8)),
        sa.Column("low", sa.Text, nullable=False),
    ),
    transform={"amount": "amount::numeric(5,2)", "note": "note", "low": "lower(note)"},
    back={"amount": "amount::double precision", "note": "note::text"},
)
WIDE = online.Restructure(
    "t",
    columns=("id", sa.Column("amount", sa.Float(53)), sa.Column("note", sa.Text)),
    transform={"amount": "amount::double precision", "note": "note::text"},
    back={"amount": "amount::numeric(5,2)", "note": "note"},
)
UNHELD = {
    "too large": ("update t set amount = 12345 where id = 3", "update t set amount = 12 where id = 3", "numeric field overflow"),
    "too long": ("update t set note = 'much too long' where id = 3", "update t set note = 'short' where id = 3", "varying"),
    "nothing": ("update t set note = null where id = 3", "delete from t where id = 3", "low"),
}  # fmt: skip


@MOSTLY_HERE
@pytest.mark.parametrize("name", ["too large", slowly("too long"), slowly("nothing")])
def test_a_value_that_the_new_shape_cannot_hold_is_written_and_named(
    run: Callable, db: Connection, any_url: URL, name: str
) -> None:
    write, mend, why = UNHELD[name]
    db.prepare_threshold = None
    db.execute("create table t (id int primary key, amount double precision, note text)")
    db.execute("insert into t select n, n, 'Note ' || n from generate_series(1, 20) n")
    run(NARROW.expand)
    db.execute(write)
    db.execute("update t set note = 'good' where id = 4")
    before = rows(db, "select id, amount::text, note from t order by id")
    for _ in range(2):
        with pytest.raises(ViolationError, match=rf'"id": 3}}: .*{why}'):
            run(NARROW.switch)
    assert rows(db, "select id, amount::text, note from t order by id") == before
    db.execute(mend)
    run(NARROW.switch)
    assert scalar(db, "select count(*) from t where low is distinct from lower(note)") == 0
    assert scalar(db, "select low from t where id = 4") == "good"


@MOSTLY_HERE
@pytest.mark.parametrize("name", [slowly("too large"), "too long"])
def test_so_is_one_that_the_old_shape_cannot_hold(
    run: Callable, db: Connection, any_url: URL, name: str
) -> None:
    write, mend, why = UNHELD[name]
    db.prepare_threshold = None
    db.execute("create table t (id int primary key, amount numeric(5,2), note varchar(8))")
    db.execute("insert into t select n, n, 'Note ' || n from generate_series(1, 20) n")
    run(WIDE.expand)
    run(WIDE.switch)
    db.execute(write)
    for _ in range(2):
        with pytest.raises(ViolationError, match=rf'"id": 3}}: .*{why}'):
            run(WIDE.undo_switch)
    db.execute(mend)
    run(WIDE.undo_switch)
    assert scalar(db, "select count(*) from t") == 20


UNIQUE = online.Restructure(
    "t",
    columns=("id", sa.Column("name", sa.String(3))),
    transform={"name": "left(name, 3)"},
    back={"name": "name::text"},
)


@MOSTLY_HERE
def test_a_unique_key_that_only_the_new_shape_violates(run: Callable, db: Connection, any_url: URL) -> None:
    """Mending the row in whose way another one is lets that one pass too."""
    db.prepare_threshold = None
    db.execute("create table t (id int primary key, name text, constraint uq unique (name))")
    db.execute("insert into t values (1, 'one'), (2, 'two'), (3, 'three')")
    run(UNIQUE.expand)
    db.execute("insert into t values (4, 'twofold')")
    with pytest.raises(ViolationError, match=r'"id": 4}: .*"uq"'):
        run(UNIQUE.switch)
    db.execute("delete from t where id = 2")
    run(UNIQUE.switch)
    assert rows(db, "select * from t order by id") == [(1, "one"), (3, "thr"), (4, "two")]


LABEL = online.Restructure(
    "t", columns=(..., sa.Column("label", sa.Text)), transform={"label": "upper(note)"}
)
SMALL = """
create table t (id int primary key, note text);
insert into t select n, 'note ' || n from generate_series(1, 20) n;
"""


@pytest.fixture
def made(run: Callable, db: Connection, any_url: URL) -> Iterator[Connection]:
    """A second session beside a small table that has a twin."""
    db.prepare_threshold = None
    db.execute(SMALL)
    run(LABEL.expand)
    with connect(any_url, options=PATIENT) as writer:
        yield writer


def is_alike(db: Connection) -> bool:
    return rows(db, "select * from t order by id") == rows(
        db, "select id, note, upper(note) from t order by id"
    )


@MOSTLY_HERE
def test_a_writer_with_no_patience_waits_for_nobody(run: Callable, db: Connection, made: Connection) -> None:
    """Neither for a row of the other table, nor for the table itself, as while an index of it is built."""
    made.execute("set lock_timeout = '1ms'; set search_path = nowhere")
    schema = scalar(db, "select nspname from pg_namespace where nspname like 'homeops_new_%'")
    for lock in (f"select from {schema}.t for update", f"lock table {schema}.t in share mode"):
        db.execute(f"begin; {lock}".encode())
        made.execute("update public.t set note = note || '.' where id < 4; delete from public.t where id = 5")
        made.execute("insert into public.t values (5, 'again')")
        db.execute("rollback")
    db.execute(f"begin; lock table {schema}.t in share mode".encode())
    made.execute("set lock_timeout = 0; truncate public.t; set lock_timeout = '1ms'")
    made.execute("insert into public.t values (1, 'one'), (30, 'thirty')")
    db.execute("rollback")
    run(LABEL.switch)
    assert rows(db, "select * from t order by id") == [(1, "one", "ONE"), (30, "thirty", "THIRTY")]


@MOSTLY_HERE
def test_the_drain_waits_for_a_row_with_no_lock_of_its_own(
    run: Callable, db: Connection, made: Connection
) -> None:
    schema = scalar(db, "select nspname from pg_namespace where nspname like 'homeops_new_%'")
    db.execute(f"begin; lock table {schema}.t in share mode".encode())
    made.execute("set lock_timeout = '1ms'; update t set note = 'x' where id < 10")
    db.execute("rollback; begin; delete from t where id = 7")
    made.execute("set lock_timeout = 0")
    with (
        online.policy(give_up_after="100ms"),
        pytest.raises(LockTimeoutError, match=r"Rows of public\.t are locked"),
    ):
        run(LABEL.switch)

    def go_on() -> None:
        """Somebody else gets all the others at once."""
        made.execute("begin; select from t where id <> 7 for update nowait; commit")
        db.execute("commit")

    with at("drain held back", go_on):
        run(LABEL.switch)
    assert scalar(db, "select count(*) from t") == 19
    assert is_alike(db)


@MOSTLY_HERE
def test_a_formula_may_fail_in_any_way(run: Callable, db: Connection, any_url: URL) -> None:
    db.prepare_threshold = None
    db.execute(SMALL)
    db.execute(
        "create function odd(text) returns text immutable language plpgsql as "
        "$$ begin assert $1 <> 'never'; return $1; end $$"
    )
    change = replace(LABEL, transform={"label": "odd(note)"})
    run(change.expand)
    db.execute("update t set note = 'never' where id = 3")
    db.execute("update t set note = note || '.' ")
    db.execute("update t set note = 'never' where id = 4")
    with pytest.raises(ViolationError, match='"id": 4}: assertion failed'):
        run(change.switch)
    db.execute("update t set note = 'else' where id = 4")
    run(change.switch)
    assert scalar(db, "select count(*) from t where label = note") == 20


@MOSTLY_HERE
def test_a_session_s_settings_change_nothing(run: Callable, db: Connection, any_url: URL) -> None:
    """And a key may be called as a variable of PL/pgSQL is."""
    db.prepare_threshold = None
    db.execute("create table t (found int, tg_op int, amount float8, primary key (found, tg_op))")
    db.execute("insert into t select n, n, n / 7.0 from generate_series(1, 20) n")
    change = replace(LABEL, transform={"label": "amount::text"})
    run(change.expand)
    with connect(any_url, options=PATIENT) as writer:
        writer.execute("set extra_float_digits = -10; set row_security = off")
        writer.execute("update public.t set amount = found / 3.0::float8, tg_op = 5 where found < 7")
    run(change.switch)
    assert scalar(db, "select count(*) from t where label = amount::text") == 20


@MOSTLY_HERE
def test_rows_are_written_by_the_name_of_another_table(run: Callable, db: Connection, any_url: URL) -> None:
    db.prepare_threshold = None
    db.execute("create table above (id int, note text)")
    db.execute(SMALL)
    db.execute("alter table t alter id set not null, inherit above")
    run(LABEL.expand)
    db.execute("update above set note = 'by its parent' where id < 5; delete from above where id = 9")
    run(LABEL.switch)
    assert is_alike(db)
    assert scalar(db, "select count(*) from above") == 19


@MOSTLY_HERE
def test_what_another_row_needed_goes_though_its_twin_stays_behind(
    run: Callable, db: Connection, any_url: URL
) -> None:
    """The row can't be held, so its twin would still refer to what it referred to before."""
    db.prepare_threshold = None
    db.execute("create table other (id int primary key); insert into other select generate_series(1, 20)")
    db.execute(SMALL)
    db.execute(
        "alter table t add o int; update t set o = id; alter table t add foreign key (o) references other"
    )
    change = online.Restructure(
        "t", columns=(..., sa.Column("note", sa.String(9))), transform={"note": "note"}, back={"note": "note"}
    )
    run(change.expand)
    db.execute(
        "update t set note = 'much too long for that', o = null where id = 3; delete from other where id = 3"
    )
    with pytest.raises(ViolationError, match='"id": 3}'):
        run(change.switch)
    db.execute("update t set note = 'short' where id = 3")
    run(change.switch)
    assert rows(db, "select note, o from t where id = 3") == [("short", None)]


@MOSTLY_HERE
def test_a_switch_that_was_killed_while_keys_were_written_down_goes_on(
    run: Callable, db: Connection, made: Connection
) -> None:
    """Else every writer would go on writing down keys, and the next switch would never find none."""
    is_noting = (
        "select bool_or(prosrc not like '%refresh%') from pg_proc where proname ~ '^restructure_' "
        "and pronamespace = 'migrations'::regnamespace"
    )
    db.execute("create index late on t (note)")

    def kill() -> None:
        assert scalar(db, is_noting)
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and pid <> all(%s)",
            ([db.info.backend_pid, made.info.backend_pid],),
        )

    with at("make index: done", kill), pytest.raises((OperationalError, sa.exc.DBAPIError)):
        run(LABEL.switch)
    made.execute("update t set note = 'noted' where id = 4")
    carried = "update t set note = 'carried' where id = 5"
    with at("restructure: proven", lambda: made.execute(carried), number=None):
        run(LABEL.switch)
    assert is_alike(db)
    assert not scalar(db, is_noting)
