"""A revision of plain ``op`` statements meets a lock: it is rolled back whole, and tried again."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from homeops_db import faults
from homeops_db.errors import DatabaseError, LockTimeoutError, RevisionFailedError
from homeops_db.history import ledger
from homeops_db.history.patience import driver_of
from homeops_db.settings import PROJECT_ROOT
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.waiting import until
from tests.locking.conftest import Victim, awaits, holding, servers

pytestmark = servers("local server", slow=["stock 15", "stock 18"])

TRY = 'from homeops_db import faults; faults.point("python side"); '
ALTER = 'op.execute("create table public.t2 (id int)"); op.execute("alter table public.t1 add x int")'
READS = "select count(*) from t1"
OPERATIONS = PROJECT_ROOT / "docs" / "operations.md"


@pytest.fixture
def db(any_url: URL, toy: Toy) -> Iterator[Connection]:
    """A session that looks on; the first revision is applied, which made t1."""
    command.upgrade(toy.config(any_url), "head")
    with connect(any_url) as connection:
        connection.execute("insert into t1 select generate_series(1, 5)")
        yield connection


class Run(threading.Thread):
    """`alembic upgrade head` in a thread, and how often the revision's code ran."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self.config = config
        self.began = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            command.upgrade(self.config, "head")
        except BaseException as error:
            self.error = error

    def count(self, point: str) -> None:
        self.began += point == "python side"

    def result(self) -> None:
        self.join(20)
        assert not self.is_alive(), "it never ended"
        if self.error is not None:
            raise self.error


@contextmanager
def upgrading(toy: Toy, url: URL, code: str, **settings: object) -> Iterator[Run]:
    """Each try is long enough to be seen by a test on a busy machine."""
    toy.add("v1.1.0", TRY + code)
    running = Run(toy.config(url, **{"lock_timeout": timedelta(seconds=0.3), **settings}))
    with faults.injected(running.count):
        running.start()
        yield running
        running.join(20)


def waits(connection: Connection) -> bool:
    """Whether a session of the run waits for a lock."""
    found = connection.execute(
        "select count(*) from pg_locks l join pg_stat_activity a using (pid) "
        "where not l.granted and a.application_name like 'homeops-db%' and a.datname = current_database()"
    ).fetchone()
    return found != (0,)


def steps(url: URL) -> list[dict[str, Any]]:
    with connect(url) as connection:
        found = ledger.events(connection, limit=100)
    return [json.loads(event.detail) for event in reversed(found) if event.event == "step" and event.detail]


def columns(connection: Connection) -> int:
    query = "select count(*) from information_schema.columns where table_name in ('t1', 't2')"
    (number,) = connection.execute(query).fetchone() or (0,)
    return int(number)


def test_it_is_tried_again_as_a_whole_and_applied_once(toy: Toy, any_url: URL, db: Connection) -> None:
    with holding(any_url, READS) as holder, upgrading(toy, any_url, ALTER) as run:
        until(lambda: run.began == 1)
        until(lambda: waits(db))
        until(lambda: not waits(db))
        for _ in range(30):  # from now on it looks, and makes nobody wait
            assert not waits(db)
            run.join(0.01)
        assert run.began == 1
        holder.commit()
        run.result()
    assert run.began == 2
    assert columns(db) == 3
    (step,) = steps(any_url)
    assert (step["operation"], step["tries"]) == ("revision", 2)
    assert {"victims", "victim_ms"} <= set(step)


def test_without_contention_nothing_is_recorded(toy: Toy, any_url: URL, db: Connection) -> None:
    with upgrading(toy, any_url, ALTER) as run:
        run.result()
    assert (run.began, steps(any_url)) == (1, [])


def test_the_very_first_revision_is_tried_again_too(any_url: URL, tmp_path: Path) -> None:
    """Alembic makes its version table in that revision's transaction."""
    toy = Toy(tmp_path)
    toy.add("v1.0.0", TRY + 'op.execute("alter table public.older add x int")', change="major")
    with connect(any_url) as connection:
        connection.execute("create table older (id int)")
        with holding(any_url, "select from older") as holder, upgrading(toy, any_url, "pass") as run:
            until(lambda: waits(connection))
            until(lambda: not waits(connection))
            holder.commit()
            run.result()
        assert ledger.current(connection) == "v1.1.0"


def test_what_it_cost_others_is_recorded(toy: Toy, any_url: URL, db: Connection) -> None:
    wait = {"lock_timeout": timedelta(seconds=20)}
    with holding(any_url, READS) as holder, upgrading(toy, any_url, ALTER, **wait) as run:
        until(lambda: waits(db))
        victim = Victim(any_url, READS)
        until(lambda: awaits(db, victim.pid))
        victim.join(0.1)
        holder.commit()
        run.result()
        assert victim.survives()
    (step,) = steps(any_url)
    assert (step["tries"], step["victims"]) == (1, 1)
    assert step["victim_ms"] > 50


def test_what_an_online_operation_cost_is_recorded(toy: Toy, any_url: URL, db: Connection) -> None:
    toy.add("v1.1.0", "import sqlalchemy as sa\nfrom homeops_db import online\n"
            'online.add_column("t1", sa.Column("x", sa.Integer()))')  # fmt: skip
    run = Run(toy.config(any_url, lock_timeout=timedelta(seconds=20)))
    with holding(any_url) as holder:

        def begin(point: str) -> None:
            if point.endswith(": before") and holder.info.transaction_status.name == "IDLE":
                holder.execute(READS)  # after it has looked: too young to be waited for

        with faults.injected(begin):
            run.start()
            until(lambda: waits(db))
            victim = Victim(any_url, READS)
            until(lambda: awaits(db, victim.pid))
            victim.join(0.1)
            holder.commit()
            run.result()
        assert victim.survives()
    (step,) = [step for step in steps(any_url) if "subject" in step]
    assert (step["operation"], step["subject"], step["victims"]) == ("add_column", "t1.x", 1)
    assert step["victim_ms"] > 50


def test_what_came_to_nothing_is_recorded_too(toy: Toy, any_url: URL, db: Connection) -> None:
    """Nobody lets go: the operation gives up, with one session behind its last try."""
    toy.add("v1.1.0", "import sqlalchemy as sa\nfrom homeops_db import online\n"
            'online.add_column("t1", sa.Column("x", sa.Integer()))')  # fmt: skip
    times = {"lock_timeout": timedelta(seconds=1), "lock_give_up_after": timedelta(milliseconds=100)}
    run = Run(toy.config(any_url, **times))
    with holding(any_url) as holder:

        def begin(point: str) -> None:
            if point == "add_column: add: before" and holder.info.transaction_status.name == "IDLE":
                holder.execute(READS)

        with faults.injected(begin):
            run.start()
            until(lambda: waits(db))
            victim = Victim(any_url, READS)
            with pytest.raises(LockTimeoutError):
                run.result()
        assert victim.survives()
    (step,) = [step for step in steps(any_url) if "subject" in step]
    assert (step["operation"], step["stopped"]) == ("add_column", "LockTimeoutError")
    assert step["victims"] == 1
    query = re.search(r"```sql\n(select occurred_at.*?);\n```", OPERATIONS.read_text(), re.DOTALL)
    assert query is not None
    (found,) = db.execute(query[1].encode()).fetchall()
    assert found[1:5] == ("v1.1.0", "add_column", "t1.x", step["tries"])


def test_it_is_broken_off_when_it_costs_too_much(toy: Toy, any_url: URL, db: Connection) -> None:
    """A revision may set a lock_timeout of its own; who waits behind it is counted all the same."""
    code = """op.execute("set local lock_timeout = '60s'"); """ + ALTER
    with holding(any_url, READS) as holder, upgrading(toy, any_url, code) as run:
        until(lambda: waits(db))
        assert Victim(any_url, READS).survives()  # after max_victim_ms, 500 ms
        holder.commit()
        run.result()
    assert run.began == 2


def test_a_deadlock_is_tried_again(toy: Toy, any_url: URL, db: Connection) -> None:
    db.execute("create table other (id int)")
    code = """
op.execute("set local lock_timeout = '20s'; set local deadlock_timeout = '20ms'")
op.execute("alter table public.t1 add x int")
op.execute("alter table public.other add x int")
"""
    other = holding(any_url, "set deadlock_timeout = '20s'", "lock table other")
    with other as holder, upgrading(toy, any_url, code) as run:
        until(lambda: waits(db))
        holder.execute("select count(*) from t1")
        holder.commit()
        run.result()
    assert run.began >= 2


def test_another_error_is_not_tried_again(toy: Toy, any_url: URL, db: Connection) -> None:
    with (
        upgrading(toy, any_url, 'op.execute("select 1/0")') as run,
        pytest.raises(RevisionFailedError, match="division by zero"),
    ):
        run.result()
    assert run.began == 1


def test_an_administrators_cancel_is_obeyed(toy: Toy, any_url: URL, db: Connection) -> None:
    code = 'op.execute("select pg_sleep(20)")'
    with upgrading(toy, any_url, code) as run:
        sleeping = (
            "from pg_stat_activity where query = 'select pg_sleep(20)' and datname = current_database()"
        )
        until(lambda: db.execute(f"select 1 {sleeping} and state = 'active'").fetchone())
        db.execute(f"select pg_cancel_backend(pid) {sleeping}")
        with pytest.raises(RevisionFailedError, match="57014"):
            run.result()
    assert run.began == 1


COMMITS = {
    "before": "with op.get_context().autocommit_block():\n    op.execute('create table if not exists public.t2 (id int)')\n"
    'op.execute("alter table public.t1 add x int")',
    "inside": "with op.get_context().autocommit_block():\n    op.execute('create table if not exists public.t2 (id int)')\n"
    '    op.execute("alter table public.t1 add x int")',
    "by itself": "op.execute('create table if not exists public.t2 (id int)'); op.get_bind().commit()\n"
    'op.execute("alter table public.t1 add x int")',
}


@pytest.mark.parametrize("where", COMMITS)
def test_what_has_committed_a_part_is_not_tried_again(
    toy: Toy, any_url: URL, db: Connection, where: str
) -> None:
    billing = holding(any_url, READS, application_name="billing")
    with billing as holder, upgrading(toy, any_url, "\n" + COMMITS[where]) as run:
        with pytest.raises(LockTimeoutError) as refused:
            run.result()
        assert f"pid {holder.info.backend_pid}, billing" in str(refused.value)
    assert run.began == 1
    assert "ACCESS EXCLUSIVE on public.t1 was not to be had" in str(refused.value)
    assert "it has committed a part" in str(refused.value)
    assert columns(db) == 2  # t2 stays, t1 is as it was
    if where != "by itself":
        command.upgrade(toy.config(any_url), "head")
        assert columns(db) == 3


def test_a_row_in_use_is_waited_for_by_looking(toy: Toy, any_url: URL, db: Connection) -> None:
    code = 'op.execute("update public.t1 set id = 6 where id = 1")'
    updates = holding(any_url, "update t1 set id = 7 where id = 2; update t1 set id = 1 where id = 1")
    with updates as holder, upgrading(toy, any_url, code) as run:
        until(lambda: waits(db))
        until(lambda: not waits(db))
        for _ in range(20):
            assert not waits(db)
            run.join(0.01)
        holder.commit()
        run.result()
    assert run.began == 2
    assert db.execute("select count(*) from t1 where id = 6").fetchone() == (1,)


def test_giving_up_on_a_row_names_the_table_and_the_blocker(toy: Toy, any_url: URL, db: Connection) -> None:
    code = 'op.execute("update public.t1 set id = 6 where id = 1")'
    soon = {"lock_give_up_after": timedelta(milliseconds=300)}
    billing = holding(any_url, "update t1 set id = 1 where id = 1", application_name="billing")
    with billing as holder, upgrading(toy, any_url, code, **soon) as run:
        with pytest.raises(LockTimeoutError, match=r"rows of public\.t1 was not to be had") as refused:
            run.result()
        assert f"pid {holder.info.backend_pid}, billing" in str(refused.value)
    with connect(any_url) as connection:
        assert ledger.versions(connection)[-1].status == "failed"
        assert ledger.current(connection) == "v1.0.0"


def test_a_connection_that_was_handed_over_waits_no_longer(toy: Toy, any_url: URL, db: Connection) -> None:
    """It has no lock_timeout of its own: the server would let it wait without end."""
    engine = create_engine(any_url, poolclass=NullPool)
    toy.add("v1.1.0", TRY + ALTER)
    run = Run(toy.config(any_url, lock_timeout=timedelta(seconds=0.3)))
    with engine.connect() as given, holding(any_url, READS) as holder, faults.injected(run.count):
        run.config.attributes["connection"] = given
        run.start()
        until(lambda: waits_for_t1(db))
        until(lambda: not waits_for_t1(db))
        holder.commit()
        run.result()
    assert run.began == 2


def waits_for_t1(connection: Connection) -> bool:
    found = connection.execute("select 1 from pg_locks where not granted and relation = 't1'::regclass")
    return found.fetchone() is not None


def test_a_connection_of_another_driver_is_refused_in_one_line(toy: Toy, any_url: URL) -> None:
    class Context:
        class connection:  # noqa: N801
            class connection:  # noqa: N801
                driver_connection = object()

    with pytest.raises(DatabaseError, match="psycopg 3"):
        driver_of(Context())


def test_a_revision_may_choose_its_isolation_level(toy: Toy, any_url: URL, db: Connection) -> None:
    """It must be the first statement that reads: nothing of ours comes before it.

    (In the first revision of a run Alembic itself has read the version by then.)
    """
    toy.add("v1.0.1", change="patch")
    code = 'op.execute("set transaction isolation level serializable"); op.execute("select 1")'
    with upgrading(toy, any_url, code) as run:
        run.result()


def test_the_time_is_counted_from_the_first_failure(toy: Toy, any_url: URL, db: Connection) -> None:
    """A revision that has worked for longer than that has its second try."""
    code = 'op.execute("select pg_sleep(0.4)"); ' + ALTER
    soon = {"lock_give_up_after": timedelta(milliseconds=350)}
    with holding(any_url) as holder, upgrading(toy, any_url, code, **soon) as run:
        until(lambda: run.began == 1)
        holder.execute(READS)
        until(lambda: waits(db))
        until(lambda: not waits(db))
        holder.commit()
        run.result()
    assert run.began == 2
