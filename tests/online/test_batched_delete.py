"""`online.batched_delete`: exactly the rows that meet a condition, and whatever is bound to them."""

from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import HomeOpsError, ObjectError, UnsafeError, ViolationError
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.online.columns import MOSTLY_HERE, psql, script_of
from tests.online.conftest import revision
from tests.online.filling import SMALL_BATCHES, fill, nobody_else_counts, rows, scalar  # noqa: F401 - a fixture
from tests.online.meanwhile import at

Run = Callable[..., Any]

FINANCIAL = """
create schema financial;
create table financial.accounts (id int primary key, name text);
create table financial.transactions (id bigint generated always as identity primary key, account_id int, amount int);
insert into financial.accounts select g, 'a' || g from generate_series(1, 20) g;
insert into financial.transactions (account_id, amount)
select nullif(g % 40, 0), g from generate_series(1, 2000) g;
"""
ORPHANS = "account_id IS NOT NULL AND NOT EXISTS (SELECT FROM financial.accounts a WHERE a.id = account_id)"


@pytest.fixture
def financial(db: Connection) -> Any:
    """Transactions half of which belong to no account."""
    db.execute(f"drop schema if exists financial cascade; {FINANCIAL}".encode())
    yield db
    db.execute("drop schema financial cascade")


# The strategy's constraint repair ----------------------------------------------------------------------


@MOSTLY_HERE
def test_orphans_go_and_the_constraint_comes(run: Run, financial: Connection) -> None:
    expected = rows(
        financial, f"select * from financial.transactions where ({ORPHANS}) is not true order by id"
    )
    with online.pace(**SMALL_BATCHES):
        done = run(online.batched_delete, "transactions", where=ORPHANS, schema="financial")
    assert (done.rows, done.changed, done.batches > 5) == (950, True, True)
    assert "plain ctid, because a row that is removed is done" in done.plan[0]
    assert rows(financial, "select * from financial.transactions order by id") == expected
    run(
        online.create_foreign_key, "fk", "transactions", "accounts", ["account_id"], ["id"],
        source_schema="financial", referent_schema="financial",
    )  # fmt: skip
    again = run(online.batched_delete, "transactions", where=ORPHANS, schema="financial")
    assert (again.rows, again.changed) == (0, False)


@MOSTLY_HERE
def test_rows_that_come_to_meet_the_condition_go_too(run: Run, financial: Connection) -> None:
    def write() -> None:
        financial.execute("insert into financial.transactions (account_id, amount) values (39, 1), (3, 1)")
        financial.execute("update financial.transactions set account_id = 38 where id = 2")
        financial.execute("update financial.transactions set account_id = 1 where id = 1999")

    with online.pace(**SMALL_BATCHES), at(": batch: done", write, number=2):
        done = run(online.batched_delete, "transactions", where=ORPHANS, schema="financial", workers=2)
    assert done.rows == 950 + 2 - 1
    assert scalar(financial, f"select count(*) from financial.transactions where {ORPHANS}") == 0
    assert scalar(financial, "select account_id from financial.transactions where id = 1999") == 1


@pytest.mark.slow
@MOSTLY_HERE
def test_of_equal_rows_all_but_the_first(run: Run, financial: Connection) -> None:
    """The condition reads the table itself: each batch sees what those before have left."""
    first = rows(
        financial, "select min(id) from financial.transactions where account_id > 0 group by account_id"
    )
    where = "EXISTS (SELECT FROM financial.transactions o WHERE o.account_id = transactions.account_id AND o.id < transactions.id)"
    with online.pace(**SMALL_BATCHES):
        run(online.batched_delete, "transactions", where=where, schema="financial")
    left = rows(financial, "select id from financial.transactions where account_id > 0")
    assert sorted(left) == sorted(first)


# What is bound to the rows -----------------------------------------------------------------------------


@pytest.mark.slow
@MOSTLY_HERE
def test_foreign_keys_that_cascade(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=300)
    db.execute("""
        create table child (id int primary key, t_id int references t on delete cascade);
        create table other (t_id int references t on delete set null);
        create index on child (t_id); create index on other (t_id);
        insert into child select g, g from generate_series(1, 300) g; insert into other select id from child
    """)
    done = run(online.batched_delete, "t", where="id % 3 = 0")
    assert done.rows == 100
    counts = "select (select count(*) from t), (select count(*) from child), (select count(t_id) from other)"
    assert rows(db, counts) == [(200, 200, 200)]
    assert sum("foreign key" in notice for notice in done.notices) == 2


@MOSTLY_HERE
def test_a_row_that_is_referred_to_is_named(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=300)
    db.execute("create table child (t_id int references t); insert into child values (150)")
    with online.pace(**SMALL_BATCHES):
        with pytest.raises(ViolationError, match=r'a row can\'t be done: id = 150: .*"child_t_id_fkey"'):
            run(online.batched_delete, "t", where="id > 100")
        assert scalar(db, "select count(*) from t where id in (101, 150, 151)") in (1, 2)
        with online.pace(max_errors=1):
            done = run(online.batched_delete, "t", where="id > 100")
    assert done.errors == 1
    assert scalar(db, "select count(*) from t") == 101
    assert rows(db, "select key, was_skipped from migrations.backfill_errors") == [({"id": "150"}, True)]


@MOSTLY_HERE
def test_a_foreign_key_without_an_index_is_said(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=30)
    db.execute("create table child (t_id int references t on delete cascade); insert into child values (7)")
    done = run(online.batched_delete, "t", where="id > 5")
    assert done.rows == 25
    assert any(
        "child_t_id_fkey" in notice and "without an index on t_id" in notice for notice in done.notices
    )
    assert scalar(db, "select count(*) from child") == 0


@pytest.mark.slow
@MOSTLY_HERE
def test_triggers_fire(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=30)
    db.execute("""
        create table gone (id int);
        create function note() returns trigger language plpgsql as
            'begin insert into gone values (old.id); return old; end';
        create trigger note before delete on t for each row execute function note()
    """)
    run(online.batched_delete, "t", where="id > 5")
    assert rows(db, "select count(*), count(distinct id) from gone") == [(25, 25)]


# Tables in pieces --------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_partitions_and_children(run: Run, db: Connection) -> None:
    db.execute("""
        create table p (id int, at int) partition by list (at);
        create table p1 partition of p for values in (1); create table p2 partition of p default;
        insert into p select g, g % 3 from generate_series(1, 90) g;
        create table i (id int); create table j () inherits (i);
        insert into i select generate_series(1, 9); insert into j select generate_series(1, 9)
    """)
    assert run(online.batched_delete, "p", where="p.id <= 30").rows == 30
    assert run(online.batched_delete, "i", where="id > 4", workers=2).rows == 10
    assert rows(db, "select (select count(*) from p), (select count(*) from i)") == [(60, 8)]


@pytest.mark.slow
def test_a_hypertable(empty_url: URL) -> None:
    with connect(empty_url) as db:
        db.execute("create extension timescaledb; create table h (at timestamptz not null, v int)")
        db.execute("select create_hypertable('h', 'at')")
        db.execute(
            "insert into h select timestamptz '2024-01-01' + g * interval '1 day', g from generate_series(1, 40) g"
        )
        with revision(empty_url):
            assert online.batched_delete("h", where="v % 2 = 0").rows == 20
        assert scalar(db, "select sum(v) from h") == 400


# A run that is broken off ------------------------------------------------------------------------------


def test_it_goes_on_and_what_was_done_stays_so(toy: Toy, empty_url: URL) -> None:
    toy.add(
        "v1.1.0",
        'op.execute("create table t (id int primary key); insert into t select generate_series(1, 900)")',
    )
    toy.add(
        "v1.2.0",
        """
        from homeops_db import online
        with online.pace(batch_rows=50, min_batch_rows=50, max_batch_rows=50):
            online.batched_delete("t", where="id > 100")
        if not op.get_bind().exec_driver_sql("select to_regclass('go')").scalar():
            raise RuntimeError("not yet")
        """,
    )

    def break_off() -> None:
        raise KeyboardInterrupt

    with at(": batch: done", break_off, number=2), pytest.raises(KeyboardInterrupt):
        command.upgrade(toy.config(empty_url), "v1.2.0")
    with connect(empty_url) as db:
        assert 100 < scalar(db, "select count(*) from t") < 900
        with pytest.raises(HomeOpsError, match="not yet"):
            command.upgrade(toy.config(empty_url), "v1.2.0")
        assert scalar(db, "select count(*) from t") == 100
        db.execute("insert into t values (1000); create table go ()")  # it was done when this row came
        command.upgrade(toy.config(empty_url), "v1.2.0")
        assert scalar(db, "select count(*) from t") == 101
        assert rows(db, "select state, count(*) from migrations.backfills group by 1") == [("done", 1)]


# What is refused ---------------------------------------------------------------------------------------

ESCAPES = [
    "1 = 1; drop table t",
    "id > 5 -- all of them",
    "id > 5) or (id > 0",
    "id > 5 /* all",
    "id > 5 returning id",
    "id > 5 order by id",
    "id > 5 union select 1",
    "id > $1",
    "",
    "nothing > 1",
    "id",
]


@MOSTLY_HERE
@pytest.mark.parametrize(
    "where", [*ESCAPES[:3], *(pytest.param(where, marks=pytest.mark.slow) for where in ESCAPES[3:])]
)
def test_what_is_no_condition_is_refused(run: Run, db: Connection, where: str) -> None:
    fill(db, "id int primary key", "g", count=10)
    with pytest.raises(ObjectError, match="Nothing was changed") as refused:
        run(online.batched_delete, "t", where=where)
    assert "\n" not in str(refused.value)
    assert scalar(db, "select count(*) from t") == 10


@MOSTLY_HERE
@pytest.mark.parametrize(
    "where",
    [
        "true",
        *(
            pytest.param(where, marks=pytest.mark.slow)
            for where in ("1 = 1", "NULL", "now() > '2020-01-01'", "EXISTS (SELECT 1)")
        ),
    ],
)
def test_what_means_all_rows_or_none_is_refused(run: Run, db: Connection, where: str) -> None:
    fill(db, "id int primary key", "g", count=10)
    with pytest.raises(UnsafeError, match=r"names no column of t.*Nothing was changed.*TRUNCATE"):
        run(online.batched_delete, "t", where=where)
    with pytest.raises(UnsafeError, match="names no column"):
        script_of(online.batched_delete, "t", where=where)
    assert scalar(db, "select count(*) from t") == 10
    assert run(online.batched_delete, "t", where="id IS NOT NULL").rows == 10


@MOSTLY_HERE
def test_refused_arguments(run: Run, db: Connection) -> None:
    fill(db, "id int primary key", "g", count=10)
    with pytest.raises(ObjectError, match="workers is 0"):
        run(online.batched_delete, "t", where="id > 5", workers=0)
    with pytest.raises(ObjectError, match="Table nothing doesn't exist"):
        run(online.batched_delete, "nothing", where="id > 5")


# In a script -------------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_script(financial: Connection, any_url: URL) -> None:
    expected = rows(
        financial, f"select * from financial.transactions where ({ORPHANS}) is not true order by id"
    )
    said = psql(any_url, script_of(online.batched_delete, "transactions", where=ORPHANS, schema="financial"))
    assert "950 rows done" in said
    assert rows(financial, "select * from financial.transactions order by id") == expected
