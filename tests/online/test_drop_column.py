"""online.drop_column: what still needs the column is listed, what belongs to it alone goes with it."""

from collections.abc import Callable

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import HomeOpsError, ObjectError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.online.columns import MOSTLY_HERE, constraints, described, psql, script_of
from tests.online.conftest import revision

NEEDING = {
    "view": ("create view w1 as select c from t", "view public.w1"),
    "view without a column of it": ("create view w2 as select a from t where c > 1", "view public.w2"),
    "materialized view": ("create materialized view w3 as select c from t", "materialized view public.w3"),
    "index expression": ("create index ix1 on t (abs(c))", "index ix1"),
    "index predicate": ("create index ix2 on t (a) where c > 1", "index ix2"),
    "index on several": ("create index ix3 on t (a, c)", "index ix3"),
    "index including": ("create index ix4 on t (a) include (c)", "index ix4"),
    "unique on several": ("alter table t add constraint several unique (a, c)", "constraint several of t"),
    "primary key": ("alter table t add constraint pk primary key (c)", "primary key pk of t"),
    "replica identity": (
        "alter table t alter c set not null; create unique index ix5 on t (c);"
        "alter table t replica identity using index ix5",
        "index ix5",
    ),
    "check on several": ("alter table t add constraint less check (a < c)", "check constraint less of t"),
    "foreign key from it": (
        "alter table t add constraint fk1 foreign key (c) references other",
        "foreign key fk1 of t",
    ),
    "foreign key to it": (
        "alter table t add unique (c); create table u1 (c int constraint fk2 references t (c))",
        "foreign key fk2 of u1",
    ),
    "foreign key to its unique index": (
        "create unique index on t (c); create table u2 (c int constraint fk3 references t (c))",
        "foreign key fk3 of u2",
    ),
    "policy": ("create policy mine on t using (c > 1)", "policy mine on table t"),
    "rule": ("create rule r as on update to t where new.c > 1 do instead nothing", "rule r on table t"),
    "trigger of": (
        "create trigger tr1 before update of c on t for each row "
        "execute function suppress_redundant_updates_trigger()",
        "trigger tr1 on table t",
    ),
    "trigger when": (
        "create trigger tr2 before update on t for each row when (new.c > 1) "
        "execute function suppress_redundant_updates_trigger()",
        "trigger tr2 on table t",
    ),
    "generated column": (
        "alter table t add g int generated always as (c + 1) stored",
        "generated column g of t",
    ),
    "publication columns": ("create publication pub1 for table t (a, c)", "in publication pub1"),
    "publication rows": ("create publication pub2 for table t where (c > 1)", "in publication pub2"),
    "statistics": ("create statistics st on a, c from t", "statistics object st"),
    "function body": (
        "create function f() returns bigint language sql begin atomic select sum(c) from t; end",
        "function f()",
    ),
    "its sequence elsewhere": (
        "create sequence s owned by t.c; create table u3 (n int default nextval('s'))",
        "default of column n of u3",
    ),
}

# A publication isn't in a schema: it stays when the test's database is emptied.
TABLE = """
    drop publication if exists pub1, pub2;
    create table t (a int, b int, c int); create table other (id int primary key)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", NEEDING)
def test_needed(run: Callable, db: Connection, kind: str) -> None:
    needing, said = NEEDING[kind]
    db.execute(f"{TABLE}; {needing}")
    with pytest.raises(ObjectError) as refused:
        run(online.drop_column, "t", "c")
    assert said in str(refused.value)
    assert "Nothing was changed" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert described(db, "t", "c") is not None


def test_everything_is_listed_at_once(run: Callable, db: Connection) -> None:
    db.execute("; ".join([TABLE, *(needing for needing, _ in NEEDING.values())]))
    with pytest.raises(ObjectError) as refused:
        run(online.drop_column, "t", "c")
    assert [said for _, said in NEEDING.values() if said not in str(refused.value)] == []
    assert "\n" not in str(refused.value)


@MOSTLY_HERE
def test_what_belongs_to_it_alone_goes_too(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int, c serial unique check (c > 0) not null)")
    db.execute("create index ix on t (c desc); comment on column t.c is 'x'; create index stays on t (a)")
    assert run(online.drop_column, "t", "c").changed
    assert constraints(db, "t") == {}
    assert db.execute(
        "select indexrelid::regclass::text from pg_index where indrelid = 't'::regclass"
    ).fetchall() == [("stays",)]
    assert db.execute("select count(*) from pg_class where relkind = 'S'").fetchone() == (0,)


@MOSTLY_HERE
def test_identity(run: Callable, db: Connection) -> None:
    db.execute("create table t (a int, c int generated always as identity)")
    assert run(online.drop_column, "t", "c").changed


@MOSTLY_HERE
def test_missing(run: Callable, db: Connection) -> None:
    db.execute(TABLE)
    with pytest.raises(ObjectError, match=r"public\.t has no column nothing\. Nothing was changed"):
        run(online.drop_column, "t", "nothing")
    assert not run(online.drop_column, "t", "nothing", if_exists=True).changed
    with pytest.raises(ObjectError, match="doesn't exist"):
        run(online.drop_column, "nothing", "c")
    with pytest.raises(ObjectError, match="no column ctid"):
        run(online.drop_column, "t", "ctid")
    with pytest.raises(ObjectError, match="64 bytes"):
        run(online.drop_column, "t", "x" * 64)


@MOSTLY_HERE
def test_partitions(run: Callable, db: Connection) -> None:
    db.execute("create table p (a int, b int, c int, d int) partition by list (a)")
    db.execute("create table p1 partition of p for values in (1) partition by range ((b + 1))")
    db.execute("create table p2 (a int, b int, c int, d int)")
    db.execute("alter table p attach partition p2 for values in (2)")
    db.execute("create index on p (c)")
    with pytest.raises(ObjectError, match=r"inherited from public\.p\."):
        run(online.drop_column, "p2", "c")
    for column, table in (("a", "p"), ("b", "p1")):
        with pytest.raises(ObjectError, match=rf"rows of public\.{table} are divided"):
            run(online.drop_column, "p", column)
    db.execute("create view w as select c from p2")
    with pytest.raises(ObjectError, match=r"needed by view public\.w\. "):
        run(online.drop_column, "p", "c")
    db.execute("drop view w; create index pair on p (c, d)")
    with pytest.raises(ObjectError, match=r"needed by index pair\. "):
        run(online.drop_column, "p", "c")
    db.execute("drop index pair")
    assert run(online.drop_column, "p", "c").changed
    assert described(db, "p2", "c") is None


def test_hypertable(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb; create table h (at timestamptz not null, v int, w int)")
        db.execute("select create_hypertable('h', 'at')")
        db.execute("create index on h (v); create index on h (w, at)")
        db.execute("insert into h values (now(), 1), (now() - interval '30 days', 2)")
        with pytest.raises(ObjectError, match="divided by"), revision(empty_url):
            online.drop_column("h", "at")
        with pytest.raises(ObjectError, match="needed by index"), revision(empty_url):
            online.drop_column("h", "w")
        with revision(empty_url):
            assert online.drop_column("h", "v").changed


@MOSTLY_HERE
def test_a_child_that_has_it_by_itself_keeps_it(run: Callable, db: Connection) -> None:
    db.execute("create table p (a int, c int); create table child (c int) inherits (p)")
    db.execute("create view w as select c from child")
    assert run(online.drop_column, "p", "c").changed
    assert described(db, "child", "c") is not None


@pytest.mark.parametrize(
    "point", ["drop_column: announced", "drop_column: drop: inside", "drop_column: drop: committed"]
)
def test_rerun_after_a_crash(toy: Toy, empty_url: URL, point: str) -> None:
    with connect(empty_url) as db:
        db.execute("create table public.t (a int, c int)")
    toy.add("v1.1.0", 'from homeops_db import online; online.drop_column("t", "c", schema="public")')
    crashed: list[str] = []

    def crash(name: str) -> None:
        if name == point and not crashed:
            crashed.append(name)
            raise RuntimeError("crash")

    with faults.injected(crash):
        with pytest.raises(HomeOpsError, match="crash"):
            command.upgrade(toy.config(empty_url), "v1.1.0")
        command.upgrade(toy.config(empty_url), "v1.1.0")
    assert crashed
    with connect(empty_url) as db:
        assert described(db, "public.t", "c") is None


def test_a_name_that_never_was(toy: Toy, empty_url: URL) -> None:
    toy.add("v1.1.0", 'from homeops_db import online; online.drop_column("t1", "c", schema="public")')
    for _ in range(2):
        with pytest.raises(HomeOpsError, match="has no column c"):
            command.upgrade(toy.config(empty_url), "v1.1.0")


@pytest.mark.parametrize("kind", ["view", "index on several", "policy", "foreign key to it"])
@MOSTLY_HERE
def test_script_refuses(db: Connection, any_url: URL, kind: str) -> None:
    needing, said = NEEDING[kind]
    db.execute(f"{TABLE}; {needing}")
    complained = psql(any_url, script_of(online.drop_column, "t", "c", schema="public"), fails=True)
    assert "still needed by" in complained
    assert said in complained
    assert described(db, "t", "c") is not None


@MOSTLY_HERE
def test_script(db: Connection, any_url: URL) -> None:
    db.execute("create table t (a int, c int unique check (c > 0)); create index on t (c)")
    psql(any_url, script_of(online.drop_column, "t", "c", schema="public"))
    assert described(db, "t", "c") is None
    psql(any_url, script_of(online.drop_column, "t", "c", schema="public", if_exists=True))
