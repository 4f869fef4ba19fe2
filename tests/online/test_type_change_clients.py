"""What clients meet after a switch: a cached plan or type once, and the next try works."""

from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from tests.fixtures.databases import connect
from tests.online.columns import EVERYWHERE, MOSTLY_HERE

AMOUNT = online.TypeChange(
    "t", "amount", sa.Numeric(15, 2), up="amount::numeric(15,2)", down="amount::double precision"
)
TABLE = """
create table t (id int primary key, amount double precision);
insert into t select n, n / 4.0 from generate_series(1, 20) n
"""


@EVERYWHERE
def test_a_prepared_statement_of_psycopg_fails_once(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(TABLE)
    with connect(any_url) as client:

        def ask() -> object:
            with client.transaction():
                return client.execute("select amount from t where id = %s", (3,), prepare=True).fetchone()

        ask()
        run(AMOUNT.expand)
        ask()
        run(AMOUNT.switch)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan must not change"):
            ask()
        assert ask() is not None
        run(AMOUNT.contract)
        assert ask() is not None


@MOSTLY_HERE
def test_a_session_of_sqlalchemy_recovers_by_repeating_its_transaction(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(TABLE)
    engine = sa.create_engine(any_url, connect_args={"prepare_threshold": 0})
    failed = 0

    def read() -> float:
        with engine.begin() as connection:
            return float(connection.execute(sa.text("select amount from t where id = 8")).scalar_one())

    try:
        for step in (AMOUNT.expand, AMOUNT.switch, AMOUNT.undo_switch, AMOUNT.switch, AMOUNT.contract):
            read()
            run(step)
            try:
                found = read()
            except sa.exc.NotSupportedError:  # the whole transaction is repeated, on a connection of the pool
                failed += 1
                found = read()
            assert found == 2.0
    finally:
        engine.dispose()
    assert failed == 3, "once after each switch, and at no other step"


@EVERYWHERE
def test_functions_that_have_compiled_the_old_type_in_a_session_never_fail(
    run: Callable, db: Connection, any_url: URL
) -> None:
    """They would fail with each call (42804), until the session ends."""
    db.execute(TABLE)
    db.execute(
        """
        create function seen() returns trigger language plpgsql as
        $$ declare twice numeric; begin twice := new.amount * 2; return new; end $$;
        create trigger seen before update on t for each row execute function seen();
        create function read() returns numeric language plpgsql as
        $$ declare r record; begin select * into r from t where id = 2; return r.amount * 2; end $$
        """
    )
    with connect(any_url) as client:

        def use() -> None:
            client.execute("update t set amount = amount + 1 where id = 1")
            client.execute("select read()")

        use()
        for step in (AMOUNT.expand, AMOUNT.switch, AMOUNT.undo_switch, AMOUNT.switch, AMOUNT.contract):
            run(step)
            use()
