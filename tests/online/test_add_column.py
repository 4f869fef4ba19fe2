"""online.add_column: what is instant is done, what isn't is refused with the steps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command, op
from psycopg import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import HomeOpsError, ObjectError, RevisionFailedError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.online.columns import MOSTLY_HERE, described, files, psql, script_of
from tests.online.conftest import revision
from tests.online.filling import nobody_else_counts  # noqa: F401 - a fixture
from tests.online.meanwhile import at


class Named(sa.types.UserDefinedType):
    """A type by its name in SQL."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


SETUP = """
    create domain bounded as int check (value > 0);
    create domain plain as int;
    create type mood as enum ('good', 'bad');
    create sequence numbers;
    create table t (id int primary key, a int, b text);
    create index on t (a) where b > '';
    insert into t select n, n from generate_series(1, 10) n;
"""

INSTANT = {
    "no default": lambda: sa.Column("n", sa.Integer),
    "constant": lambda: sa.Column("n", sa.Integer, server_default="5"),
    "constant, not null": lambda: sa.Column("n", sa.Integer, server_default="5", nullable=False),
    "now()": lambda: sa.Column("n", sa.DateTime(timezone=True), server_default=sa.func.now()),
    "percent": lambda: sa.Column("n", sa.Text, server_default="50 % of :b"),
    "unconstrained domain": lambda: sa.Column("n", Named("plain")),
    "enum": lambda: sa.Column("n", postgresql.ENUM(name="mood", create_type=False), server_default="good"),
    "boolean": lambda: sa.Column("n", sa.Boolean, server_default=sa.false(), nullable=False),
    "json": lambda: sa.Column("n", postgresql.JSONB, server_default=sa.text("'{\"a\": true}'::jsonb")),
    "array": lambda: sa.Column("n", postgresql.ARRAY(sa.Integer), server_default="{}"),
    "collation": lambda: sa.Column("n", sa.String(20, collation="C")),
    "comment": lambda: sa.Column("n", sa.Integer, comment="it's a comment; 100 %"),
}

IMPORTS = "import sqlalchemy as sa; from homeops_db import online"
SMALL = {"batch_rows": 3, "min_batch_rows": 1, "max_batch_rows": 3}


class BrokenOffError(Exception):
    """A fault."""


def break_off() -> None:
    raise BrokenOffError


def values(db: Connection) -> dict[int, object]:
    """The new column by key."""
    return dict(db.execute("select id, n from t order by id").fetchall())


def leftovers(db: Connection) -> list[tuple]:
    """Constraints and tables that no author wrote."""
    return db.execute(
        "select conname from pg_constraint where conname like 'homeops%'"
        " union all select relname from pg_class where relname like 'homeops%'"
    ).fetchall()


HURTING = {
    "serial": (lambda: sa.Column("n", Named("serial")), "nextval('…')"),
    "identity": (lambda: sa.Column("n", sa.Integer, sa.Identity()), "nextval('…')"),
    "generated": (lambda: sa.Column("n", sa.Integer, sa.Computed("a + 1", persisted=True)), 'online.backfill("t", {"n": "…"}'),
    "constrained domain": (lambda: sa.Column("n", Named("bounded")), "create_check_constraint"),
    "domain with default": (
        lambda: sa.Column("n", Named("bounded"), server_default="3"),
        "create_check_constraint",
    ),
    "domain with volatile default": (
        lambda: sa.Column("n", Named("bounded"), server_default=sa.text("nextval('numbers')")),
        "create_check_constraint",
    ),
    "not null": (lambda: sa.Column("n", sa.Integer, nullable=False), "online.backfill"),
    "check": (lambda: sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0")), "create_check_constraint"),
    "foreign key": (lambda: sa.Column("n", sa.Integer, sa.ForeignKey("t.id")), "create_foreign_key"),
    "unique": (lambda: sa.Column("n", sa.Integer, unique=True), "create_unique_constraint"),
    "index": (lambda: sa.Column("n", sa.Integer, index=True), "create_index"),
    "primary key": (lambda: sa.Column("n", sa.Integer, primary_key=True), "create_unique_constraint"),
    "enum with check": (
        lambda: sa.Column("n", sa.Enum("a", native_enum=False, create_constraint=True)),
        "create_check_constraint",
    ),
}  # fmt: skip

VOLATILE = {
    "uuid": lambda: sa.Column("n", sa.Uuid, server_default=sa.func.gen_random_uuid()),
    "uuid, not null": lambda: sa.Column("n", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False),
    "nextval": lambda: sa.Column("n", sa.Integer, server_default=sa.text("nextval('numbers')"), nullable=False),
    "clock_timestamp()": lambda: sa.Column("n", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp()),
    "text": lambda: sa.Column("n", sa.Text, server_default=sa.text("'50 % \\:b ' || random()"), comment="it's 100 %"),
    "domain": lambda: sa.Column("n", Named("plain"), server_default=sa.text("nextval('numbers')")),
}  # fmt: skip
"""Defaults that are another value in every row."""

SOME_VOLATILE = [
    kind if kind == "uuid, not null" else pytest.param(kind, marks=pytest.mark.slow) for kind in VOLATILE
]


@pytest.mark.parametrize("kind", INSTANT)
@MOSTLY_HERE
def test_instant(run: Callable, db: Connection, any_url: URL, kind: str) -> None:
    db.execute(SETUP)
    before = files(db, "t")
    assert run(online.add_column, "t", INSTANT[kind]()).changed
    assert files(db, "t") == before, "it rewrote the table or an index"
    assert not run(online.add_column, "t", INSTANT[kind]()).changed
    ours = described(db, "t", "n")
    db.execute("alter table t drop column n")
    with revision(any_url):
        op.add_column("t", INSTANT[kind]())
    assert described(db, "t", "n") == ours


@pytest.mark.parametrize("kind", SOME_VOLATILE)
@MOSTLY_HERE
def test_volatile(run: Callable, db: Connection, any_url: URL, kind: str) -> None:
    db.execute(SETUP)
    before = files(db, "t")
    assert run(online.add_column, "t", VOLATILE[kind]()).changed
    assert files(db, "t") == before, "it rewrote the table or an index"
    db.execute("insert into t (id) values (11)")
    was = values(db)
    assert None not in was.values()
    assert len(set(was.values())) > 5, "the clock may stand still for two rows"
    assert leftovers(db) == []
    assert not run(online.add_column, "t", VOLATILE[kind]()).changed
    assert values(db) == was
    ours = described(db, "t", "n")
    db.execute("alter table t drop column n")
    with revision(any_url):
        op.add_column("t", VOLATILE[kind]())
    assert described(db, "t", "n") == ours


@MOSTLY_HERE
def test_what_others_write_meanwhile(run: Callable, db: Connection) -> None:
    db.execute(SETUP)
    db.execute("alter table t add marked text")

    def write() -> None:
        db.execute("insert into t (id) values (11); insert into t (id, n) values (12, 1200), (13, null)")
        db.execute("update t set n = 500, marked = 'theirs' where id = 5; delete from t where id = 6")

    with at("add_column: add: committed", write), online.pace(**SMALL):
        run(online.add_column, "t", VOLATILE["nextval"]())
    found = values(db)
    assert (found[12], found[5]) == (1200, 500), "what others write stays"
    assert sorted(found) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13]
    assert len(set(found.values())) == len(found)
    assert None not in found.values(), "a NULL of others is filled before NOT NULL is set"


@MOSTLY_HERE
def test_a_column_that_somebody_else_added_is_left_alone(run: Callable, db: Connection) -> None:
    db.execute(f"{SETUP}; alter table t add n uuid; alter table t alter n set default gen_random_uuid()")
    assert not run(online.add_column, "t", VOLATILE["uuid"]()).changed
    assert set(values(db).values()) == {None}
    with pytest.raises(ObjectError, match="already, and it is another one"):
        run(online.add_column, "t", VOLATILE["uuid, not null"]())


@MOSTLY_HERE
def test_a_default_that_gives_null(run: Callable, db: Connection) -> None:
    db.execute(SETUP)
    never = sa.text("nullif(random() * 0, 0)")
    added = run(online.add_column, "t", sa.Column("n", sa.Float, server_default=never))
    assert added.changed
    assert set(values(db).values()) == {None}
    with pytest.raises(ViolationError, match="10 rows") as refused:
        run(online.add_column, "t", sa.Column("m", sa.Float, server_default=never, nullable=False))
    assert "id=1;" in str(refused.value)


@MOSTLY_HERE
def test_a_default_that_fails(run: Callable, db: Connection) -> None:
    db.execute(SETUP)
    fails = sa.Column("n", sa.Float, server_default=sa.text("1 / floor(random())"))
    with pytest.raises(ViolationError, match=r"can't be done: id = \d+: division by zero"):
        run(online.add_column, "t", fails)
    assert set(values(db).values()) == {None}


@MOSTLY_HERE
def test_what_could_not_be_filled_is_not_added(run: Callable, db: Connection) -> None:
    db.execute("create table u (a int); create publication everything for table u")
    with pytest.raises(UnsafeError, match=r"Publication everything .* Nothing was changed"):
        run(online.add_column, "u", VOLATILE["uuid"]())
    assert described(db, "u", "n") is None


@MOSTLY_HERE
def test_volatile_on_partitions_and_children(run: Callable, db: Connection) -> None:
    db.execute("""
        create table p (a int, b int generated always as (a * 2) stored) partition by list (a);
        create table p1 partition of p for values in (1); create table p2 partition of p default;
        insert into p values (1), (2), (1);
    """)
    run(online.add_column, "p", VOLATILE["uuid, not null"]())
    assert db.execute("select count(distinct n) from p").fetchone() == (3,)
    db.execute(
        "create table i (a int); create table c () inherits (i); insert into i values (1); insert into c values (2)"
    )
    run(online.add_column, "i", VOLATILE["uuid, not null"]())
    assert db.execute("select count(distinct n) from i").fetchone() == (2,)


BROKEN_OFF = {"add: committed": (0, 0), "batch: done": (1, 999), "set: committed": (1000, 1000)}
"""Where it is broken off, and how many rows have their values by then, at least and at most; tests/faults has all."""


@pytest.mark.parametrize(
    "point",
    [point if "batch" in point else pytest.param(point, marks=pytest.mark.slow) for point in BROKEN_OFF],
)
def test_broken_off_it_goes_on_and_rows_keep_their_values(toy: Toy, empty_url: URL, point: str) -> None:
    toy.add(
        "v1.1.0",
        'op.execute("create table t (id int primary key); insert into t select generate_series(1, 1000)")',
    )
    toy.add("v1.2.0", f"""
        {IMPORTS}
        with online.pace(batch_rows=100, min_batch_rows=100, max_batch_rows=100, max_dead_share=0):
            online.add_column("t", sa.Column("n", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False))
    """)  # fmt: skip
    with pytest.raises(RevisionFailedError, match="BrokenOff"), at(point, break_off):
        command.upgrade(toy.config(empty_url), "v1.2.0")
    with connect(empty_url) as db:
        was = {key: value for key, value in values(db).items() if value}
        least, most = BROKEN_OFF[point]
        assert least <= len(was) <= most
        command.upgrade(toy.config(empty_url), "v1.2.0")
        found = values(db)
        assert len(set(found.values()) - {None}) == 1000
        assert was.items() <= found.items(), "a row got another value"
        assert described(db, "t", "n")["is_not_null"]


LATER = """
    {imports}
    online.add_column("t", sa.Column("n", sa.Uuid, server_default=sa.func.gen_random_uuid()))
    online.alter_column("t", "n", server_default=None)
    if not os.path.exists({go!r}):
        raise RuntimeError("not yet")
"""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("update t set n = null where id = 1", marks=pytest.mark.slow),
        "alter table t drop column n",
    ],
)
def test_when_it_was_filled_and_the_revision_failed_later(
    toy: Toy, empty_url: URL, tmp_path: Path, change: str
) -> None:
    """A NULL that somebody wrote since is theirs; a column that was dropped by hand is added and filled anew."""
    go = tmp_path / "go"
    toy.add(
        "v1.1.0",
        'op.execute("create table t (id int primary key); insert into t select generate_series(1, 9)")',
    )
    toy.add("v1.2.0", LATER.format(imports=IMPORTS, go=str(go)))
    with pytest.raises(HomeOpsError, match="not yet"):
        command.upgrade(toy.config(empty_url), "v1.2.0")
    go.touch()
    with connect(empty_url) as db:
        db.execute(change)
        with at("nothing", break_off) as passed:
            command.upgrade(toy.config(empty_url), "v1.2.0")
        assert "add_column: default: committed" not in passed, "a later step has dropped it"
        is_theirs = "null" in change
        assert [value for value in values(db).values() if value is None] == [None] * is_theirs
        assert ("backfill: begun" in passed) is not is_theirs


@pytest.mark.parametrize("kind", HURTING)
@MOSTLY_HERE
def test_hurting(run: Callable, db: Connection, kind: str) -> None:
    db.execute(SETUP)
    column, advice = HURTING[kind]
    with pytest.raises(UnsafeError, match="Nothing was changed") as refused:
        run(online.add_column, "t", column())
    assert advice in str(refused.value)
    assert "\n" not in str(refused.value)
    assert described(db, "t", "n") is None


@pytest.mark.parametrize(
    "other",
    [
        "n bigint",
        "n int not null default 0",
        "n int default 6",
        "n int generated always as (5) stored",
        "n text",
    ],
)
@MOSTLY_HERE
def test_another_column(run: Callable, db: Connection, other: str) -> None:
    db.execute(f"{SETUP}; alter table t add {other}")
    with pytest.raises(ObjectError, match="already, and it is another one"):
        run(online.add_column, "t", sa.Column("n", sa.Integer, server_default="5"))


@MOSTLY_HERE
def test_another_collation(run: Callable, db: Connection) -> None:
    db.execute("""create table t (n text collate "C")""")
    with pytest.raises(ObjectError, match="collation"):
        run(online.add_column, "t", sa.Column("n", sa.Text))


@pytest.mark.parametrize("kind", ["identity", "generated"])
@MOSTLY_HERE
def test_what_would_rewrite_is_left_alone_when_it_is_there(run: Callable, db: Connection, kind: str) -> None:
    kinds = {
        "identity": "generated by default as identity",
        "generated": "generated always as (a + 1) stored",
    }
    db.execute(f"{SETUP}; alter table t add n int {kinds[kind]}")
    assert not run(online.add_column, "t", HURTING[kind][0]()).changed


@MOSTLY_HERE
def test_comment_of_an_old_column_is_set(run: Callable, db: Connection) -> None:
    db.execute("create table t (n int)")
    assert run(online.add_column, "t", sa.Column("n", sa.Integer, comment="hello")).changed
    assert described(db, "t", "n")["comment"] == "hello"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (sa.Column("n", Named("nothing.like_it")), "does not exist"),
        (sa.Column("n", sa.Integer, server_default="abc"), "abc"),
        (sa.Column("n", sa.Integer, server_default=sa.text("a")), "column reference"),
        (sa.Column("x" * 64, sa.Integer), "64 bytes"),
        (sa.Column("ä" * 32, sa.Integer), "64 bytes"),
    ],
)
@MOSTLY_HERE
def test_bad_input(run: Callable, db: Connection, column: sa.Column, said: str) -> None:
    db.execute("create table t (a int)")
    with pytest.raises(ObjectError, match=said) as refused:
        run(online.add_column, "t", column)
    assert "Nothing was changed" in str(refused.value)


@MOSTLY_HERE
def test_no_such_table(run: Callable, db: Connection) -> None:
    with pytest.raises(ObjectError, match=r"core\.nothing doesn't exist"):
        run(online.add_column, "nothing", sa.Column("n", sa.Integer), schema="core")


@MOSTLY_HERE
def test_too_many_columns(run: Callable, db: Connection) -> None:
    db.execute(f"create table t ({', '.join(f'c{n} int' for n in range(1600))})")
    db.execute("alter table t drop c7")
    with pytest.raises(ObjectError, match="1600"):
        run(online.add_column, "t", sa.Column("n", sa.Integer))


@MOSTLY_HERE
def test_another_owner(db: Connection, any_url: URL) -> None:
    db.execute("create table t (a int); drop role if exists homeops_test_stranger")
    db.execute(
        "create role homeops_test_stranger login; grant usage on schema public to homeops_test_stranger"
    )
    try:
        with (
            pytest.raises(ObjectError, match="belongs to role"),
            revision(any_url.set(username="homeops_test_stranger")),
        ):
            online.add_column("t", sa.Column("n", sa.Integer))
    finally:
        db.execute("drop owned by homeops_test_stranger")
        db.execute("drop role homeops_test_stranger")


HOSTILE = "x\"; drop table victim; --'\n%s {} :a"


@MOSTLY_HERE
def test_hostile_names(run: Callable, db: Connection) -> None:
    quoted = HOSTILE.replace('"', '""')
    db.execute(
        f'create schema "s{quoted}"; create table victim (a int); create table "s{quoted}"."t{quoted}" (a int)'
    )
    column = sa.Column(f"n{HOSTILE}", sa.Integer, server_default="1", comment=HOSTILE)
    assert run(online.add_column, f"t{HOSTILE}", column, schema=f"s{HOSTILE}").changed
    assert not run(online.add_column, f"t{HOSTILE}", column, schema=f"s{HOSTILE}").changed
    assert db.execute("select to_regclass('victim')").fetchone() != (None,)
    assert run(
        online.alter_column, f"t{HOSTILE}", f"n{HOSTILE}", schema=f"s{HOSTILE}", nullable=False
    ).changed
    assert run(online.drop_column, f"t{HOSTILE}", f"n{HOSTILE}", schema=f"s{HOSTILE}").changed


@MOSTLY_HERE
def test_partitions(run: Callable, db: Connection) -> None:
    db.execute(
        "create table p (a int) partition by list (a); create table p1 partition of p for values in (1)"
    )
    with pytest.raises(ObjectError, match=r"partition of public\.p"):
        run(online.add_column, "p1", sa.Column("n", sa.Integer))
    assert run(online.add_column, "p", sa.Column("n", sa.Integer, server_default="1")).changed
    assert described(db, "p1", "n")["default"] == "1"


@MOSTLY_HERE
def test_children_are_locked_too(run: Callable, db: Connection) -> None:
    db.execute("create table p (a int); create table c () inherits (p)")
    db.execute("begin; lock table c in access share mode")
    with online.policy(give_up_after="100ms"), pytest.raises(HomeOpsError, match=r"public\.c"):
        run(online.add_column, "p", sa.Column("n", sa.Integer))
    db.execute("commit")
    assert run(online.add_column, "p", sa.Column("n", sa.Integer)).changed
    assert described(db, "c", "n") is not None


@MOSTLY_HERE
def test_row_type_in_use(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int); create table u (whole t)")
    with pytest.raises(UnsafeError, match="whole of u"):
        run(online.add_column, "t", sa.Column("n", sa.Integer, server_default="1"))
    assert run(online.add_column, "t", sa.Column("n", sa.Integer)).changed


@MOSTLY_HERE
def test_without_counted_scans_nothing_is_judged(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(f"create table t (a int); alter database {any_url.database} set track_counts = off")
    with pytest.raises(UnsafeError, match="track_counts"):
        run(online.add_column, "t", sa.Column("n", sa.Integer))


def test_hypertable(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb; create table h (at timestamptz not null, v int)")
        db.execute("select create_hypertable('h', 'at')")
        db.execute("insert into h values (now(), 1), (now() - interval '30 days', 2)")
        with revision(empty_url):
            assert online.add_column("h", sa.Column("n", sa.Integer, server_default="5")).changed
        assert db.execute("select n from h").fetchall() == [(5,), (5,)]
        with revision(empty_url):
            added = online.add_column(
                "h", sa.Column("u", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False)
            )
        assert added.changed
        assert db.execute("select count(distinct u) from h").fetchone() == (2,)
        with revision(empty_url):
            assert online.alter_column("h", "n", nullable=False).changed


def test_later_steps_of_a_revision_that_failed(toy: Toy, empty_url: URL, tmp_path: Path) -> None:
    go = tmp_path / "go"
    toy.add(
        "v1.1.0",
        f"""
        import sqlalchemy as sa
        from homeops_db import online
        online.add_column("t1", sa.Column("n", sa.Integer), schema="public")
        online.alter_column("t1", "n", schema="public", server_default="7", nullable=False)
        if not os.path.exists({str(go)!r}):
            raise RuntimeError("not yet")
        """,
    )
    with pytest.raises(HomeOpsError, match="not yet"):
        command.upgrade(toy.config(empty_url), "v1.1.0")
    go.touch()
    command.upgrade(toy.config(empty_url), "v1.1.0")
    with connect(empty_url) as db:
        assert described(db, "t1", "n")["default"] == "7"


@pytest.mark.parametrize(
    "kind",
    ["now()", "percent", "enum", "comment", *SOME_VOLATILE],
)
@MOSTLY_HERE
def test_script(db: Connection, any_url: URL, kind: str) -> None:
    db.execute(SETUP)
    before = files(db, "t")
    make = {**INSTANT, **VOLATILE}[kind]
    said = psql(any_url, script_of(online.add_column, "t", make(), schema="public"))
    assert ("10 rows done" in said) == (kind in VOLATILE)
    assert files(db, "t") == before
    written = described(db, "t", "n")
    if kind in VOLATILE:
        assert None not in values(db).values()
        assert len(set(values(db).values())) > 5
        assert leftovers(db) == []
    db.execute("alter table t drop column n")
    with revision(any_url):
        online.add_column("t", make())
    assert described(db, "t", "n") == written


@pytest.mark.parametrize(
    "kind",
    ["serial", "identity", "generated", "constrained domain", "domain with volatile default", "not null"],
)
@MOSTLY_HERE
def test_script_refuses(db: Connection, any_url: URL, kind: str) -> None:
    db.execute(SETUP)
    script = script_of(online.add_column, "t", HURTING[kind][0](), schema="public")
    assert "rewrites or reads the whole table" in psql(any_url, script, fails=True)
    assert described(db, "t", "n") is None


@MOSTLY_HERE
def test_script_with_hostile_names(db: Connection, any_url: URL) -> None:
    quoted = (HOSTILE + "$homeops$").replace('"', '""')
    db.execute(f'create table victim (a int); create table "t{quoted}" (a int)')
    named = HOSTILE + "$homeops$"
    column = sa.Column(f"n{named}", sa.Integer, server_default="1")
    for script in (
        script_of(online.add_column, f"t{named}", column),
        script_of(
            online.alter_column, f"t{named}", f"n{named}", nullable=False, type_=sa.Integer, comment="x"
        ),
        script_of(online.drop_column, f"t{named}", f"n{named}"),
    ):
        psql(any_url, script)
    assert db.execute("select to_regclass('victim')").fetchone() != (None,)


@MOSTLY_HERE
def test_lock_is_given_up(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int)")
    db.execute("begin; select * from t")
    with online.policy(give_up_after="100ms"), pytest.raises(HomeOpsError, match="Gave up"):
        run(online.add_column, "t", sa.Column("n", sa.Integer))
    db.execute("rollback")
    assert described(db, "t", "n") is None


@MOSTLY_HERE
def test_the_clone_leaves_nothing(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int)")
    run(online.add_column, "t", sa.Column("n", sa.Integer))
    assert db.execute("select count(*) from pg_class where relname = 'homeops_clone'").fetchone() == (0,)
