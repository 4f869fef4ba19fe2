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
from homeops_db.errors import HomeOpsError, ObjectError, UnsafeError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.online.columns import MOSTLY_HERE, described, files, psql, script_of
from tests.online.conftest import revision


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

HURTING = {
    "volatile": (lambda: sa.Column("n", sa.Uuid, server_default=sa.func.gen_random_uuid()), "server_default=…"),
    "clock_timestamp()": (
        lambda: sa.Column("n", sa.DateTime, server_default=sa.func.clock_timestamp()),
        "server_default=…",
    ),
    "nextval": (lambda: sa.Column("n", sa.Integer, server_default=sa.text("nextval('numbers')")), "in batches"),
    "serial": (lambda: sa.Column("n", Named("serial")), "in batches"),
    "identity": (lambda: sa.Column("n", sa.Integer, sa.Identity()), "identity"),
    "generated": (lambda: sa.Column("n", sa.Integer, sa.Computed("a + 1", persisted=True)), "trigger"),
    "constrained domain": (lambda: sa.Column("n", Named("bounded")), "create_check_constraint"),
    "domain with default": (
        lambda: sa.Column("n", Named("bounded"), server_default="3"),
        "create_check_constraint",
    ),
    "not null": (lambda: sa.Column("n", sa.Integer, nullable=False), "nullable=False"),
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
        with pytest.raises(UnsafeError), revision(empty_url):
            online.add_column("h", sa.Column("u", sa.Uuid, server_default=sa.func.gen_random_uuid()))
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


@pytest.mark.parametrize("kind", ["now()", "percent", "enum", "comment"])
@MOSTLY_HERE
def test_script(db: Connection, any_url: URL, kind: str) -> None:
    db.execute(SETUP)
    script = script_of(online.add_column, "t", INSTANT[kind](), schema="public")
    assert psql(any_url, script) == ""
    written = described(db, "t", "n")
    db.execute("alter table t drop column n")
    with revision(any_url):
        online.add_column("t", INSTANT[kind]())
    assert described(db, "t", "n") == written


@pytest.mark.parametrize(
    "kind", ["volatile", "serial", "identity", "generated", "constrained domain", "not null"]
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
