"""online.TypeChange: who holds a view, and then wants its table, while the switch makes the view again."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import nobody_else_counts, rows, slowly  # noqa: F401
from tests.online.meanwhile import at, in_background

AMOUNT = online.TypeChange("t", "amount", sa.BigInteger(), up="amount::bigint", down="amount::integer")
TABLE = """
create table t (id int primary key, amount int); insert into t values (1, 1);
create view v as select id, amount from t; create view w as select amount from v;
create function f() returns trigger language plpgsql as $$ begin
    insert into t (id, amount) values (new.id, new.amount); return new; end $$;
create trigger tr instead of insert on v for each row execute function f();
"""
ASKED = "select pid from pg_locks where relation = 't'::regclass and mode = 'AccessExclusiveLock'"
WAITS = "select pid from pg_locks where pid = %s and not granted"


@MOSTLY_HERE
@pytest.mark.parametrize("lock_timeout", ["50ms", slowly("5s")])
@pytest.mark.parametrize("step", ["switch", slowly("undo_switch")])
def test_who_holds_a_view_and_wants_its_table_meets_no_deadlock(
    run: Callable, db: Connection, any_url: URL, step: str, lock_timeout: str
) -> None:
    """The reader waits longer than the switch: it is the one that the server would choose."""
    db.prepare_threshold = None
    db.execute(TABLE)
    for before in ("expand",) if step == "switch" else ("expand", "switch"):
        run(getattr(AMOUNT, before))
    asked: list[Any] = []

    def switch() -> Any:
        with online.policy(lock_timeout=lock_timeout):
            return run(getattr(AMOUNT, step))

    def read() -> None:
        try:
            asked.append(reader.execute("select count(*) from t").fetchone())
        except psycopg.Error as error:
            asked.append(error)
        reader.execute("rollback")

    with connect(any_url) as reader, connect(any_url) as writer:

        def begin() -> None:
            reader.execute("begin; create temporary table x (like v)")  # holds ACCESS SHARE on the view alone
            writer.execute("begin; insert into t (id, amount) values (2, 2)")

        with at("switch: before", begin), in_background(switch) as switched:
            until(lambda: db.execute(ASKED).fetchone())
            with in_background(read):
                until(lambda: asked or db.execute(WAITS, (reader.info.backend_pid,)).fetchone())
                writer.execute("commit")
    assert asked == [(2,)]
    assert switched[0].changed
    assert rows(db, "select amount from w order by 1") == [(1,), (2,)]
