"""online.TypeChange: everything that hangs on the column comes along, both ways, and no value is lost."""

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.errors import LockTimeoutError, ObjectError, UnsafeError, ViolationError
from tests.online.columns import EVERYWHERE, MOSTLY_HERE, psql, script_of
from tests.online.filling import rows, scalar

pytestmark = pytest.mark.usefixtures("unhurried")

AMOUNT = online.TypeChange(
    "t",
    "amount",
    sa.Numeric(15, 2),
    schema="shop",
    up="amount::numeric(15,2)",
    down="amount::double precision",
)

# The same objects around a column of either type, as somebody would have written them for that type.
SHOP = """
create schema shop;
create table shop.t (
    id int primary key,
    amount {type} not null default 0.5 constraint ck_t_amount check (amount > -1000),
    code text,
    note text,
    constraint ck_t_both check (amount < 1000000 or note is null),
    constraint uq_t_amount_code unique (amount, code) deferrable initially deferred
);
create index ix_t_amount on shop.t (amount desc nulls last) where amount > 3;
create index ix_t_twice on shop.t ((amount * 2), lower(code)) include (note);
create unique index uq_t_code_amount on shop.t (code) include (amount);
alter index shop.ix_t_amount set (fillfactor = 80);
alter table shop.t add constraint ck_t_late check (amount <> 77) not valid;
create statistics shop.st_t on amount, code from shop.t;
alter table shop.t alter amount set statistics 321;
comment on index shop.ix_t_amount is 'an index';
comment on constraint ck_t_amount on shop.t is 'a check';
comment on constraint uq_t_amount_code on shop.t is 'both';
comment on statistics shop.st_t is 'some';
alter table shop.t cluster on uq_t_code_amount;
create view shop.v as select id, amount, code from shop.t where amount is not null;
create view shop.above with (security_barrier) as select sum(amount) as total, count(*) as n from shop.v;
comment on view shop.v is 'what there is';
comment on column shop.v.amount is 'how much there';
alter view shop.v alter code set default 'by view';
create function shop.instead() returns trigger language plpgsql as 'begin return new; end';
create trigger tr_v instead of insert on shop.v for each row execute function shop.instead();
grant select, insert on shop.v to reader with grant option;
grant select (n) on shop.above to public;
comment on column shop.t.amount is 'how much';
grant select (amount), update (amount) on shop.t to reader;
create function shop.seen() returns trigger language plpgsql as 'begin return new; end';
create trigger tr_of before update of amount on shop.t for each row execute function shop.seen();
create trigger tr_when after update on shop.t for each row when (new.amount > 5) execute function shop.seen();
alter table shop.t enable always trigger tr_when;
create policy p_read on shop.t for select to reader using (amount > 1);
create policy p_write on shop.t as restrictive for update to public using (amount > 1) with check (amount < 9);
create rule r_big as on delete to shop.t where old.amount > 900000 do instead nothing;
create publication pub for table shop.t (id, amount, code) where (id > 0);
create function shop.total() returns bigint language sql begin atomic select count(amount) from shop.t; end;
"""
ROLES = "do $$ begin if to_regrole('reader') is null then create role reader; end if; end $$"

LOOK = """
select 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text, a.attacl::text, a.attstattarget::text
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = 'shop.t'::regclass and a.attnum > 0 and not a.attisdropped
union all select 'comment', objoid::regclass::text, objsubid::text, description, '', '', '' from pg_description
where classoid = 'pg_class'::regclass and objoid::regclass::text like 'shop.v%'
union all select 'constraint', conrelid::regclass || conname, pg_get_constraintdef(oid), convalidated::text,
    obj_description(oid, 'pg_constraint'), '', ''
from pg_constraint where connamespace = 'shop'::regnamespace and contype <> 'n'
union all select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid::text,
    obj_description(i.indexrelid, 'pg_class'), i.indisclustered::text, ''
from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'shop'::regnamespace
union all select 'trigger', tgname, pg_get_triggerdef(oid), tgenabled::text, '', '', '' from pg_trigger
where not tgisinternal and tgrelid::regclass::text like 'shop.%'
union all select 'policy', policyname, roles::text || permissive, cmd, qual, with_check, '' from pg_policies
union all select 'rule', rulename, definition, '', '', '', '' from pg_rules where schemaname = 'shop'
union all select 'publication', pubname, (select string_agg(n, ',' order by n) from unnest(attnames) n), rowfilter, '', '', '' from pg_publication_tables
union all select 'function', proname, pg_get_function_sqlbody(oid), '', '', '', '' from pg_proc
where pronamespace = 'shop'::regnamespace and prosqlbody is not null
union all select 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), c.relacl::text, c.reloptions::text,
    pg_get_userbyid(c.relowner),
    (select string_agg(format_type(a.atttypid, a.atttypmod) || coalesce(a.attacl::text, ''), ',' order by a.attnum)
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)
from pg_class c where c.relnamespace = 'shop'::regnamespace and c.relkind = 'v'
union all select 'statistics', stxname, (select string_agg(a.attname, ',' order by a.attname) from pg_attribute a
    where a.attrelid = stxrelid and a.attnum = any(stxkeys)), obj_description(oid, 'pg_statistic_ext'), '', '', '' from pg_statistic_ext
order by 1, 2, 3
"""


def look(db: Connection) -> list[tuple]:
    """Everything around the table, in the server's words; numbers are written in one way."""

    def plain(text: Any) -> Any:
        text = re.sub(
            r"\(?'?(-?\d+(?:\.\d+)?)'?(?:::\w+)?\)?::(numeric|double precision|integer|bigint)",
            r"\1",
            str(text),
        )
        return re.sub(r"\s+|\((-?\d+)\)", r"\1", text)

    return [tuple(plain(one) for one in row) for row in db.execute(LOOK).fetchall()]


@pytest.fixture
def as_numeric(db: Connection) -> list[tuple]:
    """What the shop looks like that was made with the new type from the start."""
    db.execute(ROLES)
    db.execute(SHOP.format(type="numeric(15,2)").encode())
    found = look(db)
    db.execute("drop publication pub; drop schema shop cascade")
    return found


@EVERYWHERE
def test_everything_comes_along_and_back(run: Callable, db: Connection, as_numeric: list[tuple]) -> None:
    db.execute(SHOP.format(type="double precision").encode())
    db.execute("insert into shop.t select n, n / 7.0, 'c' || n from generate_series(1, 300) n")
    as_double, before = look(db), rows(db, "select id, amount, code from shop.t order by id")

    assert run(AMOUNT.expand).changed
    assert not run(AMOUNT.expand).changed
    assert run(AMOUNT.switch).changed
    assert not run(AMOUNT.switch).changed
    assert run(AMOUNT.contract).changed
    assert not run(AMOUNT.contract).changed
    assert look(db) == as_numeric
    assert rows(db, "select id, amount from shop.t order by id") == rows(
        db, "select n, (n / 7.0)::double precision::numeric(15,2) from generate_series(1, 300) n"
    )

    assert run(AMOUNT.undo_contract).changed
    assert run(AMOUNT.undo_switch).changed
    assert run(AMOUNT.undo_expand).changed
    assert look(db) == as_double
    assert [row[0] for row in rows(db, "select id from shop.t order by id")] == [row[0] for row in before]


@MOSTLY_HERE
def test_until_contract_the_way_back_loses_nothing(
    run: Callable, db: Connection, as_numeric: list[tuple]
) -> None:
    db.execute(SHOP.format(type="double precision").encode())
    db.execute("insert into shop.t select n, n / 7.0, 'c' || n from generate_series(1, 300) n")
    as_double, before = look(db), rows(db, "select id, amount from shop.t order by id")
    run(AMOUNT.expand)
    run(AMOUNT.switch)
    db.execute(
        "update shop.t set amount = 8.25 where id = 7; insert into shop.t (id, amount) values (1000, 4.75)"
    )
    run(AMOUNT.undo_switch)
    run(AMOUNT.undo_expand)
    assert look(db) == as_double
    expected = dict(before) | {7: 8.25, 1000: 4.75}
    assert dict(rows(db, "select id, amount from shop.t")) == expected, "every bit of the others is as it was"
    assert scalar(db, "select count(*) from pg_proc where pronamespace = 'migrations'::regnamespace") == 0


# Values that don't fit ----------------------------------------------------------------------------------

CODE = online.TypeChange("t", "code", sa.Integer(), up="code::integer", down="code::text")


@MOSTLY_HERE
def test_a_value_that_does_not_fit_breaks_no_write_and_keeps_the_switch(
    run: Callable, db: Connection
) -> None:
    db.execute("create table t (id int primary key, code text not null)")
    db.execute(
        "insert into t select n, n::text from generate_series(1, 100) n; update t set code = 'x' where id = 50"
    )
    run(CODE.expand)
    db.execute("insert into t values (101, 'y'); update t set code = 'z' where id = 7")
    assert rows(db, "select id, code from t where id in (7, 50, 101) order by id") == [
        (7, "z"),
        (50, "x"),
        (101, "y"),
    ]
    with pytest.raises(ViolationError, match="can't be switched") as caught:
        run(CODE.switch)
    for key in (7, 50, 101):
        assert f'{{"id": "{key}"}}' in str(caught.value)
    assert scalar(db, "select pg_typeof(code)::text from t limit 1") == "text"
    db.execute("update t set code = id::text where id in (7, 50, 101)")
    run(CODE.switch)
    assert rows(db, "select id from t where code is distinct from id") == []
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.execute("insert into t values (102, null)")
    db.execute("update t set code = 7000 where id = 1")
    run(CODE.undo_switch)
    assert scalar(db, "select code from t where id = 1") == "7000"


@MOSTLY_HERE
def test_a_value_that_comes_between_proof_and_switch_is_met(run: Callable, db: Connection) -> None:
    """The row is as the proof found it, until the moment before the lock is taken."""
    from tests.online.meanwhile import at  # noqa: PLC0415

    db.execute("create table t (id int primary key, code text)")
    db.execute("insert into t select n, n::text from generate_series(1, 100) n")
    run(CODE.expand)
    bad = lambda: db.execute("update t set code = 'bad' where id = 3")  # noqa: E731
    with at("switch: before", bad), pytest.raises(ViolationError, match="id"):
        run(CODE.switch)
    db.execute("update t set code = '3' where id = 3")
    run(CODE.switch)
    assert scalar(db, "select code from t where id = 3") == 3


@MOSTLY_HERE
def test_an_index_that_comes_between_look_and_switch_comes_along(run: Callable, db: Connection) -> None:
    from tests.online.meanwhile import at  # noqa: PLC0415

    db.execute("create table t (id int primary key, code text); insert into t values (1, '1')")
    run(CODE.expand)
    with at("switch: before", lambda: db.execute("create index ix_late on t (code)")) as passed:
        run(CODE.switch)
    assert passed.count("type_change_switch: switch: before") == 2, "the first try has met another table"
    assert scalar(db, "select pg_get_indexdef('ix_late'::regclass)").endswith("(code)")
    run(CODE.contract)
    assert scalar(db, "select count(*) from pg_index where indrelid = 't'::regclass") == 2


# Refusals -----------------------------------------------------------------------------------------------


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("made", "named"),
    [
        (
            "alter table t add twice text generated always as (code || code) stored",
            "generated column t.twice",
        ),
        ("create materialized view m as select upper(code) from t", "upper"),
        ("create view v as select id from t where code = 'a'", "v"),
        ("create table u (code text references t (code))", "u"),
        ("alter table t add exclude (code with =)", "t_code_excl"),
    ],
)
def test_what_cannot_be_carried_is_named_before_anything_is_changed(
    run: Callable, db: Connection, made: str, named: str
) -> None:
    db.execute("create table t (id int primary key, code text unique)")
    db.execute(made.encode())
    with pytest.raises(ObjectError, match=r"Nothing was changed\.") as caught:
        run(CODE.expand)
    assert named in str(caught.value)
    assert scalar(db, "select count(*) from pg_attribute where attname like 'homeops%'") == 0
    assert scalar(db, "select count(*) from pg_trigger where tgname like '%homeops%'") == 0


@MOSTLY_HERE
def test_an_expression_that_depends_on_the_time_zone_is_refused(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, at timestamp)")
    change = online.TypeChange(
        "t", "at", sa.DateTime(timezone=True), up="at::timestamptz", down="at::timestamp"
    )
    with pytest.raises(UnsafeError, match="time zone"):
        run(change.expand)


@MOSTLY_HERE
def test_a_trigger_that_would_fire_after_ours_is_refused(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, code text)")
    db.execute("create function f() returns trigger language plpgsql as 'begin return new; end'")
    db.execute("create trigger zzz before update on t for each row execute function f()")
    with pytest.raises(ObjectError, match=r"Trigger zzz of public.t fires after"):
        run(CODE.expand)
    db.execute("alter trigger zzz on t rename to b")
    run(CODE.expand)


@MOSTLY_HERE
def test_what_other_triggers_make_of_a_row_is_seen(run: Callable, db: Connection) -> None:
    """Also where the statement didn't name the column."""
    db.execute("create table t (id int primary key, code text, note text); insert into t values (1, '1')")
    db.execute(
        "create function f() returns trigger language plpgsql as $$ begin new.code := '42'; return new; end $$"
    )
    db.execute("create trigger before_all before update on t for each row execute function f()")
    run(CODE.expand)
    db.execute(
        "update t set note = 'x'; set session_replication_role = replica; insert into t values (2, '7')"
    )
    run(CODE.switch)
    assert rows(db, "select id, code from t order by id") == [(1, 42), (2, 7)]


@MOSTLY_HERE
def test_without_its_triggers_nothing_is_switched(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, code text); insert into t values (1, '1')")
    run(CODE.expand)
    db.execute("alter table t disable trigger user")
    with pytest.raises(ObjectError, match="are gone, or were disabled"):
        run(CODE.switch)
    run(CODE.undo_expand)
    run(CODE.expand)
    run(CODE.switch)


@MOSTLY_HERE
def test_a_switch_that_would_hold_its_locks_for_too_long_is_not_done(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, code text); insert into t values (1, '1')")
    run(CODE.expand)
    with online.policy(lock_timeout="1ms"), pytest.raises(LockTimeoutError, match="would stop its table for"):
        run(CODE.switch)
    assert scalar(db, "select format_type(atttypid, -1) from pg_attribute where attname = 'code'") == "text"
    run(CODE.switch)


@MOSTLY_HERE
def test_the_wrong_order_of_steps_is_refused(run: Callable, db: Connection) -> None:
    db.execute("create table t (id int primary key, code text); insert into t values (1, '1')")
    run(CODE.expand)
    with pytest.raises(ObjectError, match=r"Run switch\(\) first"):
        run(CODE.contract)
    run(CODE.switch)
    with pytest.raises(ObjectError, match=r"Run undo_switch\(\) first"):
        run(CODE.undo_expand)
    assert scalar(db, "select code from t") == 1


# Types --------------------------------------------------------------------------------------------------

PAIRS = {
    "double to numeric": ("double precision", sa.Numeric(15, 2), "c::numeric(15,2)", "c::double precision", "n / 8.0"),
    "int to bigint": ("int", sa.BigInteger(), "c::bigint", "c::int", "n"),
    "text to enum": ("text", postgresql.ENUM("a", "b", name="mood"), "c::mood", "c::text", "case n % 2 when 0 then 'a' else 'b' end"),
    "varchar to text": ("varchar(20)", sa.Text(), "c::text", "c::varchar(20)", "'v' || n"),
    "json to jsonb": ("json", postgresql.JSONB(), "c::jsonb", "c::json", """('{"n": ' || n || '}')::json"""),
    "timestamp to timestamptz": (
        "timestamp", sa.DateTime(timezone=True), "c at time zone 'Europe/Berlin'", "c at time zone 'Europe/Berlin'",
        "timestamp '2024-03-31 00:30' + n * interval '1 hour'",
    ),
    "numeric scale": ("numeric(10,4)", sa.Numeric(10, 2), "c::numeric(10,2)", "c::numeric(10,4)", "n / 16.0"),
}  # fmt: skip


@MOSTLY_HERE
@pytest.mark.parametrize("pair", PAIRS)
def test_common_pairs_of_types(run: Callable, db: Connection, pair: str) -> None:
    old, new, up, down, value = PAIRS[pair]
    db.execute("create type mood as enum ('a', 'b')")
    db.execute(f"create table t (id int primary key, c {old}); create table was (like t)".encode())
    db.execute(
        f"insert into t select n, {value} from generate_series(1, 200) n; insert into t values (0, null)".encode()
    )
    if pair != "json to jsonb":
        db.execute("create index ix on t (c)")
    db.execute("insert into was select * from t")
    change = online.TypeChange("t", "c", new, up=up, down=down)
    run(change.expand)
    run(change.switch)
    assert (
        scalar(
            db,
            f"select count(*) from t join was using (id) where row(t.c)::record *<> row((select {up} from (select was.c) x))::record",
        )
        == 0
    )
    db.execute("update t set c = c where id = 5; insert into t select 500, c from t where id = 6")
    run(change.undo_switch)
    assert (
        scalar(db, "select count(*) from t join was using (id) where row(t.c)::record *<> row(was.c)::record")
        == 0
    )
    run(change.switch)
    run(change.contract)
    assert (
        scalar(db, "select count(*) from pg_attribute where attrelid = 't'::regclass and attname ~ 'homeops'")
        == 0
    )


# In --sql ----------------------------------------------------------------------------------------------


@MOSTLY_HERE
def test_a_script_does_it_at_once_and_online_steps_find_it_done(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute(
        'create table "T\'" (id int primary key, c double precision not null default 0.5 check (c > 0))'
    )
    db.execute(
        'create index ix on "T\'" (c); insert into "T\'" select n, n / 3.0 from generate_series(1, 30) n'
    )
    change = online.TypeChange(
        "T'", "c", sa.Numeric(12, 3), up="c::numeric(12,3)", down="c::double precision"
    )
    for step in (change.expand, change.switch, change.contract):
        psql(any_url, script_of(step))
    kind = "select format_type(atttypid, atttypmod) from pg_attribute where attname = 'c' and attrelid = '\"T''\"'::regclass"
    assert scalar(db, kind) == "numeric(12,3)"
    for step in (change.expand, change.switch, change.contract):
        assert not run(step).changed
    assert scalar(db, 'select count(*) from "T\'" where c = round(id / 3.0, 3)') == 30
    for step in (change.undo_contract, change.undo_switch, change.undo_expand):
        psql(any_url, script_of(step))
    assert scalar(db, kind) == "double precision"
    assert scalar(db, "select pg_get_expr(adbin, adrelid) from pg_attrdef") == "0.5"


@MOSTLY_HERE
def test_a_script_gives_a_column_without_default_none(db: Connection, any_url: URL) -> None:
    db.execute("create table t (id int primary key, code text); insert into t values (1, '7')")
    psql(any_url, script_of(CODE.switch))
    assert db.execute("select code, (select count(*) from pg_attrdef) from t").fetchone() == (7, 0)


@MOSTLY_HERE
def test_a_script_stops_where_an_online_change_stands_open(
    run: Callable, db: Connection, any_url: URL
) -> None:
    db.execute("create table t (id int primary key, code text)")
    run(CODE.expand)
    assert "is being changed online" in psql(any_url, script_of(CODE.switch), fails=True)
    run(CODE.switch)
    assert (
        scalar(db, "select format_type(atttypid, -1) from pg_attribute where attname = 'code'") == "integer"
    )


# Sequences ----------------------------------------------------------------------------------------------

NUMBERED = {
    "identity": "generated by default as identity (start 10 increment 5 cache 3)",
    "identity always": "generated always as identity",
    "serial": "not null default nextval('t_id_seq')",
}


@MOSTLY_HERE
@pytest.mark.parametrize("kind", NUMBERED)
def test_numbers_go_on_where_they_are(run: Callable, db: Connection, kind: str) -> None:
    db.prepare_threshold = None
    db.execute("create table other (id int)")
    if kind == "serial":
        db.execute("create sequence t_id_seq as int increment 2")
    db.execute(f"create table t (id int {NUMBERED[kind]} primary key, note text)".encode())
    if kind == "serial":
        db.execute("alter sequence t_id_seq owned by t.id")
    sequence = "select seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin, seqcache from pg_sequence where seqrelid = 't_id_seq'::regclass"
    was = rows(db, sequence)
    db.execute("insert into t (note) select 'x' from generate_series(1, 7)")
    change = online.TypeChange("t", "id", sa.BigInteger(), up="id::bigint", down="id::int")

    def inserted() -> int:
        return scalar(db, "insert into t (note) values ('y') returning id")

    seen = [inserted()]
    for step in (change.expand, change.switch):
        run(step)
        seen.append(inserted())
    assert rows(db, sequence) == [("bigint", *was[0][1:3], 2**63 - 1, *was[0][4:])]
    assert scalar(db, "select pg_get_serial_sequence('t', 'id')") == "public.t_id_seq"
    run(change.undo_switch)
    seen.append(inserted())
    assert rows(db, sequence) == was
    for step in (change.switch, change.contract):
        run(step)
        seen.append(inserted())
    assert seen == sorted(set(seen))
    step_of = was[0][2]
    assert seen[-1] - seen[0] <= step_of * (len(seen) + 3 * len(seen)), (
        "no more is left out than the cache holds"
    )
