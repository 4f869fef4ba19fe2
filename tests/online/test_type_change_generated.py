"""online.TypeChange under generated columns: they are named before anything is changed, and how they come again."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from psycopg import Connection

from homeops_db import online
from homeops_db.errors import ObjectError
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import rows, scalar

AMOUNT = online.TypeChange(
    "t",
    "amount",
    sa.Numeric(15, 2),
    schema="shop",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)
MADE = """
create schema shop;
create table shop.t (id int primary key, amount double precision);
insert into shop.t select n, n from generate_series(1, 5) n;
"""


@pytest.mark.parametrize(
    ("any_url", "kind"),
    [
        ("local server", "stored"),
        pytest.param("stock 15", "stored", marks=pytest.mark.slow),
        pytest.param("stock 18", "stored", marks=pytest.mark.slow),
        ("stock 18", "virtual"),
    ],
    indirect=["any_url"],
)
def test_they_are_named_with_the_way_to_go(run: Callable, db: Connection, kind: str) -> None:
    db.execute(MADE)
    db.execute(f"alter table shop.t add twice float8 generated always as (amount * 2) {kind}".encode())
    with pytest.raises(ObjectError) as caught:
        run(AMOUNT.expand)
    said = str(caught.value)
    assert f"needed by: {kind} generated column shop.t.twice. Nothing was changed." in said
    assert ("online.Restructure()" in said) == (kind == "stored")
    assert rows(db, "select attname from pg_attribute where attname like 'homeops%'") == []

    run(online.drop_column, "t", "twice", schema="shop")
    for step in (AMOUNT.expand, AMOUNT.switch, AMOUNT.contract):
        with online.policy(lock_timeout="1s"):
            run(step)
    if kind == "virtual":
        column = sa.Column("twice", sa.Numeric, sa.Computed("amount * 2", persisted=False))
        run(online.add_column, "t", column, schema="shop")
        assert scalar(db, "select sum(twice) from shop.t") == 30


@MOSTLY_HERE
def test_the_column_itself_may_not_be_generated(run: Callable, db: Connection) -> None:
    db.execute(
        "create schema shop; create table shop.t (id int, amount float8 generated always as (id * 2) stored)"
    )
    with pytest.raises(ObjectError, match=r"it is generated \(drop it, and add it with the other type\)"):
        run(AMOUNT.expand)


@MOSTLY_HERE
def test_one_that_comes_between_the_steps_is_named_by_the_next(run: Callable, db: Connection) -> None:
    """It would go on reading the old column, and keep it from being dropped."""
    db.execute(MADE)
    add = "alter table shop.t add twice float8 generated always as (amount * 2) stored"
    with online.policy(lock_timeout="1s"):
        run(AMOUNT.expand)
        db.execute(add.encode())
        with pytest.raises(ObjectError, match=r"stored generated column shop.t.twice\. Nothing was changed"):
            run(AMOUNT.switch)
        db.execute("alter table shop.t drop twice")
        run(AMOUNT.switch)
        db.execute(add.encode())
        with pytest.raises(ObjectError, match="stored generated column"):
            run(AMOUNT.undo_switch)
        db.execute("alter table shop.t drop twice")
        run(AMOUNT.undo_switch)
