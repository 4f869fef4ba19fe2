"""online.Restructure while somebody changes what hangs on the table: it comes along, or ends the switch, by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Manifest
from homeops_db.errors import ObjectError
from tests.fixtures.databases import connect
from tests.online.columns import MOSTLY_HERE
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401
from tests.online.meanwhile import at
from tests.online.reshaping import OURS, unhurried  # noqa: F401

MADE = """
create table other (id int primary key); insert into other values (1), (2), (3), (4), (5), (6), (7), (8), (9);
create table child (t_id int);
create function touch() returns trigger language plpgsql as 'begin return new; end';
create table t (id int primary key, n int default 5 check (n < 1000), name text, note text, last_one int);
insert into t select g, g, 'n' || g from generate_series(1, 9) g;
create index ix_gone on t (n); create index ix_other on t (name); create unique index ux on t (id, n);
alter table t add constraint ck_gone check (name <> 'x'), add constraint fk_gone foreign key (id) references other,
    add constraint fk_new foreign key (n) references other, add constraint uq_gone unique (name);
create statistics st_gone on n, name from t; create statistics st_kept on id, name from t;
alter statistics st_kept set statistics 50; comment on statistics st_kept is 'kept';
comment on table t is 'a'; comment on column t.n is 'n'; comment on index ix_other is 'i'; comment on constraint uq_gone on t is 'c';
comment on constraint fk_new on t is 'fk';
grant select, insert, update on t to pg_monitor; grant select (n), update (n) on t to pg_read_all_data;
revoke truncate on t from current_user;
alter table t set (fillfactor = 80, autovacuum_enabled = off, toast.autovacuum_enabled = off), alter name set statistics 70,
    alter note set storage external, alter note set compression pglz, alter n set (n_distinct = 5);
alter table t cluster on ux, replica identity using index t_pkey;
create policy p_gone on t using (true); create policy p_other on t using (n > 1); create trigger tr_gone before update on t
    for each row execute function touch(); create view v_gone as select id from t; create view v_other as select n from t;
alter index ux set (fillfactor = 50); alter table t alter column last_one set default 3;
create materialized view m_other as select n from t; create materialized view m_gone as select n from t;
"""
CHANGED = """
drop index ix_gone; drop index ix_other; create index ix_other on t (note); create index ix_new on t (n desc) where n > 2;
alter table t drop constraint ck_gone, drop constraint fk_gone, drop constraint uq_gone, add constraint ck_new check (n > -5),
    add constraint fk_late foreign key (n) references other on delete cascade not valid, add constraint uq_new unique (name, id),
    alter n set default 6, alter last_one drop default, alter name set default 'new', alter name set not null,
    reset (fillfactor), set (parallel_workers = 2), alter name set statistics -1, alter id set statistics 20,
    alter note set storage main, alter note set compression default, alter n reset (n_distinct), replica identity full;
alter table t reset (toast.autovacuum_enabled);
alter table child add constraint fk_child foreign key (t_id) references t on delete cascade;
drop statistics st_gone; create statistics st_new on name, note from t; alter statistics st_kept set statistics -1;
comment on statistics st_kept is null; comment on table t is 'b'; comment on column t.n is null; comment on column t.note is 'new';
comment on constraint fk_new on t is null; comment on constraint t_pkey on t is 'key';
revoke insert on t from pg_monitor; grant delete on t to pg_monitor with grant option; revoke update (n) on t from pg_read_all_data;
grant select (name) on t to pg_read_all_data; grant truncate on t to current_user; revoke trigger on t from current_user;
alter table t set without cluster;
drop policy p_gone on t; drop policy p_other on t; create policy p_other on t using (n > 2); create policy p_new on t using (true);
drop trigger tr_gone on t; create trigger tr_new after insert on t for each row execute function touch();
drop view v_gone; drop view v_other; create view v_other as select n + 1 as n from t; create view v_new as select note from t;
alter index ux reset (fillfactor); comment on index ux is 'new';
drop materialized view m_gone; create index ix_m on m_other (n); comment on materialized view m_other is 'm';
alter table t enable row level security;
"""
CHANGE = online.Restructure("t", columns=("last_one", ...))


def manifest_of(db: Connection) -> Manifest:
    read = manifest.read(db, scalar(db, "select 't'::regclass::oid"))
    return replace(read, items=tuple(one for one in read.items if "homeops_" not in one.kind + one.name))


@pytest.mark.slow
@MOSTLY_HERE
@pytest.mark.parametrize("first", ["expand", "switch"])
def test_what_was_changed_comes_along(run: Callable[..., Any], db: Connection, first: str) -> None:
    db.prepare_threshold = None
    db.execute(MADE.encode())
    run(CHANGE.expand)
    if first == "switch":
        run(CHANGE.switch)
    for statement in CHANGED.split(";\n"):
        db.execute(statement.encode())
    before = manifest_of(db)
    run(CHANGE.switch if first == "expand" else CHANGE.undo_switch)
    assert manifest.differences(before, manifest_of(db), ordered=False) == []
    run(CHANGE.undo_switch if first == "expand" else CHANGE.switch)
    assert manifest.differences(before, manifest_of(db), ordered=False) == []
    assert scalar(db, "select count(*) from t") == 9
    run(CHANGE.undo_switch if first == "switch" else CHANGE.switch)
    run(CHANGE.contract if first == "expand" else CHANGE.undo_expand)
    assert rows(db, OURS) == []


@MOSTLY_HERE
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("alter table t add column more int", "column more is new"),
        slowly("alter table t drop column note", "column note is gone"),
        slowly("alter table t alter n type bigint", "column n was integer and is bigint"),
        slowly("alter table t drop constraint t_pkey", "it has no unique key of id without nulls any more"),
        slowly("alter table t rename n to number", "column number is new; column n is gone"),
    ],
)
def test_another_shape_ends_it(run: Callable[..., Any], db: Connection, statement: str, said: str) -> None:
    db.execute("create table t (id int primary key, n int, note text); insert into t values (1, 2, 'a')")
    change = online.Restructure("t", columns=("note", ...))
    run(change.expand)
    db.execute(statement.encode())
    db.execute("update t set id = 3")
    with pytest.raises(ObjectError) as caught:
        run(change.switch)
    assert f"public.t was changed since its other shape was begun: {said}. Nothing was switched." in str(
        caught.value
    )
    assert "run undo_expand(), and begin the change anew" in str(caught.value)
    run(change.undo_expand)
    assert rows(db, OURS) == []
    assert scalar(db, "select id from t") == 3


@MOSTLY_HERE
def test_a_default_that_both_shapes_have_of_their_own_ends_it(
    run: Callable[..., Any], db: Connection
) -> None:
    db.execute("create table t (id int primary key, n int default 5); create index ix on t (n) where n > 3")
    change = online.Restructure(
        "t", columns=("id", sa.Column("n", sa.Text)), transform={"n": "n::text"}, back={"n": "n::int"}
    )
    with pytest.raises(ObjectError, match="refuses to give it: index ix"):
        run(change.expand)
    db.execute("drop index ix; create index ix on t (n) where n is not null")
    run(change.expand)
    db.execute(
        "alter table t alter n set default 6; drop index ix; create index ix on t (n desc) where n is not null"
    )
    with pytest.raises(
        ObjectError, match="column default n is another one, and the other shape has one of its own"
    ):
        run(change.switch)
    db.execute("alter table t alter n set default 5")
    run(change.switch)
    assert "DESC" in scalar(db, "select pg_get_indexdef('ix'::regclass)")
    db.execute("insert into t values (1)")
    assert scalar(db, "select n from t") == "5"
    db.execute("drop index ix; create index ix on t (id) where n is not null")
    run(change.undo_switch)
    assert "(id)" in scalar(db, "select pg_get_indexdef('ix'::regclass)")


@MOSTLY_HERE
def test_nobody_waits_for_an_index_that_came_late(
    run: Callable[..., Any], db: Connection, any_url: URL
) -> None:
    db.execute(
        "create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 9) g"
    )
    change = online.Restructure("t", columns=("n", "id"))
    run(change.expand)
    db.execute("create index ix on t (n)")
    seen = []

    def write() -> None:
        with connect(any_url) as builder, connect(any_url, options="-c statement_timeout=1s") as writer:
            builder.autocommit = False  # holds what a build holds
            builder.execute(f"lock table homeops_new_{number}.t in share mode".encode())
            writer.execute(
                "insert into t values (20, 20); update t set n = 0 where id = 5; delete from t where id = 6"
            )
            seen.append(1)

    number = scalar(db, "select max(id) from migrations.changes")
    with at("restructure_switch: make index: before", write):
        run(change.switch)
    assert seen == [1]
    assert rows(db, "select id, n from t where id in (5, 6, 20) order by 1") == [(5, 0), (20, 20)]
    run(change.undo_switch)
    assert rows(db, "select id, n from t where id in (5, 6, 20) order by 1") == [(5, 0), (20, 20)]


@MOSTLY_HERE
def test_a_materialized_view_is_as_new_as_its_last_refresh(run: Callable[..., Any], db: Connection) -> None:
    db.execute("create table t (id int primary key, n int); insert into t values (1, 1)")
    db.execute(
        "create materialized view m as select sum(n) from t; create materialized view e as select id from t with no data"
    )
    change = online.Restructure("t", columns=("n", "id"))
    run(change.expand)
    db.execute("insert into t values (2, 5)")

    def refresh() -> None:
        db.execute("insert into t values (3, 10); refresh materialized view m")

    with at("restructure: proven", refresh):
        run(change.switch)
    assert scalar(db, "select * from m") == 16
    assert not scalar(db, "select relispopulated from pg_class where relname = 'e'")
    run(change.undo_switch), run(change.undo_expand)
    assert rows(db, OURS) == []


ON_THE_NEW_COLUMN = """
create index ix_label on t (label, n); comment on index ix_label is 'l'; comment on column t.label is 'l';
grant select (label) on t to pg_monitor; alter table t alter label set default 'd', alter label set statistics 30;
alter table t add constraint uq_label unique (label, id), add constraint ck_label check (label <> 'x'),
    add constraint fk_label foreign key (label) references labels; create statistics st_label on label, n from t;
"""
LEFT = "select relname from pg_class where relname ~ 'label' and relkind = 'i' and relnamespace = 'public'::regnamespace order by 1"


@MOSTLY_HERE
@pytest.mark.parametrize("contracted", [False, True])
def test_what_hangs_on_a_new_column_goes_with_it_on_the_way_back(
    run: Callable[..., Any], db: Connection, contracted: bool
) -> None:
    db.execute("create table labels (label text primary key); create table t (id int primary key, n int)")
    db.execute("insert into t values (1, 1), (2, 2)")
    change = online.Restructure("t", columns=(..., sa.Column("label", sa.Text)))
    run(change.expand)
    run(change.switch)
    db.execute(ON_THE_NEW_COLUMN.encode())
    if contracted:
        run(change.contract)
        run(change.undo_contract)
    assert [name for (name,) in rows(db, LEFT)] == ["ix_label", "labels_pkey", "uq_label"]
    run(change.undo_switch)
    assert [name for (name,) in rows(db, LEFT)] == ["labels_pkey"]
    assert sorted(rows(db, "select * from t")) == [(1, 1), (2, 2)]
    run(change.undo_expand)


@MOSTLY_HERE
def test_a_view_on_a_new_column_ends_the_way_back(run: Callable[..., Any], db: Connection) -> None:
    db.execute("create table t (id int primary key, n int)")
    change = online.Restructure("t", columns=(..., sa.Column("label", sa.Text)))
    run(change.expand)
    run(change.switch)
    db.execute("create view v as select label from t")
    run(change.contract)
    with pytest.raises(ObjectError, match=r"VIEW public\.v "):
        run(change.undo_contract)
    db.execute("drop view v")
    run(change.undo_contract)
