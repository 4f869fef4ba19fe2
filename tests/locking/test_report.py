"""What is said when it gives up; and through the real command, what is left behind."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults
from homeops_db.catalog.locks import Holder
from homeops_db.errors import LockTimeoutError
from homeops_db.locking import report
from homeops_db.locking.policy import Policy
from homeops_db.locking.watch import Cost
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import Checkout
from tests.locking.conftest import Taking, holding, seconds, servers


def holder(**given: object) -> Holder:
    values: dict = {
        "object": "public.t", "mode": "AccessShareLock", "granted": True, "pid": 7, "transaction": "3/7",
        "prepared": None, "application": "billing", "role": "app", "state": "idle in transaction",
        "age_ms": 1500.0, "is_autovacuum": False, "is_wraparound": False, "query": "select 1",
    }  # fmt: skip
    return Holder(**{**values, **given})


def gave_up(blockers: list[Holder], tries: int, cost: Cost) -> str:
    error = report.gave_up(
        what="ACCESS EXCLUSIVE on public.t",
        blockers=blockers,
        tries=tries,
        waited=timedelta(seconds=300),
        cost=cost,
        policy=Policy(),
    )
    return str(error)


def test_who_is_in_the_way_is_described_once() -> None:
    told = gave_up([holder(), holder(object="public.p"), holder(transaction="4/1", pid=8)], 1, Cost())
    assert told.count("in the way:") == 2
    described = (
        "pid 7, billing, role app, idle in transaction, transaction open for 1.5 s: ACCESS SHARE on public"
    )
    assert described in told
    assert "(select 1)" in told


def test_a_crowd_is_cut_short() -> None:
    told = gave_up([holder(transaction=f"3/{number}") for number in range(13)], 1, Cost())
    assert told.count("in the way:") == 10
    assert "… and 3 more" in told


@pytest.mark.parametrize(
    ("tries", "cost", "said"),
    [
        (0, Cost(), "looked on, and never asked, within 300 s; nobody waited behind us"),
        (1, Cost(1, 12.4), "asked once for 50 ms, within 300 s; 1 session waited behind us, 12 ms in all"),
        (3, Cost(4, 90), "asked 3 times for 50 ms, within 300 s; 4 sessions waited behind us, 90 ms in all"),
    ],
)
def test_what_was_tried_is_told_in_good_english(tries: int, cost: Cost, said: str) -> None:
    assert f"  tried: {said}\n" in gave_up([], tries, cost)


@pytest.mark.parametrize(
    ("who", "remedy"),
    [
        ({}, "Let it end, or end it: SELECT pg_terminate_backend(7); then run"),
        ({"prepared": "it's"}, "Run ROLLBACK PREPARED 'it''s' (or COMMIT PREPARED), then run"),
        ({"is_autovacuum": True}, "Let it finish, then run"),
        ({"is_wraparound": True}, "Let it finish (pg_stat_progress_vacuum shows how far it is), then run"),
    ],
)
def test_the_next_command_fits_who_is_in_the_way(who: dict, remedy: str) -> None:
    assert remedy in gave_up([holder(**who)], 1, Cost())


@servers("local server")
def test_it_gives_up_in_time_and_tells_what_it_tried(any_url: URL, db: Connection, taking: Taking) -> None:
    points: list[str] = []
    policy = Policy(lock_timeout=seconds(0.03), old_after=seconds(60), give_up_after=seconds(0.5))
    with holding(any_url, "select count(*) from t"), faults.injected(points.append):
        taker = taking("t", policy=policy)
        with pytest.raises(LockTimeoutError) as error:
            taker.result()
    tries = points.count("transaction: before")
    assert tries >= 2
    assert re.match(r"Gave up after 0\.[56] s: ACCESS EXCLUSIVE on public\.t was not", str(error.value))
    assert f"asked {tries} times for 30 ms" in str(error.value)
    assert "idle in transaction" in str(error.value)
    assert ": ACCESS SHARE on public.t (select count(*) from t)" in str(error.value)


def test_the_real_command_ends_with_8_and_leaves_nothing_half_done(
    checkout: Checkout, add_revision: Callable, first_url: URL
) -> None:
    add_revision(
        "v9.0.0",
        """
        op.execute("create table public.before (id int)")
        op.execute("alter table core.users add column late int")
        """,
    )
    settings = {
        "HOMEOPS_DATABASE_URL": libpq(first_url),
        "HOMEOPS_ENVIRONMENT": "development",
        "HOMEOPS_LOCK_GIVE_UP_AFTER": "400ms",
    }
    with holding(first_url, "select count(*) from core.users", application_name="billing") as billing:
        pid = billing.info.backend_pid
        ended = checkout.run("alembic", "upgrade", "head", check=False, **settings)
    assert ended.returncode == 8
    told = ended.stderr
    assert "Traceback" not in told
    for part in (
        "Gave up after 0.",
        "ACCESS EXCLUSIVE on core.users was not to be had",
        f"pid {pid}, billing, role {first_url.username}, idle in transaction, transaction open for ",
        ": ACCESS SHARE on core.users (select count(*) from core.users)",
        "for 50 ms",
        f"SELECT pg_terminate_backend({pid}); then run the same command again",
    ):
        assert part in told
    with connect(first_url) as connection:
        assert connection.execute("select to_regclass('public.before')").fetchone() == (None,)
        events = "select event from migrations.schema_events where version = 'v9.0.0' order by id"
        assert [event for (event,) in connection.execute(events)][-1] == "failed"
    assert checkout.run("alembic", "upgrade", "head", **settings).returncode == 0
