"""Autovacuum in the way: it is asked long enough to yield, and one against wraparound is named at once."""

from collections.abc import Iterator

import pytest
from alembic import command
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.catalog import locks
from homeops_db.errors import LockTimeoutError
from homeops_db.history import ledger
from homeops_db.locking.policy import Policy
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.locking.conftest import ASKS, Taking, Victim, awaits, holding, seconds, servers, wants

pytestmark = servers("stock 15", slow=["stock 18"])


@pytest.fixture
def restless(any_url: URL) -> Iterator[None]:
    """A server that looks every second what there is to vacuum."""
    with connect(any_url) as admin:
        admin.execute("alter system set autovacuum_naptime = '1s'")
        admin.execute("select pg_reload_conf()")
        yield
        admin.execute("alter system reset all")
        admin.execute("select pg_reload_conf()")


QUICK = "autovacuum_vacuum_threshold=1, autovacuum_vacuum_scale_factor=0"
SLOW = "autovacuum_vacuum_cost_delay=100, autovacuum_vacuum_cost_limit=1"


def vacuumed_slowly(connection: Connection, name: str, options: str = QUICK) -> None:
    """A table that autovacuum takes many minutes for."""
    connection.execute(f"create table {name} (id int, v text) with ({options}, {SLOW})")
    connection.execute(f"insert into {name} select i, repeat('x', 500) from generate_series(1, 3000) i")
    connection.execute(f"delete from {name}")


def at_work(connection: Connection, name: str, schema: str = "public") -> list[str]:
    found = connection.execute(
        "select query from pg_stat_activity where backend_type = 'autovacuum worker' and query like %s",
        (f"autovacuum: VACUUM%{schema}.{name}%",),
    )
    return [query for (query,) in found]


def test_autovacuum_yields_and_no_traffic_waits_for_it(
    any_url: URL, db: Connection, taking: Taking, restless: None
) -> None:
    """It yields after deadlock_timeout (1 s); tries of 50 ms alone would never get past it."""
    vacuumed_slowly(db, "d")
    until(lambda: at_work(db, "d"), seconds=30)
    taker = taking("d", policy=Policy(give_up_after=seconds(20)))
    until(lambda: awaits(db, taker.pid))
    asked, served = set(), 0
    while awaits(db, taker.pid):
        asked.update(db.execute("select mode from pg_locks where pid = %s and not granted", (taker.pid,)))
        db.execute("select count(*) from d")
        served += 1
    taken = taker.result()
    assert taken.tries == 1
    assert taken.waited_ms > 900
    assert asked == {("ShareUpdateExclusiveLock",)}  # which no read and no write waits behind
    assert served > 20


def upgraded(toy: Toy, url: URL, code: str) -> list[str]:
    """Run a revision, and give back what the ledger says of its tries."""
    toy.add("v1.1.0", code)
    command.upgrade(toy.config(url), "head")
    with connect(url) as connection:
        return [event.detail or "" for event in ledger.events(connection, limit=9) if event.event == "step"]


@pytest.mark.slow
def test_autovacuum_yields_to_a_plain_revision_too(
    any_url: URL, db: Connection, toy: Toy, restless: None
) -> None:
    vacuumed_slowly(db, "d")
    until(lambda: at_work(db, "d"), seconds=30)
    (step,) = upgraded(toy, any_url, 'op.execute("alter table public.d add x int")')
    assert '"tries": 2' in step


@pytest.mark.slow
def test_autovacuum_of_a_toast_table_is_outlasted(
    any_url: URL, db: Connection, toy: Toy, restless: None
) -> None:
    """LOCK TABLE doesn't accept it: DROP TABLE itself must wait for longer than deadlock_timeout."""
    options = f"{QUICK}, {SLOW}".replace("autovacuum", "toast.autovacuum")
    db.execute(f"create table d (v text) with (autovacuum_enabled=off, {options})")
    db.execute("alter table d alter v set storage external")
    db.execute("insert into d select repeat('x', 9000) from generate_series(1, 500); delete from d")
    toast = "select reltoastrelid::regclass::text from pg_class where oid = 'd'::regclass"
    (name,) = db.execute(toast).fetchone() or ("",)
    until(lambda: [query for query in at_work(db, "", schema="pg_toast") if name in query], seconds=30)
    (step,) = upgraded(toy, any_url, 'op.drop_table("d")')
    assert '"tries": 2' in step


@pytest.mark.parametrize("sees_queries", [pytest.param(True, marks=pytest.mark.slow), False])
def test_vacuum_against_wraparound_is_named(
    any_url: URL, db: Connection, taking: Taking, restless: None, sees_queries: bool
) -> None:
    db.execute("drop role if exists blind; create role blind login; grant all on schema public to blind")
    vacuumed_slowly(db, "d", "autovacuum_freeze_max_age=100000, autovacuum_enabled=off")
    db.execute("grant all on d to blind")
    try:
        db.execute("create temp table x (id int)")
        for _ in range(110):  # a subtransaction has an id too
            db.execute(
                "do $$ begin for i in 1..1000 loop begin insert into x values (i); "
                "exception when others then null; end; end loop; end $$"
            )
        until(lambda: at_work(db, "d"), seconds=60)
        assert "to prevent wraparound" in at_work(db, "d")[0]
        url = any_url if sees_queries else any_url.set(username="blind")
        with pytest.raises(LockTimeoutError, match="a VACUUM against wraparound yields to nobody"):
            taking("d", url=url, policy=Policy(give_up_after=seconds(20))).result()
    finally:
        drop = Victim(any_url, "drop table d")  # next in the queue, before another worker
        until(lambda: awaits(db, drop.pid))
        db.execute("select pg_terminate_backend(pid) from pg_stat_activity where backend_type ~ 'worker'")
        assert drop.survives()
        db.execute("drop owned by blind; drop role blind")


def test_a_session_that_speaks_of_wraparound_is_no_vacuum(
    any_url: URL, db: Connection, taking: Taking
) -> None:
    with holding(any_url, "select count(*) /* to prevent wraparound */ from t") as holder:
        found = locks.holders(db, wants(db, "t")[0].oids, "ACCESS EXCLUSIVE", ours=0)
        assert [(one.is_autovacuum, one.is_wraparound) for one in found] == [(False, False)]
        taker = taking("t", policy=ASKS)
        until(lambda: awaits(db, taker.pid))
        holder.commit()
        taker.result()
