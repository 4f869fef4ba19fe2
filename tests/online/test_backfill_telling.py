"""What tells rows that are done: asked of real servers, and held against a plain UPDATE."""

import re
from collections.abc import Callable, Mapping

import pytest
from psycopg import Connection
from psycopg.errors import Error, FeatureNotSupported, StringDataRightTruncation

from homeops_db.errors import ObjectError
from homeops_db.online import subject
from homeops_db.online.backfill import telling
from homeops_db.online.backfill.telling import Telling
from homeops_db.online.work import at_work
from tests.online.columns import EVERYWHERE, MOSTLY_HERE

Tell = Callable[..., Telling]


@pytest.fixture
def tell(run: Callable) -> Tell:
    def ask(
        values: Mapping[str, str], where: str | None = None, table: str = "t", schema: str | None = None
    ) -> Telling:
        def operation() -> Telling:
            with at_work("backfill", table) as work:
                return telling.tell(work, subject.table_of(work.connection, table, schema), values, where)

        return run(operation)

    return ask


def count(db: Connection, told: Telling, table: str = "t") -> int:
    row = db.execute(f"select count(*) from {table} where {told.todo}".encode()).fetchone()
    assert row is not None
    return row[0]


# A column's type, what it holds, and the expression that is assigned. The last is the value of a row that
# equals what is assigned by the type's own idea, and isn't it; None where there is none.
TYPES = [
    ("numeric(15,2)", "amount::numeric(15,2)", None),
    ("numeric(15,2)", "amount::float8", None),
    ("numeric", "'1.00'::numeric + 0 * id", "1.0"),
    ("varchar(8)", "'x' || id", None),
    ("varchar(3)", "'x' || (id % 10) || '     '", None),
    ("char(5)", "'x' || id", None),
    ("bpchar", "'x' || id || ' '", "'x1'"),
    ("bit(4)", "'1010'::bit(4)", None),
    ('"bit"', "'1010'::bit(4)", None),
    ("varbit(6)", "'1010'::varbit", None),
    ('"char"', "'y'", None),
    ("real", "amount::float8 / 3", None),
    ("double precision", "'-0'::float8 * id", "'0'"),
    ("integer", "amount::numeric", None),
    ("smallint", "amount::float8", None),
    ("timestamp(0)", "'2024-01-01 10:00:00.6'::timestamp", None),
    ("timestamptz", "timestamp '2024-01-01' at time zone 'UTC'", None),
    ("interval", "interval '1 day' * id / id", "'24 hours'"),
    ("interval hour to minute", "interval '1 day 3:04:05.6'", None),
    ("jsonb", "('[' || amount || ']')::jsonb", None),
    ("jsonb", "'{\"a\": 1.00}'", "'{\"a\": 1.0}'"),
    ("json", "('{\"a\": ' || id || '}')::json", "'{ \"a\": 1 }'"),
    ("point", "point(id, 1)", None),
    ("box", "box(point(0, 0), point(id, 1))", "box(point(5, 5), point(6, 6))"),
    ("path", "'[(0,0),(1,1)]'", "'[(3,3),(4,4)]'"),
    ("int[]", "array[id, null]", None),
    ("int[]", "array[1.5, amount::numeric]", None),
    ("bytea", "decode(md5(id::text), 'hex')", None),
    ("int4range", "int4range(id, id + 3)", None),
    ("positive", "id + 0.4", None),
    ("short", "'x' || id", None),
    ("shade", "case when id > 2 then shade 'red' else 'blue' end", None),
    ("uuid", "md5(amount)::uuid", None),
    ("text collate folded", "'A' || id", "'a1'"),
    ("tsvector", "to_tsvector('english', 'a fat rat sat')", None),
    ("text", "null", None),
    ("date", "case when id > 3 then date '2024-01-01' end", None),
]

KINDS = """
create domain positive as int check (value > 0);
create domain short as varchar(4);
create type shade as enum ('red', 'blue');
"""
FOLDED = "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


@MOSTLY_HERE
def test_what_is_assigned_is_told_from_all_else(tell: Tell, db: Connection) -> None:
    db.execute(KINDS.encode())
    types = TYPES
    try:
        db.execute(FOLDED)
    except FeatureNotSupported:  # a server built without ICU
        types = [given for given in TYPES if "folded" not in given[0]]
    for type_, expression, alike in types:
        where = f"{type_} = {expression}"
        db.execute(
            f"drop table if exists t, twin; create table t (id int primary key, amount text, v {type_})".encode()
        )
        db.execute("insert into t select g, '1' || g || '.5', null from generate_series(1, 6) g")
        if alike:
            db.execute(f"update t set v = ({alike}) where id = 1".encode())
        db.execute("create table twin as select * from t")
        db.execute(f"update twin set v = ({expression})".encode())
        told = tell({"v": expression})
        assert told.is_proven, (where, told.why)
        assert told.todo is not None
        before = "select count(*) from t join twin w using (id) where row(t.v)::record *<> row(w.v)::record"
        (different,) = db.execute(before.encode()).fetchone() or (None,)
        assert alike is None or different == 6, where
        assert count(db, told) == different, where
        db.execute(f"update t set v = ({expression}) where {told.todo}".encode())
        assert count(db, told) == 0, where
        assert db.execute(before.encode()).fetchone() == (0,), where


@pytest.mark.parametrize("type_", ["varchar(3)", "char(3)", "cut", "bit(3)"])
def test_what_a_cast_would_cut_is_still_to_do(tell: Tell, db: Connection, type_: str) -> None:
    """A cast cuts it to what the row holds already, and an assignment refuses it."""
    value = "1011" if type_.startswith("bit") else "abcd"
    db.execute(
        f"create domain cut as varchar(3); create table t (id int, w varbit, a text, v {type_})".encode()
    )
    db.execute(f"insert into t values (1, '101', 'abc', '{value[:3]}')".encode())
    told = tell({"v": "w" if type_.startswith("bit") else "a"})
    assert count(db, told) == 0
    db.execute("update t set a = 'abcd', w = '1011'")
    with pytest.raises(Error) as caught:
        count(db, told)
    assert isinstance(caught.value, StringDataRightTruncation) or type_ == "bit(3)"


PARTS = [
    ("varchar(3)[]", "array[a]"),
    ("cut[]", "array[a]"),
    ("pair", "row(a, a)"),
    ("pair[]", "array[row(a, a)]::pair[]"),
]


@MOSTLY_HERE
@pytest.mark.parametrize(("type_", "expression"), PARTS)
def test_parts_that_a_cast_would_cut_tell_nothing(
    tell: Tell, db: Connection, type_: str, expression: str
) -> None:
    db.execute("create domain cut as varchar(3); create type pair as (b varchar(3), c text)")
    db.execute(f"create table t (id int, a text, v {type_})".encode())
    assert tell({"v": expression}) == Telling(
        None,
        f"nothing tells which rows are left: parts of a {type_.replace('varchar', 'character varying')}, v, may be cut",
        False,
    )
    assert tell({"v": expression}, "v is null").todo == "(v is null)"


ONE = """
create table t (id int primary key, n int, m int, a text, b text, g int generated always as (n + 1) stored);
insert into t select i, i, i, 'a' || i, null from generate_series(1, 10) i
"""

NOTHING = [
    ({"n": "n + 1"}, "the expression of n reads it, which is set"),
    ({"n": "t.n + m"}, "reads it, which is set"),
    ({"n": "g"}, "reads it, which is set"),
    ({"b": "(t is not null)::text"}, "reads it, which is set"),
    ({"b": "(t).a || hash_record(t.*)"}, "reads it, which is set"),
    ({"n": "m", "m": "n"}, "the expression of n reads m, which is set"),
    ({"m": "id", "n": "m + n"}, "the expression of n reads n, m, which is set"),
    ({"b": "now()::text"}, "the expression of b isn't immutable"),
    ({"b": "gen_random_uuid()"}, "isn't immutable"),
    ({"b": "to_char(now(), 'YYYY')"}, "isn't immutable"),
    ({"b": "(select max(a) from t)"}, "cannot use subquery"),
    ({"b": "(select o.a from other o where o.id = t.id)"}, "cannot use subquery"),
    ({"b": "ctid::text"}, "system columns"),
    ({"b": "timestamptz '2024-01-01Z'"}, "isn't immutable"),  # by DateStyle and TimeZone, when it is stored
    ({"b": "own(id)"}, "isn't immutable"),
]


@EVERYWHERE
def test_what_tells_nothing(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    db.execute(
        "create table other (id int, a text); create function own(int) returns text language plpgsql as $$begin return 'x'; end$$"
    )
    for values, why in NOTHING:
        told = tell(values)
        assert (told.todo, told.is_proven) == (None, False), values
        assert re.match(rf"nothing tells which rows are left: .*{re.escape(why)}", told.why), told.why


CONDITIONS = [
    ("b is null", "b"),
    ("t.b is null", "b"),
    ("n > 3 and (b is null and m < 7)", "b"),
    ("\"b\" IS NULL AND a LIKE 'a1%'", "b"),
    ("b is null or n > 3", None),
    ("not (b is null)", None),
    ("b is not null", None),
    ("coalesce(b, a) is null", None),
    ("a is null", None),
    ("exists (select from t o where o.b is null)", None),
    ("(b is null) is true", None),
    ("(b is null) = (a is null)", None),
]


@MOSTLY_HERE
def test_a_condition_that_rows_no_longer_meet_tells(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    for where, column in CONDITIONS:
        told = tell({"b": "a || random()", "n": "m + 1"}, where)
        assert not told.is_proven
        assert told.todo == (f"({where})" if column else None), where
        if column:
            assert told.why == "b IS NULL tells which rows are left (the expression of b isn't immutable)"
            db.execute("begin")
            assert db.execute(f"update t set b = a where {told.todo}".encode()).rowcount > 0
            assert count(db, told) == 0
            db.execute("rollback")


@MOSTLY_HERE
def test_rows_outside_of_the_condition_are_never_computed(tell: Tell, db: Connection) -> None:
    """The server evaluates the cheaper of two conditions first, whatever stands first."""
    db.execute(
        "create table t (id int primary key, a text, n int); insert into t values (1, '5'), (2, 'x'), (3, null)"
    )
    db.execute(
        "create function is_number(a text) returns boolean language sql immutable cost 100000 return a ~ '^[0-9]+$'"
    )
    told = tell({"n": "a::int"}, "is_number(a)")
    assert count(db, told) == 1
    db.execute(f"update t set n = a::int where {told.todo}".encode())
    assert db.execute("select n from t order by id").fetchall() == [(5,), (None,), (None,)]
    assert count(db, told) == 0


@MOSTLY_HERE
def test_what_gives_null_is_done(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    told = tell({"b": "nullif(a, 'a3')"}, "b is null and a is not null")
    assert told.is_proven
    assert count(db, told) == 9
    db.execute(f"update t set b = nullif(a, 'a3') where {told.todo}".encode())
    assert count(db, told) == 0


@MOSTLY_HERE
def test_several_columns_are_one_comparison(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    told = tell({"b": "a", "n": "id + 1"})
    assert told.why == "b, n compared with what is assigned tells which rows are left"
    db.execute("update t set b = a, n = id + 1 where id < 4; update t set b = a where id = 5")
    db.execute("update t set n = id + 1 where id = 6")
    assert count(db, told) == 7


def test_a_trigger_that_may_change_it_again(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    db.execute(
        "create function spoil() returns trigger language plpgsql as $$begin new.b := 'x'; return new; end$$"
    )
    others = [
        "a_off before update on t for each row execute function spoil(); alter table t disable trigger a_off",
        "a_replica before update on t for each row execute function spoil(); alter table t enable replica trigger a_replica",
        "a_after after update on t for each row execute function spoil()",
        "a_insert before insert on t for each row execute function spoil()",
        "a_statement before update on t for each statement execute function spoil()",
        "a_column before update of m on t for each row execute function spoil()",
    ]
    for other in others:
        db.execute(f"create trigger {other}".encode())
    assert tell({"b": "a"}).is_proven
    db.execute("create trigger one before insert or update on t for each row execute function spoil()")
    db.execute("create trigger two before update of b, m on t for each row execute function spoil()")
    told = tell({"b": "a"})
    assert (
        told.why
        == "b compared with what is assigned tells which rows are left; trigger one, two may change it again"
    )
    assert not told.is_proven
    db.execute(f"update t set b = a where {told.todo}".encode())
    assert count(db, told) == 10


@MOSTLY_HERE
def test_a_partitions_trigger_counts(tell: Tell, db: Connection) -> None:
    db.execute("create table p (id int, a text, b text) partition by range (id)")
    db.execute("create table p1 partition of p for values from (0) to (9)")
    db.execute("create function spoil() returns trigger language plpgsql as $$begin return new; end$$")
    assert tell({"b": "a"}, table="p").is_proven
    db.execute("create trigger one before update on p1 for each row execute function spoil()")
    assert not tell({"b": "a"}, table="p").is_proven


WRONG = [
    ({"x": "1"}, None, "no column x"),
    ({"ctid": "1"}, None, "no column ctid"),
    ({}, None, "No column"),
    ({"n": "nope"}, None, 'column "nope" does not exist'),
    ({"n": "u.a"}, None, "missing FROM-clause"),
    ({"n": "a"}, None, 'column "n" is of type integer'),
    ({"n": "'x'"}, None, "invalid input syntax"),
    ({"n": "1 / 0"}, None, "division by zero"),
    ({"n": "count(*)"}, None, "aggregate functions are not allowed"),
    ({"n": "row_number() over ()"}, None, "window functions are not allowed"),
    ({"n": "generate_series(1, 2)"}, None, "set-returning functions"),
    ({"n": "(1, 2)"}, None, "of type record"),
    ({"n": "*"}, None, "syntax error"),
    ({"g": "1"}, None, "can only be updated to DEFAULT"),
    ({"i": "1"}, None, "can only be updated to DEFAULT"),
    ({"n": "1) or (1=1"}, None, "syntax error"),
    ({"n": "1), (m = 1"}, None, "syntax error"),
    ({"n": "1, m = 1"}, None, "isn't one expression"),
    ({"n": "1, 2"}, None, "isn't one expression"),
    ({"n": "m AS x"}, None, "isn't one expression"),
    ({"n": "m x"}, None, "isn't one expression"),
    ({"n": "m from t"}, None, "isn't one expression"),
    ({"n": "1 where true"}, None, "isn't one expression"),
    ({"n": "1 union select 2"}, None, "isn't one expression"),
    ({"n": "1 limit 1"}, None, "isn't one expression"),
    ({"n": "distinct m"}, None, "syntax error"),
    ({"n": "all m"}, None, "syntax error"),
    ({"n": "default"}, None, "DEFAULT or a parameter"),
    ({"n": "$1"}, None, "DEFAULT or a parameter"),
    ({"n": "m -- a comment"}, None, "ends in a comment"),
    ({"n": "m /* open"}, None, "unterminated /. comment"),
    ({"n": "'open"}, None, "unterminated quoted string"),
    ({"n": "1;"}, None, "has a semicolon"),
    ({"n": "1; drop table t"}, None, "isn't|semicolon"),
    ({"n": ""}, None, "syntax error"),
    ({"n": "-- nothing"}, None, "syntax error"),
    ({"n": "1"}, "n > 1 -- a comment", "ends in a comment"),
    ({"n": "1"}, "n > 1) or (true", "syntax error"),
    ({"n": "1"}, "n > 1 limit 1", "isn't one condition"),
    ({"n": "1"}, "n > 1 group by n", "isn't one condition"),
    ({"n": "1"}, "n > 1 order by n", "isn't one condition"),
    ({"n": "1"}, "n > 1 union select 1", "isn't one condition"),
    ({"n": "1"}, "n > 1 for update", "isn't one condition"),
    ({"n": "1"}, "n > 1 returning n", "syntax error"),
    ({"n": "1"}, "current of c", "syntax error"),
    ({"n": "1"}, "", "syntax error"),
    ({"n": "1"}, "n", "must be type boolean"),
    ({"n": "1"}, "nope > 1", 'column "nope" does not exist'),
    ({"n": "1"}, "count(*) > 1", "aggregate functions are not allowed"),
    ({"n": "1"}, "n > %s", "syntax error"),
    ({"n": "1"}, "n > :x", "syntax error"),
]


@MOSTLY_HERE
def test_what_is_wrong_is_told_before_anything_is_changed(tell: Tell, db: Connection) -> None:
    db.execute(f"{ONE}; alter table t add i int generated always as identity")
    for values, where, why in WRONG:
        with pytest.raises(ObjectError) as caught:
            tell(values, where)
        assert re.fullmatch(rf"[^\n]*({why})[^\n]*\. Nothing was changed\. Check the revision\.", str(caught.value)), (
            values, where, str(caught.value),
        )  # fmt: skip


TEXTS = [
    "'100%' || a || '%s %(x)s {} {0} :y $1'",
    "E'\\\\' || a || 'it''s; -- \"quoted\" /* '",
    "a /* a comment */ || $x$ ) or ( $x$",
    "a -- a comment\n || 'x'",
    "case when a like '%1' then 'one' else a end",
]


@MOSTLY_HERE
def test_text_arrives_as_it_is_written(tell: Tell, db: Connection) -> None:
    db.execute(ONE)
    for text in TEXTS:
        told = tell({"b": text}, "a <> '%' and a <> '{}'")
        assert told.is_proven
        assert db.execute(f"update t set b = ({text}) where {told.todo}".encode()).rowcount == 10
        assert count(db, told) == 0


NAMES = ['a"; drop table t; --', "Ünïcode %s %% {} 'x'", "select", "ü" * 31 + "x"]


@MOSTLY_HERE
def test_identifiers_are_only_names(tell: Tell, db: Connection) -> None:
    for name in NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        db.execute(f"create schema {quoted}; create table {quoted}.{quoted} (id int, {quoted} text)".encode())
        db.execute(f"insert into {quoted}.{quoted} values (1), (2)".encode())
        told = tell(
            {name: f"{quoted}.id || ''"}, f"{quoted}.{quoted} is null or id > 0", table=name, schema=name
        )
        assert told.is_proven
        assert count(db, told, f"{quoted}.{quoted}") == 2
        db.execute(f"drop schema {quoted} cascade".encode())


@MOSTLY_HERE
def test_a_table_with_the_name_of_our_clone(tell: Tell, db: Connection) -> None:
    db.execute("create table homeops_clone (id int primary key, a int, homeops_reads int)")
    assert tell({"a": "homeops_clone.id"}, table="homeops_clone").is_proven
    assert not tell({"a": "homeops_clone.a"}, table="homeops_clone").is_proven
    assert db.execute("select count(*) from pg_class where relname like 'homeops%'").fetchone() == (2,)
