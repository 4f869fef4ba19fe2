"""online.TypeChange under queries that name a table's columns by their places: they come to the new column."""

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
create table shop.t (id int primary key, amount double precision, code text);
create table shop.u (id int, amount double precision);
insert into shop.t select n, n, n from generate_series(1, 5) n;
create view shop.short as select x.b as v from shop.t x (a, b);
create view shop.full as select b as v from (select y.b from shop.t y (a, b, c) where y.b > 0) s;
create view shop.one as select x.a as v from shop.t x (a) where amount > 0;
create view shop.joined as select amount as v from shop.t join shop.u using (id, amount);
create view shop.named as with t (p, q) as (select id, amount from shop.t) select r.q as v from t r (p, q);
create materialized view shop.m as select x.b as v from shop.t x (a, b);
create function shop.f() returns float8 language sql begin atomic select max(x.b) as v from shop.t x (a, b); end;
create policy p on shop.u using (exists (select from shop.t x (a, b) where x.b = u.amount));
"""
READING = """
select distinct d.objid::regclass::text from (
    select coalesce(r.ev_class, d.objid) as objid, d.refobjsubid
    from pg_depend d left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    where d.refclassid = 'pg_class'::regclass and d.refobjid = 'shop.t'::regclass
      and d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass)) d
join pg_attribute a on a.attrelid = 'shop.t'::regclass and a.attnum = d.refobjsubid
where a.attname like 'homeops%'
"""


@MOSTLY_HERE
def test_lists_of_names_after_the_table_come_along_and_back(run: Callable, db: Connection) -> None:
    db.execute(MADE)
    views = ("short", "full", "one", "named", "m")

    def answers() -> list[tuple]:
        return [rows(db, f"select v::int from shop.{view} order by 1") for view in views] + [
            rows(db, "select shop.f()::int")
        ]

    before = answers()
    with online.policy(lock_timeout="1s"):
        for step in ("expand", "switch", "undo_switch", "switch", "contract"):
            run(getattr(AMOUNT, step))
            assert rows(db, READING) == [], step
            assert answers() == before, step
        assert scalar(db, "select pg_typeof(v)::text from shop.short limit 1") == "numeric"
        assert scalar(db, "select pg_typeof(v)::text from shop.m limit 1") == "numeric"
        for step in ("undo_contract", "undo_switch", "undo_expand"):
            run(getattr(AMOUNT, step))
    assert answers() == before
    assert scalar(db, "select pg_typeof(v)::text from shop.full limit 1") == "double precision"


@MOSTLY_HERE
def test_a_list_after_a_join_is_refused(run: Callable, db: Connection) -> None:
    db.execute(MADE)
    db.execute("create view shop.j as select j.b as v from (shop.t join shop.u using (id)) as j (a, b, c)")
    with pytest.raises(ObjectError, match=r"list of names after a join of shop.t .* Nothing was changed"):
        run(AMOUNT.expand)
    assert rows(db, "select attname from pg_attribute where attname like 'homeops%'") == []
