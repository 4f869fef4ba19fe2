"""online.TypeChange under materialized views: they come along and back, filled, with all that is theirs."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.errors import LockTimeoutError, ObjectError
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import rows, scalar
from tests.online.meanwhile import at

AMOUNT = online.TypeChange(
    "t",
    "amount",
    sa.Numeric(15, 2),
    schema="shop",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)

CODE = online.TypeChange("t", "code", sa.Integer(), schema="shop", up="code::integer", down="code::text")

ROLES = "do $$ begin if to_regrole('reader') is null then create role reader; end if; end $$"
MADE = """
create schema shop;
create table shop.t (id int primary key, amount {type}, code text);
create table shop.u (amount double precision, word text);
insert into shop.t select n, n, 'c' || n % 3 from generate_series(1, 60) n;
insert into shop.u select n * 10, 'w' || n from generate_series(1, 5) n;
create materialized view shop.m (id, "How much", code) with (fillfactor = 70, toast.autovacuum_enabled = false)
    as select id, amount, code from shop.t where amount is not null order by id;
create unique index ix_m on shop.m (id);
create index ix_m_much on shop.m (("How much" * 2), code) include (id) with (fillfactor = 80) where code <> 'c1';
alter index shop.ix_m_much alter column 1 set statistics 77;
comment on index shop.ix_m is 'an index';
comment on materialized view shop.m is 'what there is';
comment on column shop.m.code is 'which';
alter materialized view shop.m alter code set statistics 55;
alter materialized view shop.m alter code set (n_distinct = 3);
alter materialized view shop.m alter code set storage external;
alter materialized view shop.m cluster on ix_m;
grant select on shop.m to reader with grant option;
grant select (id) on shop.m to public;
create materialized view shop.joined as
    select t.id, t.amount, word, row_number() over (order by t.amount) as place from shop.t join shop.u using (amount);
create materialized view shop.above (code, total) as select code, sum("How much") from shop.m group by code;
create index ix_above on shop.above (total);
create view shop.v as select a.code, a.total, m."How much" from shop.above a join shop.m m using (code);
grant select on shop.v to reader;
create materialized view shop.empty as select max(amount) as most from shop.t with no data;
create view shop.plain as select id, amount from shop.t;
"""
LOOK = """
with mine as (select * from pg_class where relnamespace = 'shop'::regnamespace)
select 'relation', c.relname::text, c.relkind::text, c.relacl::text, c.reloptions::text, c.relispopulated::text,
    case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end, obj_description(c.oid, 'pg_class'),
    (select t.reloptions::text from pg_class t where t.oid = c.reltoastrelid)
from mine c
union all select 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attacl::text,
    nullif(coalesce(a.attstattarget, -1), -1)::text, a.attoptions::text, a.attstorage::text, col_description(c.oid, a.attnum)
from mine c join pg_attribute a on a.attrelid = c.oid where a.attnum > 0 and not a.attisdropped and c.relkind <> 'i'
union all select 'index', c.relname, pg_get_indexdef(c.oid), i.indisclustered::text, i.indisvalid::text,
    (select string_agg(nullif(attstattarget, -1)::text, ',') from pg_attribute where attrelid = c.oid), '', '', ''
from mine c join pg_index i on i.indexrelid = c.oid
order by 1, 2, 3
"""


def look(db: Connection) -> list[tuple]:
    """Everything in the schema, in the server's words; numbers and aliases are written in one way."""
    number = r"\(?'?(-?\d+(?:\.\d+)?)'?(?:::\w+)?\)?::(numeric|double precision)"
    return [
        tuple(re.sub(number, r"\1", str(text)).replace("shop.t t\n", "shop.t\n") for text in row)
        for row in rows(db, LOOK)
    ]


def made(db: Connection, type_: str) -> list[tuple]:
    db.execute(ROLES)
    db.execute(MADE.format(type=type_).encode())
    return look(db)


@MOSTLY_HERE
def test_they_come_along_and_back(run: Callable, db: Connection) -> None:
    expected = made(db, "numeric(15,2)")
    db.execute("drop schema shop cascade")
    start = made(db, "double precision")
    run(AMOUNT.expand)
    db.execute("insert into shop.t values (100, 50, 'late')")
    run(AMOUNT.switch)
    assert look(db) != start
    assert (
        rows(db, "select relname from pg_class where relname like '%homeops%' and relkind in ('m', 'i')")
        == []
    )
    assert rows(db, "select total, pg_typeof(total)::text from shop.above where code = 'late'") == [
        (50, "numeric")
    ]
    assert scalar(db, "select count(*) from shop.joined") == 6
    run(AMOUNT.contract)
    assert differences(look(db), expected) == [], str(differences(look(db), expected))
    run(AMOUNT.undo_contract)
    run(AMOUNT.undo_switch)
    run(AMOUNT.undo_expand)
    assert differences(look(db), start) == [], str(differences(look(db), start))
    assert scalar(db, "select count(*) from shop.m") == 61


def differences(found: list[tuple], expected: list[tuple]) -> list[tuple]:
    """What is there and shouldn't be, and the other way round."""
    return [("+", *one) for one in found if one not in expected] + [
        ("-", *one) for one in expected if one not in found
    ]


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """What is asked here isn't how long a busy machine takes."""
    with online.policy(lock_timeout="1s", give_up_after="20s"):
        yield


SMALL = """
create schema shop;
create table shop.t (id int primary key, amount double precision, code text);
insert into shop.t select n, n, n from generate_series(1, 9) n;
create materialized view shop.m as select id, amount from shop.t;
"""
slow = partial(pytest.param, marks=pytest.mark.slow)
TOTAL = "select sum(amount)::int, pg_typeof(sum(amount))::text from shop.m"


@pytest.mark.slow
@MOSTLY_HERE
def test_they_are_as_fresh_as_the_switch(run: Callable, db: Connection) -> None:
    db.execute(SMALL)
    run(AMOUNT.expand)
    db.execute("insert into shop.t values (10, 55)")
    run(AMOUNT.switch)
    assert rows(db, TOTAL) == [(100, "numeric")]
    db.execute("insert into shop.t (id, amount) values (11, 100)")
    run(AMOUNT.undo_switch)
    assert rows(db, TOTAL) == [(200, "double precision")]


@MOSTLY_HERE
@pytest.mark.parametrize("how", [slow(""), "concurrently"])
def test_a_refresh_that_comes_between_filling_and_switch_is_not_lost(
    run: Callable, db: Connection, how: str
) -> None:
    db.execute(SMALL)
    db.execute("create unique index ix on shop.m (id)")
    run(AMOUNT.expand)

    def refresh() -> None:
        db.execute("insert into shop.t values (10, 55)")
        db.execute(f"refresh materialized view {how} shop.m".encode())

    with at("switch: before", refresh) as passed:
        run(AMOUNT.switch)
    assert passed.count("type_change_switch: switch: before") == 2, "the first try has met another one"
    assert rows(db, TOTAL) == [(100, "numeric")]


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("act", "holds"),
    [
        slow("create index late on shop.m (amount)", "exists (select from pg_class where relname = 'late')"),
        slow("comment on materialized view shop.m is 'x'", "obj_description('shop.m'::regclass) = 'x'"),
        slow("grant select on shop.m to reader", "has_table_privilege('reader', 'shop.m', 'select')"),
        slow(
            "create materialized view shop.n as select max(amount) as most from shop.t",
            "(select most from shop.n) = 9",
        ),
        slow("drop materialized view shop.m", "to_regclass('shop.m') is null"),
    ],
)
def test_what_is_done_to_one_meanwhile_comes_along(
    run: Callable, db: Connection, act: str, holds: str
) -> None:
    db.execute(ROLES)
    db.execute(SMALL)
    run(AMOUNT.expand)
    with at("switch: before", lambda: db.execute(act.encode())):
        run(AMOUNT.switch)
    assert scalar(db, f"select {holds}") is True
    run(AMOUNT.contract)
    assert (
        rows(db, "select relname from pg_class where relname like '%homeops%' and relkind in ('m', 'i')")
        == []
    )


@pytest.mark.slow
@MOSTLY_HERE
def test_its_readers_are_waited_for_by_looking(run: Callable, db: Connection, any_url: URL) -> None:
    """They hold no lock on the table: without a look, its writers would wait behind us for the readers."""
    db.execute(SMALL)
    run(AMOUNT.expand)
    with connect(any_url) as reader:

        def read() -> None:
            reader.execute("begin; select count(*) from shop.m")

        with (
            at("switch: before", read),
            online.policy(lock_timeout="100ms", give_up_after="500ms"),
            pytest.raises(LockTimeoutError, match=r"ACCESS EXCLUSIVE on shop\.m") as caught,
        ):
            run(AMOUNT.switch)
        assert f"pid {reader.info.backend_pid}" in str(caught.value)
        assert caught.value.tries == 1, "then it was waited for without a lock"
        reader.execute("rollback")
    run(AMOUNT.switch)
    assert rows(db, TOTAL) == [(45, "numeric")]


@pytest.mark.slow
@MOSTLY_HERE
def test_a_role_that_owns_them_is_enough_and_one_that_does_not_is_told(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(
        "do $$ begin if to_regrole('plain_owner') is null then create role plain_owner login; end if; end $$"
    )
    db.execute(SMALL)
    db.execute(
        "grant usage, create on schema shop to plain_owner; alter table shop.t owner to plain_owner;"
        "create unique index ix on shop.m (id)"
    )
    db.execute(f"grant create on database {any_url.database} to plain_owner".encode())
    as_owner = any_url.set(username="plain_owner")
    with (
        pytest.raises(ObjectError, match=r"must be owner of materialized view m") as caught,
        revision(as_owner),
    ):
        AMOUNT.expand()
    assert "Nothing was changed." in str(caught.value)
    db.execute("alter materialized view shop.m owner to plain_owner")
    for step in (AMOUNT.expand, AMOUNT.switch, AMOUNT.undo_switch, AMOUNT.switch, AMOUNT.contract):
        with revision(as_owner):
            step()
    assert rows(db, TOTAL) == [(45, "numeric")]
    assert scalar(db, "select pg_get_userbyid(relowner) from pg_class where relname = 'm'") == "plain_owner"


@MOSTLY_HERE
def test_one_that_cannot_be_filled_keeps_the_switch_from_being_done(run: Callable, db: Connection) -> None:
    db.execute(SMALL)
    db.execute("create unique index ix on shop.m (amount)")
    run(AMOUNT.expand)
    db.execute("insert into shop.t values (10, 9)")
    with pytest.raises(
        ObjectError, match=r"Materialized view shop.m .*can't be made .* Nothing was switched"
    ):
        run(AMOUNT.switch)
    assert rows(db, TOTAL) == [(45, "double precision")]
    run(AMOUNT.undo_expand)
    assert rows(db, "select relname from pg_class where relname like '%homeops%' and relkind = 'm'") == []
    run(AMOUNT.expand)
    db.execute("delete from shop.t where id = 10")
    run(AMOUNT.switch)
    assert rows(db, TOTAL) == [(45, "numeric")]


@pytest.mark.slow
@MOSTLY_HERE
def test_an_old_snapshot_reads_rows_of_them(run: Callable, db: Connection, any_url: URL) -> None:
    db.execute(SMALL)
    run(AMOUNT.expand)
    with connect(any_url) as reader:
        reader.execute("begin isolation level repeatable read; select count(*) from pg_class")
        run(AMOUNT.switch)
        assert rows(reader, TOTAL) == [(45, "numeric")]


REFUSED = {
    "over a view": (
        "create view shop.v as select amount from shop.t; create materialized view shop.w as select * from shop.v",
        r"materialized view shop.w \(it reads view shop.v\)",
    ),
    "under a function": (
        "create function shop.f() returns bigint language sql begin atomic select count(*) from shop.m; end",
        r"shop.f\(\)",
    ),
    "with an index that the type can't have": (
        "create materialized view shop.w as select code from shop.t; create index ix_w on shop.w (lower(code))",
        "ix_w",
    ),
    "of what the type can't do": (
        "create materialized view shop.w as select upper(code) as x from shop.t",
        "shop.*w.*upper",
    ),
}


@MOSTLY_HERE
@pytest.mark.parametrize("name", ["over a view", *map(slow, list(REFUSED)[1:])])
def test_what_cannot_be_made_is_named_before_anything_is_changed(
    run: Callable, db: Connection, name: str
) -> None:
    made, named = REFUSED[name]
    db.execute(SMALL)
    db.execute(made.encode())
    step = AMOUNT.expand if "amount" in made or "shop.m" in made else CODE.expand
    with pytest.raises(ObjectError, match=named) as caught:
        run(step)
    assert "Nothing was changed." in str(caught.value)
    assert rows(db, "select attname from pg_attribute where attname like 'homeops%'") == []


@pytest.mark.slow
@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
def test_a_run_that_ends_anywhere_goes_on_in_the_next(run: Callable, db: Connection) -> None:
    start = made(db, "double precision")
    run(AMOUNT.expand)
    with at("never", lambda: None) as points:
        run(AMOUNT.switch)
    switched = look(db)
    run(AMOUNT.undo_switch)
    for number in range(len(points)):
        count = iter(range(len(points) + 1))

        def end(_: str, count: Iterator[int] = count, number: int = number) -> None:
            if next(count, None) == number:
                raise Ended

        with pytest.raises(Ended), faults.injected(end):
            run(AMOUNT.switch)
        run(AMOUNT.switch)
        assert differences(look(db), switched) == [], points[number]
        run(AMOUNT.undo_switch)
    with pytest.raises(Ended), at("switch: committed", ended):
        run(AMOUNT.switch)
    run(AMOUNT.contract)
    assert (
        rows(db, "select relname from pg_class where relname like '%homeops%' and relkind in ('m', 'v')")
        == []
    )
    for step in (AMOUNT.undo_contract, AMOUNT.undo_switch):
        run(step)
    with pytest.raises(Ended), at("switch: before", ended):
        run(AMOUNT.switch)
    run(AMOUNT.undo_expand)
    assert differences(look(db), start) == []


class Ended(Exception):  # noqa: N818 - is no error
    """The run ends here."""


def ended() -> None:
    """End the run."""
    raise Ended
