"""Changes that go over several revisions are found again by what was asked for, and nothing else is taken for them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection

from homeops_db import online
from homeops_db.errors import ObjectError
from tests.online.filling import rows, scalar

pytestmark = pytest.mark.usefixtures("unhurried")

TABLE = """
create table lines (id int primary key, amount double precision not null, name text not null);
insert into lines values (1, 1.5, 'Ada Ames'), (2, 2.25, 'Bo Berg')
"""
MONEY = online.TypeChange(
    "lines", "amount", sa.Numeric(15, 2), up="amount::numeric(15,2)", down="amount::double precision"
)
FINER = online.TypeChange(
    "lines", "amount", sa.Numeric(18, 4), up="amount::numeric(18,4)", down="amount::numeric(15,2)"
)
FIRST = online.Restructure(
    "lines", columns=[..., sa.Column("first", sa.Text)], transform={"first": "split_part(name, ' ', 1)"}
)
ORDERED = online.Restructure("lines", columns=["name", ...])
OPEN = "select count(*) from migrations.changes where state not in ('contracted', 'undone')"


def type_of(db: Connection) -> str:
    return str(scalar(db, "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'lines'::regclass"
                          " and attname = 'amount'"))  # fmt: skip


def all_of(run: Callable[..., Any], change: Any, *steps: str) -> None:
    for step in steps:
        run(getattr(change, step))


def test_a_column_changes_its_type_again_and_both_are_taken_back(
    run: Callable[..., Any], db: Connection
) -> None:
    db.execute(TABLE)
    all_of(run, MONEY, "expand", "switch", "contract")
    all_of(run, FINER, "expand", "switch", "contract")
    assert type_of(db) == "numeric(18,4)"
    all_of(run, FINER, "undo_contract", "undo_switch", "undo_expand")
    assert type_of(db) == "numeric(15,2)"
    all_of(run, MONEY, "undo_contract", "undo_switch", "undo_expand")
    assert type_of(db) == "double precision"
    assert rows(db, "select amount from lines order by id") == [(1.5,), (2.25,)]


def test_a_table_is_restructured_again_and_both_are_taken_back(
    run: Callable[..., Any], db: Connection
) -> None:
    db.execute(TABLE)
    all_of(run, FIRST, "expand", "switch", "contract")
    all_of(run, ORDERED, "expand", "switch", "contract")
    assert rows(db, "select * from lines order by id") == [
        ("Ada Ames", 1, 1.5, "Ada"),
        ("Bo Berg", 2, 2.25, "Bo"),
    ]
    all_of(run, ORDERED, "undo_contract", "undo_switch", "undo_expand")
    all_of(run, FIRST, "undo_contract", "undo_switch", "undo_expand")
    assert rows(db, "select * from lines order by id") == [(1, 1.5, "Ada Ames"), (2, 2.25, "Bo Berg")]
    assert scalar(db, OPEN) == 0


@pytest.mark.parametrize(
    ("change", "edited", "named"),
    [(MONEY, replace(MONEY, up="(amount * 2)::numeric(15,2)"), "up="), (FIRST, replace(FIRST, drop=["name"]), "drop=")],
)  # fmt: skip
def test_a_revision_that_says_something_else_than_the_one_before_is_refused(
    run: Callable[..., Any], db: Connection, change: Any, edited: Any, named: str
) -> None:
    db.execute(TABLE)
    run(change.expand)
    with pytest.raises(
        ObjectError, match=rf"was begun with other {named} than this revision says\. Nothing was changed"
    ):
        run(edited.switch)
    run(change.switch)


@pytest.mark.parametrize(
    "refused",
    [
        online.TypeChange("lines", "amount", sa.Text, up="amount::text", down="nosuch::double precision"),
        online.TypeChange("lines", "id", sa.Text, up="id::text", down="id::int"),
        online.Restructure("lines", drop=["name"]),
    ],
)
def test_a_change_that_is_refused_leaves_nothing_open(
    run: Callable[..., Any], db: Connection, refused: Any
) -> None:
    db.execute(TABLE)
    db.execute("create table others (line int, constraint fk foreign key (line) references lines)")
    db.execute("create view named as select name from lines")
    with pytest.raises(ObjectError):
        run(refused.expand)
    if scalar(db, "select to_regclass('migrations.changes')") is not None:
        assert scalar(db, OPEN) == 0
    assert rows(db, "select nspname from pg_namespace where nspname like 'homeops%'") == []
    run(MONEY.expand)


def test_a_restructure_and_a_type_change_of_one_table_come_one_after_the_other(
    run: Callable[..., Any], db: Connection
) -> None:
    db.execute(TABLE)
    run(MONEY.expand)
    with pytest.raises(ObjectError, match=r"while the type change of public.lines.amount is open"):
        run(FIRST.expand)
    all_of(run, MONEY, "undo_expand")
    run(FIRST.expand)
    with pytest.raises(ObjectError, match=r"while the restructure of public.lines is open"):
        run(MONEY.expand)


def test_a_step_back_that_was_never_begun_says_so(run: Callable[..., Any], db: Connection) -> None:
    db.execute(TABLE)
    with pytest.raises(ObjectError, match=r"doesn't know what public.lines was"):
        run(FIRST.undo_switch)
