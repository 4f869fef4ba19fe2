"""A constraint belongs to one column at a time: none of the other column's ever refuses a write."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.types import UserDefinedType

from homeops_db import online
from homeops_db.errors import ViolationError
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import rows, scalar

pytestmark = pytest.mark.usefixtures("unhurried")


class Citext(UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "citext"


@dataclass(frozen=True)
class Case:
    """Tables, a change of p.c, and what is written while each shape is the application's."""

    tables: str
    change: online.TypeChange
    before: str = ""
    after: str = ""


def change(type_: object, up: str, down: str) -> online.TypeChange:
    return online.TypeChange("p", "c", type_, up=up, down=down)


CASES = {
    "a check that counts values": Case(
        "create table p (id int primary key, c text, other text, constraint ck check (num_nonnulls(c, other) = 1));"
        "insert into p values (1, '1')",
        change(sa.Integer, "c::integer", "c::text"),
        before="insert into p (id, c) values (2, 'x')",
    ),
    "a value that is rounded over the limit": Case(
        "create table p (id int primary key, c double precision constraint ck check (c < 10)); insert into p values (1, 1)",
        change(sa.Numeric(15, 2), "c::numeric(15,2)", "c::double precision"),
        before="insert into p (id, c) values (2, 9.999)",
    ),
    "a key of two columns, both or none": Case(
        "create table q (a text, b int, primary key (a, b)); insert into q values ('1', 1), ('x', 1);"
        "create table p (id int primary key, c text, b int, foreign key (c, b) references q match full);"
        "insert into p values (1, '1', 1)",
        change(sa.String(3), "nullif(c, 'x')::varchar(3)", "c::text"),
        before="insert into p (id, c, b) values (2, 'x', 1)",
    ),
    "values that the old type can't tell apart": Case(
        "create table p (id int primary key, c varchar(5) unique); create unique index on p (lower(c)); insert into p values (1, 'a')",
        change(sa.Text, "c::text", "c::varchar(5)"),
        after="insert into p (id, c) values (2, 'longer one'), (3, 'longer two')",
    ),
    "a key that the old type can't hold, of a wider child": Case(
        "create table p (c int primary key); create table q (p bigint references p); insert into p values (1); insert into q values (1)",
        change(sa.BigInteger, "c::bigint", "c::int"),
        after="insert into p (c) values (3000000000); insert into q values (3000000000)",
    ),
}  # fmt: skip
CONSTRAINTS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid in (select oid from pg_class where relname in ('p', 'q')) and contype <> 'n' order by 1, 2
"""


@MOSTLY_HERE
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_write_is_refused_by_the_applications_constraints_alone(
    run: Callable, db: Connection, case: Case
) -> None:
    db.execute(case.tables)
    was = rows(db, CONSTRAINTS)
    run(case.change.expand)
    db.execute(case.before)
    if case.before:
        with pytest.raises(ViolationError, match=r"can't be (switched|built)"):
            run(case.change.switch)
        db.execute("delete from p where id = 2")
    run(case.change.switch)
    assert [name for _, name, _ in rows(db, CONSTRAINTS)] == [name for _, name, _ in was], "none has two"
    db.execute(case.after)
    if case.after:
        with pytest.raises(ViolationError, match=r"can't be (switched|built)"):
            run(case.change.undo_switch)
        db.execute("delete from q where p > 1" if "bigint" in case.tables else "select")
        db.execute("delete from p where length(c::text) > 5")
    run(case.change.undo_switch)
    assert rows(db, CONSTRAINTS) == was


def test_a_unique_key_is_looked_at_by_the_new_type_from_its_building_on(
    run: Callable, db: Connection
) -> None:
    db.execute(
        "create extension citext; create table p (id int primary key, c text unique); insert into p values (1, 'a')"
    )
    case = change(Citext(), "c::citext", "c::text")
    run(case.expand)
    assert scalar(db, "select count(*) from p where homeops_new_c = 'A'") == 1
