"""Which index serves a foreign key, and which dumps mean the same."""

from collections.abc import Iterator

import pytest
from psycopg import Connection, Rollback

from tests.fixtures.databases import connect
from tests.history.catalog_laws import unfinished, unindexed, unproven
from tests.history.conftest import made_database
from tests.history.dumps import differences

BEFORE = """
create schema a;
create table a.p (x int, y int, primary key (x, y), unique (x));
create table a.one (id int primary key, x int references a.p (x));
create table a.two (id int, x int, y int, foreign key (x, y) references a.p);
create index on a.two (y, x, id);
"""


@pytest.fixture(scope="module")
def toys() -> Iterator[Connection]:
    with made_database("keys") as url, connect(url) as db, db.transaction():
        db.execute(BEFORE)
        yield db


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("select 1", False),
        ("create index on a.one (x)", True),
        ("create index on a.one (x desc, id)", True),
        ("create unique index on a.one (x)", True),
        ("alter table a.one drop constraint one_pkey, add primary key (x, id)", True),
        ("create index on a.one (x) where x is not null", True),
        ("create index on a.one (x) where x > 0", False),
        ("create index on a.one (x) where id is not null", False),
        ("create index on a.one (x) where x is not null and id > 0", False),
        ("create index on a.one (id, x)", False),
        ("create index on a.one (id) include (x)", False),
        ("create index on a.one using hash (x)", False),
        ("create index on a.one ((x + 0))", False),
        ("create index dead on a.one (x); update pg_index set indisvalid = false where indexrelid = 'a.dead'::regclass", False),
    ],
)  # fmt: skip
def test_which_index_serves_a_foreign_key(toys: Connection, index: str, serves: bool) -> None:
    with toys.transaction():
        toys.execute(index.encode())
        expected = [] if serves else ["one_x_fkey of a.one: no index begins with x"]
        assert unindexed(toys) == expected
        assert unfinished(toys) == (["index a.dead is invalid"] if "dead" in index else [])
        raise Rollback


@pytest.mark.parametrize("index", ["drop index a.two_y_x_id_idx", "create index on a.two (x) include (y)"])
def test_a_key_of_two_columns_needs_both(toys: Connection, index: str) -> None:
    with toys.transaction():
        toys.execute("create index on a.one (x)")
        assert unindexed(toys) == []
        toys.execute("drop index if exists a.two_y_x_id_idx")
        if "create" in index:
            toys.execute(index.encode())
        assert len(unindexed(toys)) == 1
        raise Rollback


def test_an_unproven_constraint_is_named(toys: Connection) -> None:
    with toys.transaction():
        assert unproven(toys) == []
        toys.execute("alter table a.one add constraint big check (id > 0) not valid")
        assert unproven(toys) == ["constraint big of a.one is not valid"]
        raise Rollback


DUMP = """CREATE FUNCTION migrations.fill_3() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN NEW.a := 3; END $$;
CREATE FUNCTION a.f() RETURNS integer
    LANGUAGE sql
    AS $$ select 1; $$;
CREATE TABLE a.t (
    id integer NOT NULL,
    homeops_old_n double precision,
    n numeric,
    CONSTRAINT ck_n CHECK ((n > 0)),
    CONSTRAINT ck_id CHECK ((id > 0))
);
CREATE TABLE homeops_old_3.t (
    id integer
);
ALTER TABLE a.t
    ADD CONSTRAINT ck_m CHECK ((n > 1)) NOT VALID;"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fill_3", "fill_14"),
        ("homeops_old_3", "homeops_old_14"),
        (":= 3", ":= 4"),
        (" NOT VALID", ""),
        ("    homeops_old_n double precision,\n    n numeric,", "    n numeric,\n    homeops_old_n double precision,"),
        (",\n    CONSTRAINT ck_id CHECK ((id > 0))\n);", "\n);\nALTER TABLE a.t\n    ADD CONSTRAINT ck_id CHECK ((id > 0)) NOT VALID;"),
    ],
)  # fmt: skip
def test_what_means_the_same_is_the_same(old: str, new: str) -> None:
    assert old in DUMP
    assert differences(DUMP, DUMP.replace(old, new)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select 1", "select 2"),
        ("homeops_old_n double precision", "homeops_old_n numeric"),
        ("    homeops_old_n double precision,\n", ""),
        ("migrations.fill_3", "migrations.full_3"),
        ("n > 1", "n > 2"),
        ("id integer NOT NULL", "id integer"),
        ("    CONSTRAINT ck_n CHECK ((n > 0)),\n", ""),
        ("    id integer NOT NULL,\n    homeops_old_n double precision,\n    n numeric,",
         "    n numeric,\n    homeops_old_n double precision,\n    id integer NOT NULL,"),
    ],
)  # fmt: skip
def test_what_differs_is_shown(old: str, new: str) -> None:
    assert old in DUMP
    assert differences(DUMP, DUMP.replace(old, new)) != ""


def test_the_order_of_columns_may_be_left_out() -> None:
    one, other = (
        "CREATE TABLE a.t (\n    a int,\n    b int\n);",
        "CREATE TABLE a.t (\n    b int,\n    a int\n);",
    )
    assert differences(one, other) != ""
    assert differences(one, other, ordered=False) == ""
