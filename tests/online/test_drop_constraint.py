from collections.abc import Callable

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError
from homeops_db.locking.policy import Policy
from tests.fixtures.databases import connect
from tests.online.columns import constraints, psql, script_of
from tests.online.conftest import revision

TABLES = """
create table r (id int primary key, u int unique);
create table t (id int primary key, a int, r int, constraint ck check (a > 0), constraint fk foreign key (r) references r);
create table p (id int, a int) partition by range (id);
create table p1 partition of p for values from (0) to (9);
alter table p add constraint ck check (a > 0), add constraint fk foreign key (a) references r,
              add constraint uq unique (id)
"""


@pytest.mark.parametrize("dropped", [
    ("ck", "t", "check"), ("fk", "t", "foreignkey"), ("t_pkey", "t", "primary"), ("r_u_key", "r", "unique"), ("ck", "t", None),
    ("ck", "p", "check"), ("fk", "p", "foreignkey"), ("uq", "p", "unique"),
])  # fmt: skip
def test_it_is_dropped_online_and_by_psql(
    run: Callable, db: Connection, any_url: URL, dropped: tuple
) -> None:
    name, table, _ = dropped
    db.execute(TABLES)
    assert name in constraints(db, table)
    assert run(online.drop_constraint, *dropped).changed
    after = constraints(db, table), constraints(db, "p1")
    assert name not in after[0]
    db.execute("drop table p, t, r")
    db.execute(TABLES)
    psql(any_url, script_of(online.drop_constraint, *dropped))
    assert (constraints(db, table), constraints(db, "p1")) == after


def test_both_tables_of_a_foreign_key_are_locked_first_and_in_order(
    run: Callable, db: Connection, any_url: URL
) -> None:
    """Its triggers on the other table go too, under ACCESS EXCLUSIVE: it must not be asked for last."""
    db.execute(TABLES)
    with connect(any_url) as reader:
        reader.execute("begin; select from r")
        asked: list[object] = []

        def look(point: str) -> None:
            asked.append(point)

        with (
            faults.injected(look),
            revision(any_url),
            online.policy(give_up_after="250ms"),
            pytest.raises(LockTimeoutError, match=r"ACCESS EXCLUSIVE.* on .*public\.r"),
        ):
            online.drop_constraint("fk", "t")
        reader.execute("commit")
    assert sum("drop: before" in str(point) for point in asked) <= 2, "waited for by looking"
    held: list[tuple] = []

    def note(point: str) -> None:
        if point.endswith("drop: inside"):
            held.extend(
                db.execute("""
                select c.relname from pg_locks l join pg_class c on c.oid = l.relation
                where l.mode = 'AccessExclusiveLock' and l.granted and c.relname in ('r', 't') order by 1
            """).fetchall()
            )

    with faults.injected(note):
        run(online.drop_constraint, "fk", "t")
    assert held == [("r",), ("t",)]


def test_what_is_missing_is_an_error_unless_told(run: Callable, db: Connection) -> None:
    db.execute(TABLES)
    with pytest.raises(ObjectError, match=r"public\.t has no constraint nothing\. Nothing was changed"):
        run(online.drop_constraint, "nothing", "t")
    assert not run(online.drop_constraint, "nothing", "t", if_exists=True).changed
    assert run(online.drop_constraint, "ck", "t", if_exists=True).changed


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
@pytest.mark.parametrize(("dropped", "told"), [
    (("ck", "t", "unique"), r"is of another type: CHECK"),
    (("uq", "p", "foreignkey"), r"is of another type: UNIQUE \(id\)"),
    (("ck", "t", "nonsense"), r"type_ is 'nonsense'"),
    ((None, "t", None), "has no name"),
    (("ck", "nothing", None), "doesn't exist"),
    (("ck", "p1", None), r"is inherited from public\.p\."),
    (("fk", "p1", None), r"is inherited from public\.p\."),
    (("p1_id_key", "p1", None), r"is inherited from public\.p\."),
    (("r_pkey", "r", None), r"needed by the foreign keys fk of p, fk of t\."),
])  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_changed(
    run: Callable, db: Connection, dropped: tuple, told: str
) -> None:
    db.execute(TABLES)
    before = [constraints(db, each) for each in ("r", "t", "p", "p1")]
    with pytest.raises(ObjectError, match=f"{told}.*") as caught:
        run(online.drop_constraint, *dropped)
    assert "Nothing was changed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [constraints(db, each) for each in ("r", "t", "p", "p1")] == before


def test_what_else_depends_on_it_is_told(run: Callable, db: Connection) -> None:
    db.execute(f"{TABLES}; create view v as select id, a from t group by id")
    with pytest.raises(
        ObjectError, match=r"t_pkey of public\.t is still needed: view v depends on .*Nothing was changed"
    ):
        run(online.drop_constraint, "t_pkey", "t")
    assert "t_pkey" in constraints(db, "t")


def test_an_inherited_check_names_its_parent(run: Callable, db: Connection) -> None:
    db.execute("create table m (a int, constraint ck check (a > 0)); create table c () inherits (m)")
    with pytest.raises(ObjectError, match=r"inherited from public\.m"):
        run(online.drop_constraint, "ck", "c")
    run(online.drop_constraint, "ck", "m")
    assert constraints(db, "c") == {}


class _Ledger:
    """Remembers what is announced, as the ledger does from one run of a revision to the next."""

    def __init__(self) -> None:
        self.steps: list[object] = []

    def __getattr__(self, name: str) -> object:
        return {
            "record_step": self.steps.append,
            "step_begun": lambda detail: detail in self.steps,
            "policy": Policy(),
        }[name]


def test_a_rerun_after_an_interruption_finds_it_gone(any_url: URL, db: Connection) -> None:
    db.execute(TABLES)
    ledger = _Ledger()

    def fail(point: str) -> None:
        if point.endswith("drop: committed"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), faults.injected(fail), revision(any_url, homeops_recorder=ledger):
        online.drop_constraint("ck", "t")
    assert "ck" not in constraints(db, "t")
    with revision(any_url, homeops_recorder=ledger):
        assert not online.drop_constraint("ck", "t").changed
        with pytest.raises(ObjectError):
            online.drop_constraint("other", "t")
    db.execute("drop table t")
    with revision(any_url, homeops_recorder=ledger):
        assert not online.drop_constraint("ck", "t").changed


def test_a_hypertables_constraints_go_from_every_chunk(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute(
            "create extension timescaledb; create table r (id int primary key); insert into r values (1)"
        )
        db.execute(
            "create table h (at timestamptz not null, r int constraint fk references r, constraint ck check (r > 0))"
        )
        db.execute("select create_hypertable('h', 'at')")
        db.execute("insert into h values ('2026-01-01', 1), ('2026-03-01', 1)")
        with revision(empty_url):
            online.drop_constraint("ck", "h")
            online.drop_constraint("fk", "h")
        assert db.execute(
            "select count(*) from pg_constraint where conname ~ '(ck|fk)$' and conrelid::regclass::text ~ '(^h|chunk)$'"
        ).fetchone() == (0,)
