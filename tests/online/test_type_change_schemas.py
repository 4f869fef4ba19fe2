"""online.TypeChange on unusual schemas: each comes along and back, or is refused before anything is changed."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.dialects import postgresql

from homeops_db import online
from homeops_db.errors import ObjectError
from tests.online.columns import EVERYWHERE, MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import rows, scalar

pytestmark = pytest.mark.usefixtures("unhurried")


@dataclass(frozen=True)
class Case:
    """A schema around ``shop.t.amount``, with ``{type}`` where the type stands; rows are made by ``seed``."""

    made: str
    seed: str = "insert into shop.t (id, amount) select n, n from generate_series(1, 50) n"
    old: str = "integer"
    new: str = "bigint"
    type_: Any = sa.BigInteger
    up: str = "amount::bigint"
    down: str = "amount::integer"
    table: str = "t"
    column: str = "amount"

    @property
    def change(self) -> online.TypeChange:
        return online.TypeChange(
            self.table, self.column, self.type_, schema="shop", up=self.up, down=self.down
        )


def as_numeric(made: str, **given: Any) -> Case:
    return Case(
        made,
        **{
            "old": "double precision",
            "new": "numeric(15,2)",
            "type_": sa.Numeric(15, 2),
            "up": "amount::numeric(15,2)",
            "down": "amount::double precision",
            **given,
        },
    )


def as_text(made: str, **given: Any) -> Case:
    seed = "insert into shop.t (id, amount) select n, 'a' from generate_series(1, 50) n"
    return Case(
        made,
        **{
            "seed": seed,
            "old": "varchar(9)",
            "new": "text",
            "type_": sa.Text(),
            "up": "amount::text",
            "down": "amount::varchar(9)",
            **given,
        },
    )


LONG = "é" * 20 + 'Table "of" Quotes %s {x}'[:23]
ODD = 'My "Amount" %s {0} ' + "é" * 22
assert len(ODD.encode()) == 63 and len(LONG.encode()) == 63  # noqa: PT018


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("{", "{{").replace("}", "}}") + '"'


CASES = {
    "names of 63 bytes with quotes": replace(
        as_numeric(
            f"""
            create table shop.{quoted(LONG)} (id int, {quoted(ODD)} {{type}} not null default 1,
                constraint {quoted("pk" + ODD[2:])} primary key (id, {quoted(ODD)}),
                constraint {quoted("ck" + ODD[2:])} check ({quoted(ODD)} > -1),
                constraint {quoted("uq" + ODD[2:])} unique ({quoted(ODD)}, id));
            create index {quoted("ix" + ODD[2:])} on shop.{quoted(LONG)} ({quoted(ODD)}) where {quoted(ODD)} > 3;
            create view shop.{quoted("v" + ODD[1:])} as select {quoted(ODD)}, id from shop.{quoted(LONG)};
            create statistics shop.{quoted("st" + ODD[2:])} on {quoted(ODD)}, id from shop.{quoted(LONG)};
            create policy {quoted("po" + ODD[2:])} on shop.{quoted(LONG)} using ({quoted(ODD)} > 3);
            create function shop.f() returns trigger language plpgsql as 'begin return new; end';
            create trigger {quoted("tr" + ODD[2:])} before update of {quoted(ODD)} on shop.{quoted(LONG)}
                for each row when (new.{quoted(ODD)} > 3) execute function shop.f('a\\b''c%s {{{{');
            """,
            seed=f"insert into shop.{quoted(LONG).replace('{{', '{').replace('}}', '}')} select n, n from generate_series(1, 50) n",
            up=f"{quoted(ODD).replace('{{', '{').replace('}}', '}')}::numeric(15,2)",
            down=f"{quoted(ODD).replace('{{', '{').replace('}}', '}')}::double precision",
        ),
        table=LONG,
        column=ODD,
    ),
    "partitions": as_numeric(
        """
        create table shop.t (id int, amount {type} not null default 2, constraint ck check (amount > -5)) partition by range (id);
        create table shop.t1 partition of shop.t for values from (0) to (20);
        create table shop.t2 partition of shop.t for values from (20) to (100) partition by range (id);
        create table shop.t21 partition of shop.t2 for values from (20) to (100);
        create index ix on shop.t (amount) where amount > 3;
        create index ix1 on shop.t1 (amount);
        alter table shop.t1 add constraint ck1 check (amount < 5000);
        create view shop.v as select amount from shop.t union all select amount from shop.t21;
        """
    ),
    "children": as_numeric(
        """
        create table shop.t (id int primary key, amount {type} not null default 2, constraint ck check (amount > -5),
                             constraint ck_here check (amount < 9000) no inherit);
        create table shop.t1 (more text) inherits (shop.t);
        create index ix1 on shop.t1 (amount);
        alter table shop.t1 add constraint ck1 check (amount < 5000);
        """
    ),
    "a key with keys to it, from everywhere": Case(
        """
        create table shop.t (amount {type} primary key, id int, parent int references shop.t on delete set null);
        create table shop.a (n int primary key references shop.t (amount) on update cascade on delete cascade,
                             m int references shop.t (amount) match full deferrable initially deferred);
        create table shop.b (n int, constraint fk_b foreign key (n) references shop.t not valid);
        comment on constraint fk_b on shop.b is 'of b';
        create view shop.v as select t.amount, t.id, count(*) from shop.t join shop.a on a.n = t.amount group by t.amount, t.id;
        """,
        seed="insert into shop.t (amount, id) select n, n from generate_series(1, 50) n; insert into shop.a values (3, 4); insert into shop.b values (5)",
    ),
    "a composite key to itself, over the column on both sides": Case(
        """
        create table shop.t (amount {type}, id int, parent int, other int, constraint pk_t primary key (amount, id),
            constraint fk_self foreign key (amount, parent) references shop.t (amount, id) on delete set null (parent));
        create unique index uq on shop.t (id, amount);
        """,
        seed="insert into shop.t (amount, id, parent) select 7, n, nullif(n - 1, 0) from generate_series(1, 50) n",
    ),
    "keys to several tables": Case(
        """
        create table shop.o (n int primary key); insert into shop.o select generate_series(1, 50);
        create table shop.p (n int, m int, primary key (n, m)); insert into shop.p select n, n from generate_series(1, 50) n;
        create table shop.t (id int primary key, amount {type} references shop.o on delete cascade on update cascade,
            constraint fk_p foreign key (amount, id) references shop.p (n, m) deferrable);
        """
    ),
    "the column twice in an index": as_numeric(
        """
        create table shop.t (id int primary key, amount {type}, other numeric);
        create index ix on shop.t (amount desc nulls last, (amount * 2), (amount + other), amount) include (amount, id)
            with (fillfactor = 70) where amount > other and id > 3;
        alter index shop.ix alter column 2 set statistics 400;
        create index ih on shop.t using hash (amount);
        alter table shop.t add constraint ck_text check (amount > 3 or (other::text ~ '^[\\w''"%s]'));
        create index ib on shop.t using brin (amount) with (pages_per_range = 4);
        alter table shop.t add constraint ck check (case when amount > 3 then other > 0 or other is null else true end);
        create unique index un on shop.t (id, amount) nulls not distinct;
        alter table shop.t add constraint uc unique nulls not distinct (amount, id) include (other) ;
        """
    ),
    "statistics elsewhere": as_numeric(
        """
        create table shop.t (id int primary key, amount {type}, other int);
        create schema aside;
        create statistics aside.st (mcv, dependencies) on amount, other, (amount + 1) from shop.t;
        alter statistics aside.st set statistics 77;
        """
    ),
    "a collation": as_text(
        """
        create table shop.t (id int primary key, amount {type} collate "C" default 'a');
        create index ix on shop.t (amount);
        create index ip on shop.t (amount collate "POSIX" text_pattern_ops);
        """
    ),
    "an array": as_text(
        """
        create table shop.t (id int primary key, amount {type} not null default '{{}}');
        create index ix on shop.t using gin (amount) where amount @> '{{a}}';
        alter table shop.t add constraint ck check (amount <> '{{x}}');
        """,
        seed="insert into shop.t select n, '{a,b}' from generate_series(1, 50) n",
        old="varchar(9)[]",
        new="text[]",
        type_=postgresql.ARRAY(sa.Text()),
        up="amount::text[]",
        down="amount::varchar(9)[]",
    ),
    "an enumeration": as_text(
        """
        create type shop.mood as enum ('a', 'b');
        create table shop.t (id int primary key, amount {type} default 'a' not null check (amount in ('a', 'b')));
        create index ix on shop.t (id) where amount = 'b';
        """,
        old="text",
        new="shop.mood",
        type_=postgresql.ENUM("a", "b", name="mood", schema="shop"),
        up="amount::shop.mood",
        down="amount::text",
    ),
    "a sequence": Case(
        """
        create sequence shop."Se Q" as {type} increment 5 start 10;
        create table shop.t (id int primary key, amount {type} not null default nextval('shop."Se Q"'));
        alter sequence shop."Se Q" owned by shop.t.amount;
        grant usage on sequence shop."Se Q" to reader;
        select setval('shop."Se Q"', 555);
        """,
    ),
    "an identity that counts down": Case(
        """
        create table shop.t (id int, amount {type} generated by default as identity
            (sequence name shop."Id Q" start -5 increment -3 minvalue -900 maxvalue -1 cache 4 cycle) primary key);
        grant usage, select on sequence shop."Id Q" to reader;
        comment on sequence shop."Id Q" is 'downwards';
        """,
        seed="insert into shop.t (id) select n from generate_series(1, 50) n",
    ),
    "views on views": as_numeric(
        """
        create table shop.u (id int, amount double precision); create table shop.log (a text);
        create table shop.t (id int primary key, amount {type}, other int);
        create view shop.v with (check_option = local, security_barrier) as select id, amount from shop.t where id < 1000;
        create view shop.j (x, "Y y", z) as select t.id, t.amount, u.amount as other from shop.t join shop.u on t.amount = u.amount and u.id = t.id;
        create view shop.w as select v.id, v.amount from shop.v where id > 0;
        create rule ru as on update to shop.w do instead update shop.u set amount = new.amount where id = old.id;
        create rule rd as on delete to shop.w do instead (insert into shop.log values ('a;b'); delete from shop.u where id = old.id);
        comment on rule ru on shop.w is 'a rule';
        create function shop.f() returns trigger language plpgsql as 'begin return new; end';
        create trigger tv instead of update on shop.v for each row execute function shop.f('x\\y');
        comment on trigger tv on shop.v is 'a trigger';
        grant select on shop.v to reader;
        """
    ),
    "triggers and rules of all kinds": as_numeric(
        """
        create table shop.log (a text);
        create table shop.t (id int primary key, amount {type}, other int, "Odd One" int);
        create function shop.f() returns trigger language plpgsql as 'begin return null; end';
        create constraint trigger tc after update of amount, "Odd One" on shop.t deferrable initially deferred
            for each row when (new.amount > 99999) execute function shop.f('it''s', 'a\\b');
        create trigger ts after update of amount on shop.t for each statement execute function shop.f();
        alter table shop.t disable trigger ts;
        comment on trigger ts on shop.t is 'said';
        create rule rr as on delete to shop.t where old.amount > 8888 and exists (select from shop.log where a = 'x')
            do also (insert into shop.log values (old.amount || 'b;\\c'); delete from shop.log where a = 'q');
        alter table shop.t enable replica rule rr;
        """
    ),
    "functions": as_numeric(
        """
        create table shop.t (id int primary key, amount {type});
        create function shop.one(shop.t) returns boolean language sql immutable begin atomic select $1.amount > 3; end;
        create function shop.two(n int) returns table (i int, a double precision) language sql stable strict security definer
            set search_path = shop begin atomic select id, amount from shop.t where id = n; end;
        create procedure shop.three() language sql begin atomic update shop.t set amount = amount where id = -1; delete from shop.t where id = -1; end;
        create view shop.v as select id, shop.one(t) from shop.t;
        grant execute on function shop.two to reader;
        """
    ),
    "policies of other tables": as_numeric(
        """
        create table shop.t (id int primary key, amount {type});
        create table shop.u (id int, amount text);
        create policy po on shop.u to reader using (amount = 'a' and exists (select from shop.t where t.id = u.id and t.amount > 3));
        comment on policy po on shop.u is 'why';
        """
    ),
    "rights of a column": as_numeric(
        """
        create table shop.t (id int primary key, amount {type});
        grant select (amount), insert (amount) on shop.t to reader with grant option; grant references (amount) on shop.t to public;
        alter table shop.t alter amount set (n_distinct = -0.5, n_distinct_inherited = 7);
        """
    ),
    "NOT NULL with a name": as_numeric(
        "create table shop.t (id int primary key, amount {type} constraint must_be not null)"
    ),
}
ROLES = "do $$ begin if to_regrole('reader') is null then create role reader; end if; end $$"

LOOK = """
with mine as (select * from pg_class where relnamespace in (select oid from pg_namespace where nspname in ('shop', 'aside')))
select 'column', a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
       concat(a.attidentity, pg_get_expr(d.adbin, d.adrelid)), a.attacl::text,
       concat_ws(' ', nullif(coalesce(a.attstattarget, -1), -1), a.attoptions, nullif(a.attcollation::regcollation::text, '-'))
from mine c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and c.relkind not in ('S', 'i', 'I')
union all select 'relation', c.oid::regclass::text, c.relkind::text, c.relacl::text, c.reloptions::text,
    case when c.relkind = 'v' then pg_get_viewdef(c.oid) end, obj_description(c.oid, 'pg_class'), pg_get_userbyid(c.relowner)
from mine c
union all select 'sequence', seqrelid::regclass::text, seqtypid::regtype::text, concat_ws(' ', seqstart, seqincrement, seqmin, seqcache, seqcycle),
    pg_get_serial_sequence('shop.t', 'amount'), '', '', '' from pg_sequence join mine c on c.oid = seqrelid
union all select 'constraint', concat(conrelid::regclass, conname), pg_get_constraintdef(oid), convalidated::text,
    obj_description(oid, 'pg_constraint'), case when contype <> 'f' then conindid::regclass::text end, '', ''
from pg_constraint where connamespace = 'shop'::regnamespace
union all select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid::text,
    (select string_agg(nullif(attstattarget, -1)::text, ',') from pg_attribute where attrelid = indexrelid), i.indisclustered::text, '', ''
from pg_index i join mine c on c.oid = i.indrelid
union all select 'trigger', concat(tgrelid::regclass, tgname), pg_get_triggerdef(oid), tgenabled::text, obj_description(oid, 'pg_trigger'), '', '', ''
from pg_trigger where not tgisinternal
union all select 'policy', policyname, concat(roles, permissive), cmd, qual, with_check, '', '' from pg_policies
union all select 'rule', concat(ev_class::regclass, rulename), pg_get_ruledef(oid), ev_enabled::text, obj_description(oid, 'pg_rewrite'), '', '', ''
from pg_rewrite where rulename <> '_RETURN' and ev_class in (select oid from mine)
union all select 'function', proname, pg_get_functiondef(oid), proacl::text, '', '', '', '' from pg_proc where pronamespace = 'shop'::regnamespace
union all select 'statistics', stxname, regexp_replace(pg_get_statisticsobjdef(oid), ' ON .*', ''), nullif(coalesce(stxstattarget, -1), -1)::text, '', '', '', '' from pg_statistic_ext
order by 1, 2, 3, 4
"""


def look(db: Connection) -> list[tuple]:
    """Everything in the schema, in the server's words; numbers and names of indexes that it chose are plain."""

    def plain(text: Any) -> Any:
        text = re.sub(
            r"\(?'?(-?\d+(?:\.\d+)?)'?(?:::\w+)?\)?::(numeric|double precision|integer|bigint)",
            r"\1",
            str(text),
        )
        return re.sub(r"\s+|\((-?\d+)\)", r"\1", text)

    return [tuple(plain(one) for one in row) for row in db.execute(LOOK).fetchall()]


def drop(db: Connection) -> None:
    db.execute("drop schema if exists shop, aside cascade")


@pytest.fixture(autouse=True)
def role(db: Connection) -> None:
    db.execute(ROLES)
    db.execute("create schema shop")


QUICK = {
    "names of 63 bytes with quotes",
    "partitions",
    "a composite key to itself, over the column on both sides",
    "everything at once",
}


def slowly(names: Iterable[str]) -> list[Any]:
    """The quick run takes the ones that are most."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@MOSTLY_HERE
@pytest.mark.parametrize("name", slowly(CASES))
def test_it_comes_along_and_back(run: Callable, db: Connection, name: str) -> None:
    case = CASES[name]
    db.execute(case.made.format(type=case.new).encode())
    expected = look(db)
    drop(db)
    db.execute("create schema shop")
    db.execute(case.made.format(type=case.old).encode())
    db.execute(case.seed.encode())
    start = look(db)

    run(case.change.expand)
    run(case.change.switch)
    run(case.change.contract)
    assert not diff(look(db), expected), str(diff(look(db), expected))
    run(case.change.undo_contract)
    run(case.change.undo_switch)
    run(case.change.switch)
    run(case.change.undo_switch)
    run(case.change.undo_expand)
    assert not diff(look(db), start), str(diff(look(db), start))


def diff(found: list[tuple], expected: list[tuple]) -> list[tuple]:
    """What is there and shouldn't be, and the other way round."""
    return [("+", *one) for one in found if one not in expected] + [
        ("-", *one) for one in expected if one not in found
    ]


# Refusals ---------------------------------------------------------------------------------------------------

REFUSED = {
    "a unique key of a partitioned table": (
        "create table shop.t (id int, amount int, unique (amount, id)) partition by range (id)",
        "t_amount_id_key",
    ),
    "a primary key that is deferrable": (
        "create table shop.t (id int, amount int primary key deferrable)",
        "t_pkey",
    ),
    "a partition's default": (
        "create table shop.t (id int, amount int default 1) partition by range (id);"
        "create table shop.t1 partition of shop.t (amount default 2) for values from (0) to (9)",
        "default of its own in shop.t1",
    ),
    "a child's NOT NULL": (
        "create table shop.t (id int, amount int); create table shop.t1 (amount int not null) inherits (shop.t)",
        "NOT NULL of its own in shop.t1",
    ),
    "a child of two": (
        "create table shop.t (id int, amount int); create table shop.o (amount int);"
        "create table shop.t1 () inherits (shop.t, shop.o)",
        "shop",
    ),
    "a typed table": (
        "create type shop.shape as (id int, amount int); create table shop.t of shop.shape",
        "shop.shape",
    ),
    "stored rows": ("create table shop.t (id int, amount int); create table shop.log (was shop.t[])", "shop.log.was"),
    "an identity's sequence that others use": (
        "create table shop.t (id int, amount int generated always as identity (sequence name shop.sq));"
        "create table shop.o (n int default nextval('shop.sq'))",
        "shop.o",
    ),
    "a view that needs the primary key": (
        "create table shop.t (amount int primary key, id int);"
        "create view shop.v as select amount, id, count(*) from shop.t group by amount",
        "shop.v",
    ),
    "a domain": (
        "create domain shop.sure as int not null; create table shop.t (id int, amount shop.sure)",
        "domain without NULLs",
    ),
    "what hangs on a view": (
        "create table shop.t (id int, amount int); create view shop.v as select amount from shop.t;"
        "create function shop.f(shop.v) returns int language sql begin atomic select 1; end",
        "shop.f(shop.v)",
    ),
    "everything at once": (
        "create table shop.t (id int, amount int, twice int generated always as (amount * 2) stored);"
        "create view shop.v as select amount from shop.t; create materialized view shop.m as select * from shop.v;"
        "create table shop.log (was shop.t)",
        "twice",
        "shop.m (it reads view shop.v)",
        "shop.log",
    ),
}  # fmt: skip


def untouched(db: Connection) -> None:
    assert (
        rows(db, "select attrelid::regclass, attname from pg_attribute where attname like '%homeops%'") == []
    )
    assert rows(db, "select tgname from pg_trigger where tgname like '%homeops%'") == []


@MOSTLY_HERE
@pytest.mark.parametrize("name", slowly(REFUSED))
def test_what_cannot_be_carried_is_named(run: Callable, db: Connection, name: str) -> None:
    made, *named = REFUSED[name]
    db.execute(made.encode())
    before = look(db)
    with pytest.raises(ObjectError, match=r"Nothing was changed\.") as caught:
        run(Case(made).change.expand)
    assert [one for one in named if one not in str(caught.value)] == []
    untouched(db)
    assert look(db) == before


@EVERYWHERE
def test_keys_of_partitioned_tables(run: Callable, db: Connection) -> None:
    """Before PostgreSQL 18 they can't be NOT VALID: then nothing is begun."""
    db.execute(
        "create table shop.o (n int primary key); insert into shop.o select generate_series(1, 50);"
        "create table shop.t (id int, amount int references shop.o) partition by range (id);"
        "create table shop.t1 partition of shop.t for values from (0) to (100);"
        "insert into shop.t select n, n from generate_series(1, 50) n"
    )
    change = Case("").change
    if db.info.server_version < 180000:
        with pytest.raises(ObjectError, match="t_amount_fkey"):
            run(change.expand)
        untouched(db)
        return
    before = look(db)
    run(change.expand)
    run(change.switch)
    run(change.undo_switch)
    run(change.undo_expand)
    assert not diff(look(db), before), diff(look(db), before)


@EVERYWHERE
def test_a_not_null_keeps_its_name(run: Callable, db: Connection) -> None:
    case = CASES["NOT NULL with a name"]
    db.execute(case.made.format(type=case.old).encode())
    names = "select conname, convalidated from pg_constraint where contype = 'n' and conrelid = 'shop.t'::regclass order by 1"
    before = rows(db, names)
    for step in ("expand", "switch"):
        run(getattr(case.change, step))
    run(case.change.contract)
    assert rows(db, names) == before


# What others do meanwhile -----------------------------------------------------------------------------------


@MOSTLY_HERE
def test_what_is_made_and_dropped_between_the_steps(run: Callable, db: Connection) -> None:
    """New objects come along, dropped ones don't come back, and a right that was taken stays away."""
    db.execute(
        "create table shop.t (id int primary key, amount int, constraint ck check (amount < 1000));"
        "create index ix on shop.t (amount); create statistics shop.st on id, amount from shop.t;"
        "create table shop.o (n bigint); create unique index uq on shop.t (amount);"
        "grant select (amount) on shop.t to reader;"
        "insert into shop.t select n, n from generate_series(1, 50) n"
    )
    change = Case("").change
    run(change.expand)
    db.execute(
        "alter table shop.t drop constraint ck; drop index shop.ix; drop statistics shop.st;"
        "create index ix2 on shop.t (amount, id); alter table shop.t add constraint ck2 check (amount < 2000);"
        "alter table shop.o add constraint fk foreign key (n) references shop.t (amount);"
        "revoke select (amount) on shop.t from reader"
    )
    run(change.switch)
    changed = look(db)
    assert scalar(db, "select count(*) from pg_class where relname in ('ix', 'homeops_new_ix')") == 0
    assert scalar(db, "select has_column_privilege('reader', 'shop.t', 'amount', 'select')") is False
    db.execute("update shop.t set amount = 1500 where id = 1; insert into shop.o values (1500)")
    db.execute("create index ix3 on shop.t (amount) where amount > 5; drop index shop.ix2")
    run(change.undo_switch)
    names = [
        row[0]
        for row in rows(
            db,
            "select indexrelid::regclass::text from pg_index where indrelid = 'shop.t'::regclass order by 1",
        )
    ]
    assert [name for name in names if "homeops" not in name] == ["shop.ix3", "shop.t_pkey", "shop.uq"], (
        changed
    )
    run(change.undo_expand)
    assert (
        scalar(
            db,
            "select count(*) from pg_class where relname like '%homeops%' and relnamespace = 'shop'::regnamespace",
        )
        == 0
    )


@pytest.mark.slow
@MOSTLY_HERE
def test_a_second_change_waits_for_the_first(run: Callable, db: Connection) -> None:
    db.execute(
        "create table shop.t (id int primary key, amount int, other int, constraint ck check (amount > other))"
    )
    other = online.TypeChange(
        "t", "other", sa.BigInteger(), schema="shop", up="other::bigint", down="other::integer"
    )
    change = Case("").change
    run(change.expand)
    with pytest.raises(ObjectError, match="another type change"):
        run(other.expand)
    run(change.switch)
    with pytest.raises(ObjectError, match="another type change"):
        run(other.expand)
    run(change.contract)
    for step in ("expand", "switch", "contract"):
        run(getattr(other, step))
    assert (
        scalar(db, "select pg_get_constraintdef(oid) from pg_constraint where conname = 'ck'")
        == "CHECK ((amount > other))"
    )


@MOSTLY_HERE
def test_rows_that_a_policy_hides_are_no_proof(run: Callable, db: Connection, any_url: Any) -> None:
    """A role that isn't above row security sees a part of the rows, and must not call them equal."""
    db.execute(
        "do $$ begin if to_regrole('plain_owner') is null then create role plain_owner login; end if; end $$"
    )
    db.execute(
        "grant create, usage on schema shop to plain_owner; create table shop.t (id int primary key, amount int);"
        "insert into shop.t select n, n from generate_series(1, 50) n; create policy p on shop.t using (id > 25);"
        "alter table shop.t enable row level security, force row level security, owner to plain_owner"
    )
    db.execute(f"grant create on database {any_url.database} to plain_owner".encode())
    as_owner = any_url.set(username="plain_owner")
    with pytest.raises(ObjectError, match="which hide rows"), revision(as_owner):
        Case("").change.expand()
    untouched(db)
    db.execute("alter table shop.t no force row level security")
    with revision(as_owner):
        Case("").change.expand()
    db.execute("alter table shop.t force row level security")
    with pytest.raises(ObjectError, match="hide rows"), revision(as_owner):
        Case("").change.switch()
    db.execute("alter table shop.t no force row level security")
    with revision(as_owner):
        Case("").change.switch()
    assert scalar(db, "select pg_typeof(amount)::text from shop.t limit 1") == "bigint"


SETTINGS = {
    "datestyle": "ISO, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Pacific/Chatham",
    "extra_float_digits": "-10",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "search_path": "''",
    "default_transaction_isolation": "serializable",
    "bytea_output": "escape",
}


@pytest.mark.slow
@MOSTLY_HERE
def test_odd_settings_of_the_database_change_nothing(run: Callable, db: Connection, any_url: Any) -> None:
    made = """
        create table shop.t (id int primary key, amount {type} not null default 0.123456789012345,
            since date default '2024-02-03', note text,
            constraint ck check (amount > 0.012345678901234 and since > '2001-02-03' and note <> 'a\\b'));
        create index ix on shop.t (amount) where amount > 0.300000000000001 and since > '2011-12-10';
        create view shop.v as select amount from shop.t where since < '2031-04-05' and note <> 'c\\d';
    """
    case = as_numeric(made, new="numeric", type_=sa.Numeric(), up="amount::numeric")
    db.execute(made.format(type=case.new).encode())
    expected = look(db)
    drop(db)
    db.execute("create schema shop")
    db.execute(made.format(type=case.old).encode())
    db.execute("insert into shop.t (id) select generate_series(1, 50)")
    start = look(db)
    for name, value in SETTINGS.items():
        db.execute(
            f"alter database {any_url.database} set {name} = {value if name == 'search_path' else repr(value)}".encode()
        )
    try:
        for step in ("expand", "switch"):
            run(getattr(case.change, step))
        run(case.change.contract)
        assert not diff(look(db), expected), str(diff(look(db), expected))
        for step in ("undo_contract", "undo_switch", "undo_expand"):
            run(getattr(case.change, step))
        assert not diff(look(db), start), str(diff(look(db), start))
    finally:
        db.execute(f"alter database {any_url.database} reset all".encode())


@pytest.mark.slow
@MOSTLY_HERE
def test_default_privileges_give_nobody_more(run: Callable, db: Connection) -> None:
    """Views and sequences that are made again would get what new ones get."""
    db.execute(
        "create table shop.t (id int, amount int generated always as identity primary key);"
        "create view shop.v as select amount from shop.t; create view shop.w as select amount from shop.v; grant select on shop.w to reader;"
        "alter default privileges in schema shop grant select on tables to reader;"
        "alter default privileges in schema shop grant usage on sequences to public"
    )
    change = Case("").change
    run(change.expand)
    run(change.switch)
    run(change.contract)
    assert scalar(db, "select has_table_privilege('reader', 'shop.v', 'select')") is False
    assert scalar(db, "select has_table_privilege('reader', 'shop.w', 'select')") is True
    assert scalar(db, "select has_sequence_privilege('reader', 'shop.t_amount_seq', 'usage')") is False


@pytest.mark.parametrize("any_url", ["local server"], indirect=True)
def test_hypertables_are_refused(run: Callable, db: Connection) -> None:
    """TimescaleDB knows no ENABLE ALWAYS, without which replication's writes would pass the triggers by."""
    db.execute("create extension timescaledb")
    try:
        db.execute("create table shop.t (id int, at timestamptz not null, amount int)")
        db.execute("select create_hypertable('shop.t', 'at')")
        with pytest.raises(ObjectError, match="it is a hypertable"):
            run(Case("").change.expand)
        untouched(db)
    finally:
        db.execute("drop table shop.t; drop extension timescaledb cascade")


@MOSTLY_HERE
def test_the_triggers_can_be_said_again(run: Callable, db: Connection) -> None:
    """A backup that was taken between the steps has them in the server's own words."""
    db.execute("create table shop.t (id int primary key, amount int)")
    run(Case("").change.expand)
    made = rows(
        db,
        "select pg_get_triggerdef(oid), tgname from pg_trigger where tgrelid = 'shop.t'::regclass and tgname like 'zz%'",
    )
    assert len(made) == 3
    for statement, name in made:
        db.execute(f"drop trigger {name} on shop.t; {statement}".encode())
