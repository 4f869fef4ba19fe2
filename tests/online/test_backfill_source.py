"""The select of a batched insert, read and narrowed; each piece is run by a server beside the whole."""

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from psycopg import Connection

from homeops_db.errors import ObjectError, OnlineError, UnsafeError
from homeops_db.online.backfill import source
from homeops_db.online.backfill.source import Source

TABLES = """
create schema "Sch ä";
create table t (id int primary key, k int, b text);
create table "Sch ä"."Tä b" (id int, "Grüße" text, k int);
create table u (k int, note text);
create table w (id int, k int);
insert into t select g, g % 4, 'b' || g from generate_series(1, 12) g;
insert into "Sch ä"."Tä b" select id, b, k from t;
insert into u select g % 5, 'n' || g from generate_series(1, 9) g;
insert into w select id, k from t
"""

# The select, and the table that drives it as it is found.
READ = [
    ("select id, b from t", "t"),
    ("select id, b from t;  -- end", "t"),
    ("/* begin */ select id, b from only t where id > 3 /* ; */ ;;", "t"),
    ("select id, b from only (t) where id > 3", "t"),
    ("select id, b from t * as x where x.id > 3", "t"),
    ("select t.id, t.b from t", "t"),
    ("select public.t.id, public /* s */ . t.b from public.t where public.t.id > 2", "t"),
    ("select public.t.* from t", "t"),
    ("select * from t as x (a, ü, c) where a > 1", "t"),
    ("select x.b, a from t x(a, z)", "t"),
    ("select 'größe', \"Grüße\" from -- FROM t\n only \"Sch ä\" /* t */ . \"Tä b\" AS ü where ü.id > 1", '"Sch ä"."Tä b"'),
    ('select "Sch ä"."Tä b"."Grüße", \'ß\' as x from "Sch ä"."Tä b" where "Sch ä"."Tä b".k = 1', '"Sch ä"."Tä b"'),
    ("select t.id, u.note from t join u on u.k = t.k", "t"),
    ("select t.id, u.note from t left join u using (k) left join w using (k)", "t"),
    ("select t.id, u.note from (t join u on u.k = t.k) left join w on w.k = u.k", "t"),
    ("select id, n from t, generate_series(1, t.k) n", "t"),
    ("select id, q.note from t join lateral (select note from u where u.k = t.k order by 1 limit 1) q on true", "t"),
    ("select id, b from t where exists (select from u where u.k = t.k)", "t"),
    ("select id, (select count(*) from u where u.k = t.k) as n, (select max(o.id) from t o) as m from t", "t"),
    ("select a.id, b.id as other from t a join t b on b.k = a.k and b.id > a.id", "t"),
    ("with c as (select k, count(*) as n from u group by k) select t.id, c.n from t join c using (k)", "t"),
    ("with t2 as (select * from t) select id, b from t where id in (select id from t2 order by 1 limit 3)", "t"),
    ("select to_jsonb(x), x.*::text, (x).id from t x", "t"),
    ("select unnest(array[id, k]), b like '%s%%' and b <> '$1' from t", "t"),
    ("(select id, b from t)", "t"),
    ('select "select".id from t "select"', "t"),
    ('select "a""b".id from t "a""b"', "t"),
    ("select id,b from(t join u on true)", "t"),
    ("select count.id, greatest(id, k) from t count", "t"),
]  # fmt: skip


@pytest.fixture
def tables(db: Connection) -> Iterator[Connection]:
    db.execute(TABLES.encode())
    yield db
    db.execute('drop schema "Sch ä" cascade')


def rows(db: Connection, text: str) -> list[str]:
    return sorted(map(repr, db.execute(text.encode()).fetchall()))


def columns(db: Connection, table: str) -> list[str]:
    found = db.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum",
        (table,),
    )
    return [name for (name,) in found]


def test_pieces_are_together_the_whole(tables: Connection) -> None:
    for select, table in READ:
        found = source.read(select)
        relation = table if "." in table else f"public.{table}"
        called = '"' + found.called.replace('"', '""') + '"'
        pieces: list[str] = []
        for condition in (f"{called}.id <= 5", f"id > 5 and {called}.id <= 9", "id > 9"):
            narrowed = found.narrowed(relation, condition, columns(tables, table))
            assert f"({condition})".strip("()") in narrowed
            pieces += rows(tables, narrowed)
        assert sorted(pieces) == rows(tables, select), select
        assert pieces
        source.check(tables, found)


def test_what_is_found() -> None:
    found = source.read('select a.id, b as "B b", 1 as n from only "S".t as a -- c')
    assert found == Source(
        schema="S", name="t", alias="a", columns=["id", "B b", "n"], is_only=True,
        text='select a.id, b as "B b", 1 as n from only "S".t as a',
        head='select a.id, b as "B b", 1 as n from ', tail=" as a",
    )  # fmt: skip
    assert found.narrowed('"S"."t_1"', "id > 1") == (
        'select a.id, b as "B b", 1 as n from (SELECT * FROM ONLY "S"."t_1" AS "a" WHERE id > 1) as a'
    )
    assert source.read("select upper(b), id from t").columns is None
    assert source.read("select id, t.* from t").columns is None
    assert source.read("select from t").columns is None


def test_a_partition_with_another_order_of_columns(tables: Connection) -> None:
    tables.execute("create table p (id int, a text, b text) partition by range (id)")
    tables.execute("create table p1 (b text, extra int, id int, a text); alter table p1 drop column extra")
    tables.execute("alter table p attach partition p1 for values from (0) to (100)")
    tables.execute("insert into p values (1, 'a', 'b')")
    for select in ("select * from p", "select x, y, z from p as q (x, y, z)"):
        narrowed = source.read(select).narrowed("public.p1", "true", columns(tables, "p"))
        assert tables.execute(narrowed.encode()).fetchall() == [(1, "a", "b")]


def test_a_condition_by_place_is_still_a_scan_by_place(tables: Connection) -> None:
    narrowed = source.read("select t.id, u.note from t left join u using (k)").narrowed(
        "public.t", "t.ctid > '(0,0)' and t.ctid <= '(0,7)'"
    )
    plan = "\n".join(line for (line,) in tables.execute(f"explain {narrowed}".encode()))
    assert "Tid Range Scan on t" in plan
    assert len(tables.execute(narrowed.encode()).fetchall()) > 7


SELECTS = sa.table("t", sa.column("id"), sa.column("b"), schema="public")


def test_a_select_of_sqlalchemy(tables: Connection) -> None:
    select = sa.select(SELECTS.c.id, SELECTS.c.b.label("Ü")).where(
        SELECTS.c.b.like("b%:1%") | (SELECTS.c.id > 3)
    )
    found = source.read(select)
    assert (found.schema, found.name, found.columns) == ("public", "t", ["id", "Ü"])
    assert len(rows(tables, found.narrowed("public.t", "id < 6"))) == 2
    with pytest.raises(ObjectError, match="has :x, which"):
        source.read(sa.select(SELECTS.c.id).where(sa.text("b = :x")))


REFUSED = [
    ("select id from t; select 1", ObjectError, "2 statements"),
    ("", ObjectError, "0 statements"),
    ("delete from t", ObjectError, "another statement"),
    ("select id form t where", ObjectError, "syntax error"),
    ("select 'a", ObjectError, "unterminated"),
    ("values (1), (2)", ObjectError, r"op\.bulk_insert"),
    ("table t", ObjectError, "isn't clear"),
    ("select id from U&\"t!0061\" uescape '!'", ObjectError, "isn't clear"),
    ("select 1", ObjectError, "FROM is missing"),
    ("select id from t where id = $1", ObjectError, r"\$1, which has no value"),
    ("select id into x from t", UnsafeError, "INTO"),
    ("select distinct k from t", UnsafeError, "DISTINCT"),
    ("select distinct on (k) id from t", UnsafeError, "DISTINCT"),
    ("select k from t group by k", UnsafeError, "GROUP BY"),
    ("select from t having true", UnsafeError, "HAVING"),
    ("select id from t limit 5", UnsafeError, "LIMIT"),
    ("select id from t fetch first 5 rows only", UnsafeError, "LIMIT"),
    ("select id from t offset 5", UnsafeError, "OFFSET"),
    ("select id from t order by id", UnsafeError, "ORDER BY"),
    ("select id from t for update", UnsafeError, "FOR UPDATE"),
    ("select id from t for share of t skip locked", UnsafeError, "FOR SHARE"),
    ("select id from t union all select id from w", UnsafeError, "batched insert for each part"),
    ("select id from t except select id from w", UnsafeError, "EXCEPT"),
    ("select count(*) from t", UnsafeError, "an aggregate"),
    ("select 1 + coalesce(sum(k), 0) from t", UnsafeError, "an aggregate"),
    ("select pg_catalog.max(k) from t", UnsafeError, "an aggregate"),
    ("select own(k order by k) from t", UnsafeError, "an aggregate"),
    ("select json_arrayagg(k) from t", UnsafeError, "an aggregate"),
    ("select row_number() over () from t", UnsafeError, "a window function"),
    ("select id, lag(k) over w from t window w as (order by id)", UnsafeError, "a window function"),
    ("select t.id from t right join u using (k)", UnsafeError, "RIGHT JOIN or FULL JOIN"),
    ("select t.id from t full join u using (k)", UnsafeError, "LEFT JOIN"),
    ("select t.id from (t left join u using (k)) right join w using (k)", UnsafeError, "RIGHT JOIN"),
    ("select j.id from (t join u using (k)) as j", UnsafeError, "called j"),
    ("with t as (select 1 as id) select id from t", ObjectError, "a WITH query"),
    ("select id from (select * from t) x", ObjectError, "a sub-select"),
    ("select g from generate_series(1, 3) g", ObjectError, "a function"),
    ("select id from t tablesample system (10)", ObjectError, "a sample"),
    ("with d as (delete from w returning id) select t.id from t join d using (id)", UnsafeError, "that writes"),
    ("select ctid from t", UnsafeError, "system column ctid"),
    ("select x.xmin from t x", UnsafeError, "system column xmin"),
    ("select id from t where exists (select from u where u.k = t.k and t.tableoid > 0)", UnsafeError, "tableoid"),
    ("select t.id from t, other.t", UnsafeError, "two tables that are called t"),
    ("select t.id from t join u as t on true", UnsafeError, "two tables that are called t"),
    ("select public.t.id from t where exists (select from u as t)", UnsafeError, "two tables that are called t"),
]  # fmt: skip


@pytest.mark.parametrize(("select", "kind", "told"), REFUSED)
def test_what_batches_would_change_is_refused(select: str, kind: type[OnlineError], told: str) -> None:
    with pytest.raises(kind, match=rf"{told}") as caught:
        source.read(select)
    assert re.fullmatch(r"[^\n]*[.] Nothing was changed[.] \w[^\n]*[.)]", str(caught.value))
    assert type(caught.value) is kind


def test_the_server_knows_more(tables: Connection) -> None:
    tables.execute("create aggregate own (int) (sfunc = int4pl, stype = int, initcond = '0')")
    for select in ("select own(k) from t", "select (select own(t.k)) from t"):
        with pytest.raises(UnsafeError, match=r"an aggregate.*Nothing was changed\."):
            source.check(tables, source.read(select))
    for select, told in (
        ("select nothing from t", "nothing"),
        ("select id from nowhere", "nowhere"),
        ("select id + b::point from t", "operator does not exist"),
        ("select id from t where id = 'x'", "invalid input syntax"),
    ):
        with pytest.raises(ObjectError, match=rf"{told}.*Nothing was changed\.") as caught:
            source.check(tables, source.read(select))
        assert "\n" not in str(caught.value)


def test_another_tables_system_column_is_none_of_ours(tables: Connection) -> None:
    found = source.read("select t.id, u.ctid as place from t join u using (k)")
    source.check(tables, found)
    assert rows(tables, found.narrowed("public.t", "id < 3")) == rows(tables, found.text + " where t.id < 3")
