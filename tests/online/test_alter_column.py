"""online.alter_column: types that rewrite nothing, defaults, comments; NOT NULL is in test_not_null."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command, op
from psycopg import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import HomeOpsError, ObjectError, UnsafeError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE, constraints, described, files, psql, script_of
from tests.online.conftest import revision

LOCALLY = pytest.mark.parametrize("any_url", ["local server"], indirect=True)

TABLE = """
    create table t (
        id int primary key, v varchar(10), x text, n numeric(10, 2), i int, d double precision, j json, at timestamp,
        checked varchar(10) check (length(checked) > 1), indexed varchar(10), unique_one varchar(10) unique,
        in_predicate varchar(10), in_expression varchar(10), counted varchar(10), address cidr
    );
    create index on t (indexed); create index on t (id) where in_predicate > 'a';
    create index on t (lower(in_expression)); create statistics st on counted, id from t;
    insert into t (id, v, x, checked) select n, n, n, 'ab' || n from generate_series(1, 10) n;
    analyze t;
"""

AS_THEY_ARE = {
    "varchar wider": ("v", sa.String(20)),
    "varchar without a limit": ("v", sa.String()),
    "varchar to text": ("v", sa.Text()),
    "text to varchar": ("x", sa.String()),
    "numeric wider": ("n", sa.Numeric(12, 2)),
    "numeric without a limit": ("n", sa.Numeric()),
    "indexed, wider": ("indexed", sa.String(20)),
    "indexed, to text": ("indexed", sa.Text()),
    "unique, wider": ("unique_one", sa.String(20)),
    "in statistics": ("counted", sa.String(20)),
    "another collation": ("v", sa.String(10, collation="C")),
    "cidr to inet": ("address", postgresql.INET()),
}

HURTING = {
    "int to bigint": ("i", sa.BigInteger(), "rewrites the whole table"),
    "double to numeric": ("d", sa.Numeric(), "rewrites"),
    "varchar narrower": ("v", sa.String(5), "rewrites"),
    "text to varchar(n)": ("x", sa.String(20), "rewrites"),
    "numeric scale": ("n", sa.Numeric(12, 3), "rewrites"),
    "numeric narrower": ("n", sa.Numeric(8, 2), "rewrites"),
    "json to jsonb": ("j", postgresql.JSONB(), "rewrites"),
    "timestamp precision": ("at", postgresql.TIMESTAMP(precision=3), "rewrites"),
    "with a check": ("checked", sa.String(20), "reads the whole table"),
    "in an index predicate": ("in_predicate", sa.String(20), "builds 1 of its indexes anew"),
    "in an index expression": ("in_expression", sa.String(20), "builds 1 of its indexes anew"),
    "indexed, another collation": ("indexed", sa.String(10, collation="C"), "builds 1 of its indexes anew"),
}


@pytest.mark.parametrize("kind", AS_THEY_ARE)
@MOSTLY_HERE
def test_type_that_rewrites_nothing(run: Callable, db: Connection, any_url: URL, kind: str) -> None:
    column, type_ = AS_THEY_ARE[kind]
    db.execute(TABLE)
    before = files(db, "t")
    assert run(online.alter_column, "t", column, type_=type_).changed
    assert files(db, "t") == before
    assert not run(online.alter_column, "t", column, type_=type_).changed
    ours = described(db, "t", column)
    db.execute("drop table t")
    db.execute(TABLE)
    with revision(any_url):
        op.alter_column("t", column, type_=type_)
    assert described(db, "t", column) == ours


@pytest.mark.parametrize("kind", HURTING)
@MOSTLY_HERE
def test_type_that_hurts(run: Callable, db: Connection, kind: str) -> None:
    column, type_, said = HURTING[kind]
    db.execute(TABLE)
    before = described(db, "t", column)
    with pytest.raises(UnsafeError, match=f"{said}.*Nothing was changed.*online.TypeChange"):
        run(online.alter_column, "t", column, type_=type_, comment="not alone either")
    assert described(db, "t", column) == before


@MOSTLY_HERE
def test_not_valid_check_is_no_scan(run: Callable, db: Connection) -> None:
    """LIKE makes it valid on the clone: taken over as it is, it would be a false alarm."""
    db.execute(f"{TABLE}; alter table t add check (length(v) > 100) not valid")
    assert run(online.alter_column, "t", "v", type_=sa.String(20)).changed


@MOSTLY_HERE
def test_equal_type_builds_no_index_anew(run: Callable, db: Connection) -> None:
    """A plain ALTER TYPE to the same type builds indexes anew whose predicate has the column."""
    db.execute(TABLE)
    before = files(db, "t")
    assert not run(online.alter_column, "t", "in_predicate", type_=sa.String(10)).changed
    assert files(db, "t") == before


@pytest.mark.parametrize("child", ["check (length(v) > 0)", "primary key (v)"])
@MOSTLY_HERE
def test_children_are_asked_too(run: Callable, db: Connection, child: str) -> None:
    db.execute("create table p (a int, v varchar(10)) partition by list (a)")
    db.execute("create table p1 partition of p for values in (1)")
    db.execute("create table p2 partition of p for values in (2)")
    assert run(online.alter_column, "p", "v", type_=sa.String(20)).changed
    assert described(db, "p2", "v")["type"] == "character varying(20)"
    db.execute("alter table p2 add check (length(v) > 0)")
    with pytest.raises(UnsafeError, match=r"reads the whole table \(public\.p2\)"):
        run(online.alter_column, "p", "v", type_=sa.String(30))
    with pytest.raises(ObjectError, match=r"inherited from public\.p\."):
        run(online.alter_column, "p1", "v", type_=sa.String(30))
    with pytest.raises(ObjectError, match="partition key"):
        run(online.alter_column, "p", "a", type_=sa.BigInteger)


DEPENDING = {
    "view": "create view w as select v from t",
    "rule": "create rule r as on update to t where new.v > '' do instead nothing",
    "policy": "create policy mine on t using (v > '')",
    "generated column": "alter table t add g text generated always as (v || '!') stored",
    "trigger": "create trigger tr before update of v on t for each row execute function suppress_redundant_updates_trigger()",
    "publication": "create publication pub_type for table t (id, v)",
    "function": "create function f() returns text language sql begin atomic select max(v) from t; end",
}


@pytest.mark.parametrize("kind", DEPENDING)
@MOSTLY_HERE
def test_what_depends_on_the_type(run: Callable, db: Connection, kind: str) -> None:
    db.execute(f"{TABLE}; {DEPENDING[kind]}")
    try:
        with pytest.raises(ObjectError, match=f"{kind}.*Nothing was changed.*TypeChange"):
            run(online.alter_column, "t", "v", type_=sa.String(20), comment="not alone either")
        assert described(db, "t", "v")["comment"] is None
    finally:
        db.execute("drop publication if exists pub_type")


@pytest.mark.parametrize("column", ["unique_one", "x"])
@MOSTLY_HERE
def test_foreign_keys_would_lock_both_tables(run: Callable, db: Connection, column: str) -> None:
    db.execute(
        f"{TABLE}; create table u (k varchar(10) references t (unique_one)); create table o (k text primary key)"
    )
    db.execute("update t set x = null; alter table t add foreign key (x) references o")
    with pytest.raises(UnsafeError, match=r"foreign key .* locks both tables"):
        run(online.alter_column, "t", column, type_=sa.String(), postgresql_using=None)


@MOSTLY_HERE
def test_row_type_in_use(run: Callable, db: Connection) -> None:
    db.execute("create table t (v varchar(10)); create table u (whole t[])")
    with pytest.raises(UnsafeError, match="whole of u"):
        run(online.alter_column, "t", "v", type_=sa.String(20))


def test_what_a_type_change_forgets_is_brought_back(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLE}; alter statistics st set statistics 77")
    db.execute("alter table t alter counted set storage external, alter counted set compression pglz")
    db.execute("insert into t (id, counted) select n, n from generate_series(11, 100) n; analyze t")
    assert run(online.alter_column, "t", "counted", type_=sa.Text).changed
    column = described(db, "t", "counted")
    assert (column["attstorage"], column["attcompression"]) == ("e", "p")
    assert db.execute("select stxstattarget from pg_statistic_ext").fetchone() == (77,)
    assert db.execute("select count(*) from pg_stats where attname = 'counted'").fetchone() == (1,)
    assert db.execute("select count(*) from pg_statistic_ext_data").fetchone() == (1,)


def test_statistics_come_back_after_a_crash(toy: Toy, empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute(TABLE)
    toy.add(
        "v1.1.0",
        """
        import sqlalchemy as sa
        from homeops_db import online
        online.alter_column("t", "v", schema="public", type_=sa.Text)
        """,
    )
    crashed: list[str] = []

    def crash(name: str) -> None:
        if name == "alter_column: alter: committed" and not crashed:
            crashed.append(name)
            raise RuntimeError("crash")

    with faults.injected(crash), connect(empty_url) as db:
        count = "select count(*) from pg_stats where attname = 'v'"
        with pytest.raises(HomeOpsError, match="crash"):
            command.upgrade(toy.config(empty_url), "v1.1.0")
        assert db.execute(count).fetchone() == (0,)
        command.upgrade(toy.config(empty_url), "v1.1.0")
        assert db.execute(count).fetchone() == (1,)


@MOSTLY_HERE
def test_default(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    for default, meant in (
        ("it's 5 %", "'it''s 5 %'::text"),
        (sa.text("'a' || 'b'"), "('a'::text || 'b'::text)"),
        (sa.func.gen_random_uuid(), "gen_random_uuid()"),
        (None, None),
    ):
        assert run(online.alter_column, "t", "x", server_default=default).changed
        assert described(db, "t", "x")["default"] == meant
        assert not run(online.alter_column, "t", "x", server_default=default).changed


@MOSTLY_HERE
def test_default_that_does_not_suit(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    with pytest.raises(ObjectError, match=r"abc.*Nothing was changed"):
        run(online.alter_column, "t", "i", server_default="abc")


@LOCALLY
def test_defaults_of_another_kind(run: Callable, db: Connection) -> None:
    db.execute(
        "create table t (i int generated always as identity, g int generated always as (1) stored, n int)"
    )
    with pytest.raises(UnsafeError, match=r"collide.*Nothing was changed"):
        run(online.alter_column, "t", "n", server_default=sa.Identity())
    with pytest.raises(UnsafeError, match=r"generated.*Nothing was changed"):
        run(online.alter_column, "t", "n", server_default=sa.Computed("1"))
    for column in ("i", "g"):
        with pytest.raises(ObjectError, match="has no default"):
            run(online.alter_column, "t", column, server_default=None)


@MOSTLY_HERE
def test_comment(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    db.execute("begin; update t set v = v")  # a writer isn't in the way
    assert run(online.alter_column, "t", "v", comment="it's; 50 %").changed
    db.execute("commit")
    assert described(db, "t", "v")["comment"] == "it's; 50 %"
    assert not run(online.alter_column, "t", "v", comment="it's; 50 %").changed
    assert run(online.alter_column, "t", "v", comment=None).changed
    assert not run(online.alter_column, "t", "v", comment=None).changed


def test_everything_in_one_call(run: Callable, db: Connection) -> None:
    """The new default may suit only the new type: the order matters."""
    db.execute(
        "create table t (id int primary key, a varchar(10) default 'x' not null, b timestamp default now())"
    )
    everything = {"type_": sa.Text(), "server_default": "longer than 10", "comment": "c", "nullable": False}
    db.execute("alter table t alter a drop not null")
    assert run(online.alter_column, "t", "a", **everything).changed
    assert not run(online.alter_column, "t", "a", **everything).changed
    column = described(db, "t", "a")
    assert (column["type"], column["default"], column["comment"], column["is_not_null"]) == (
        "text", "'longer than 10'::text", "c", True,
    )  # fmt: skip
    assert run(online.alter_column, "t", "a", nullable=True, server_default=None).changed
    assert not [name for name in constraints(db, "t") if "homeops" in name]


POINTS = [
    "announced",
    pytest.param("alter: before", marks=pytest.mark.slow),
    pytest.param("alter: inside", marks=pytest.mark.slow),
    "alter: committed",
    pytest.param("analyze: before", marks=pytest.mark.slow),
    pytest.param("analyze: done", marks=pytest.mark.slow),
    pytest.param("add: before", marks=pytest.mark.slow),
    pytest.param("add: committed", marks=pytest.mark.slow),
    "validate: committed",
    pytest.param("set: inside", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("point", POINTS)
@MOSTLY_HERE
def test_rerun_after_a_crash(run: Callable, db: Connection, point: str) -> None:
    everything = {"type_": sa.Text(), "server_default": "d", "comment": "c", "nullable": False}
    db.execute("create table t (a varchar(10)); insert into t values ('x')")
    crashed: list[str] = []

    def crash(name: str) -> None:
        if name == f"alter_column: {point}" and not crashed:
            crashed.append(name)
            raise KeyboardInterrupt

    with faults.injected(crash):
        if point.startswith("set") and db.info.server_version >= 180000:
            return  # there is no such step
        with pytest.raises(KeyboardInterrupt):
            run(online.alter_column, "t", "a", **everything)
        run(online.alter_column, "t", "a", **everything)
    assert not run(online.alter_column, "t", "a", **everything).changed
    assert not [name for name in constraints(db, "t") if "homeops" in name]
    column = described(db, "t", "a")
    assert (column["type"], column["default"], column["comment"], column["is_not_null"]) == (
        "text", "'d'::text", "c", True,
    )  # fmt: skip


@LOCALLY
def test_bad_input(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    with pytest.raises(ObjectError, match=r"public\.t has no column nothing\. Nothing"):
        run(online.alter_column, "t", "nothing", nullable=False)
    with pytest.raises(ObjectError, match="doesn't exist"):
        run(online.alter_column, "nothing", "v", nullable=False)
    with pytest.raises(ObjectError, match="64 bytes"):
        run(online.alter_column, "t", "x" * 64, nullable=False)
    with pytest.raises(UnsafeError, match=r"breaks the application.*online.add_column"):
        run(online.alter_column, "t", "v", new_column_name="w")
    with pytest.raises(UnsafeError, match="create_check_constraint"):
        run(online.alter_column, "t", "v", type_=sa.Enum("a", native_enum=False, create_constraint=True))
    with pytest.raises(ObjectError, match=r"cannot be cast.*Nothing was changed"):
        run(online.alter_column, "t", "v", type_=sa.Integer)
    assert not run(online.alter_column, "t", "v").changed


@MOSTLY_HERE
def test_locks_of_what_is_there_already(run: Callable, db: Connection) -> None:
    """Nothing to do takes no strong lock: a reader may sit on the table."""
    db.execute(TABLE)
    db.execute("alter table t alter v set not null, alter v set default 'a'")
    db.execute("begin; select * from t")
    with online.policy(give_up_after="200ms"):
        assert not run(
            online.alter_column, "t", "v", nullable=False, server_default="a", type_=sa.String(10)
        ).changed
    db.execute("commit")


@MOSTLY_HERE
@pytest.mark.parametrize("change", [{"nullable": True}, {"server_default": "b"}, {"type_": sa.Text()}])
def test_the_lock_is_asked_for_by_its_name(run: Callable, db: Connection, change: dict) -> None:
    """What a statement takes is taken by LOCK TABLE before: that is what looks first, and is watched."""
    db.execute(TABLE)
    db.execute("alter table t alter v set not null")
    db.execute("begin; select * from t")
    with online.policy(give_up_after="100ms"), pytest.raises(HomeOpsError, match=": ACCESS EXCLUSIVE on"):
        run(online.alter_column, "t", "v", **change)
    db.execute("commit")


def test_script(db: Connection, any_url: URL) -> None:
    db.execute(TABLE)
    everything = {"type_": sa.String(20), "server_default": "it's", "comment": "c; 5 %", "nullable": False}
    psql(any_url, script_of(online.alter_column, "t", "v", schema="public", **everything))
    written = described(db, "t", "v")
    db.execute("drop table t")
    db.execute(TABLE)
    with revision(any_url):
        online.alter_column("t", "v", **everything)
    assert described(db, "t", "v") == written
    psql(any_url, script_of(online.alter_column, "t", "v", comment=None, server_default=None, nullable=True))
    assert described(db, "t", "v")["default"] is None


@pytest.mark.parametrize("kind", ["int to bigint", "with a check", "in an index predicate"])
@MOSTLY_HERE
def test_script_refuses(db: Connection, any_url: URL, kind: str) -> None:
    column, type_, _ = HURTING[kind]
    db.execute(TABLE)
    script = script_of(online.alter_column, "t", column, schema="public", type_=type_)
    assert "rewrites or reads" in psql(any_url, script, fails=True)


@MOSTLY_HERE
def test_the_default_reaches_writers_before_the_check(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int)")
    order: list[str] = []
    with faults.injected(order.append):
        run(online.alter_column, "t", "a", server_default="1", nullable=False)
    until(lambda: order)
    committed = [name for name in order if name.endswith("committed")]
    assert committed.index("alter_column: alter: committed") < committed.index("alter_column: add: committed")


def test_every_named_argument_of_op_is_taken(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int)")
    done = run(online.alter_column, "t", "a", comment="c", autoincrement=False, existing_autoincrement=False)
    assert done.changed
