"""online.TypeChange on schemas of other people's kind: in every state all is like where the type always was so.

What hangs on the table is compared item by item with a schema that has the state's type from the start, and so
are the rows of all tables, after the same was done in both: by the owner and by others, through views and rules.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.errors import ObjectError
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401
from tests.online.foreign_schemas import FOREIGN, ROLES, SHOP, Citext, Foreign

STEPS = (
    "expand", "switch", "undo_switch", "switch", "contract", "undo_contract", "undo_switch", "undo_expand",
)  # fmt: skip
APP, OLD, NEW = "sch_app", "sch_old", "sch_new"
ENDS = ("contract", "undo_expand")
"""After these nothing of ours is left."""
TENANT = "00000000-0000-0000-0000-00000000000a"


@dataclass
class Town:
    """The three schemas, and what is done in them."""

    foreign: Foreign
    db: Connection
    owner: str | None
    number: int = 0

    def build(self) -> None:
        """Make them."""
        self.db.execute(ROLES)
        self.db.execute("create schema extensions; create extension citext schema extensions")
        self.db.execute("create extension pg_trgm schema extensions; create extension btree_gist")
        self.db.execute("grant usage on schema extensions, public to public")
        digest = "md5('x')"
        if scalar(self.db, "select count(*) from pg_available_extensions where name = 'pgcrypto'"):
            self.db.execute("create extension pgcrypto schema extensions")
            digest = "encode(extensions.digest('x', 'sha256'), 'hex')"
        for schema, type_ in ((APP, self.foreign.old), (OLD, self.foreign.old), (NEW, self.foreign.new)):
            owner = f" authorization {self.owner}" if self.owner else ""
            self.db.execute(f"create schema {schema}{owner}".encode())
            with self._as(self.owner):
                made = self.foreign.made.replace("{s}", schema).replace("{t}", type_)
                self.db.execute(made.replace("{digest}", digest).encode())

    def act(self) -> None:
        """Do the same in all three; each act is a transaction."""
        self.number += 1
        for schema in (APP, OLD, NEW):
            for role, act in self.foreign.acts:
                statement = act.replace("{s}", schema).replace("{n}", str(self.number))
                with self._as(role or self.owner):
                    self.db.execute(statement.encode())

    def compare(self, step: str) -> None:
        """Compare with the schema whose column has always had the type of this state."""
        other = NEW if step in ("switch", "contract", "undo_contract") else OLD
        for table in self.foreign.tables:
            assert self._rows(APP, table) == self._rows(other, table), f"{table} after {step}"
        found, expected = (self._manifest(schema, is_ended=step in ENDS) for schema in (APP, other))
        assert manifest.differences(expected, found, ordered=False) == [], f"after {step}"

    def _rows(self, schema: str, table: str) -> list[str]:
        found = rows(self.db, f"select to_jsonb(t) from {schema}.{table} t")
        meant = (_without_ours(row) for (row,) in found)
        # That an update changed nothing is what an audit says of filling the other column.
        return sorted(str(row) for row in meant if not row.get("row_is") or row["row_was"] != row["row_is"])

    def _manifest(self, schema: str, *, is_ended: bool) -> Manifest:
        oid = scalar(self.db, f"select '{schema}.{self.foreign.table}'::regclass::oid")
        read = manifest.read(self.db, oid)
        items = (self._plain(item, schema) for item in read.items)
        kept = [item for item in items if is_ended or "homeops_" not in item.kind + item.name]
        return Manifest(read.table.replace(schema, APP), tuple(kept))

    def _plain(self, item: Item, schema: str) -> Item:
        """Name the schema alike; leave out casts to the column's types, and what they make of a text."""
        bare = re.escape(self.foreign.new), re.escape(re.sub(r"\(.*", "", self.foreign.old)), "text"
        casts = re.compile(rf"::(?:{'|'.join(bare)})(?:\(\d+\))?(?:\[\])?(?!\w)|[\s()']")
        words = [casts.sub("", text.replace(schema, APP)) for text in item.words]
        if item.kind in ("statistics", "publication"):  # the server says columns in the table's order
            words = [" ".join(sorted(re.split("ON|FROM|,|WHERE", text))) for text in words]
        return replace(
            item,
            kind=item.kind.replace(schema, APP),
            name=item.name.replace(schema, APP),
            words=tuple(words),
            create=(),
        )

    def _as(self, role: str | None) -> Any:
        return _role(self.db, role)


class _role:  # noqa: N801 - is used like a function
    """Be somebody else for a block."""

    def __init__(self, db: Connection, role: str | None) -> None:
        self.db, self.role = db, role

    def __enter__(self) -> None:
        if self.role:
            self.db.execute(f"set role {self.role}; set app.tenant = '{TENANT}'".encode())

    def __exit__(self, *_: object) -> None:
        self.db.execute("reset role")


def _without_ours(value: Any) -> Any:
    """Leave out our columns, which audits of whole rows have as well, and numbers' zeros."""
    if isinstance(value, dict):
        return {key: _without_ours(one) for key, one in sorted(value.items()) if "homeops_" not in key}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """On a busy machine a switch takes longer than it may; how long it takes is measured elsewhere."""
    with online.policy(lock_timeout="2s"):
        yield


@pytest.fixture
def quiet(db: Connection) -> Iterator[None]:
    db.prepare_threshold = None
    yield
    db.execute(f"drop schema if exists {APP}, {OLD}, {NEW} cascade".encode())


@MOSTLY_HERE
@pytest.mark.parametrize(
    "name", ["a shop", *map(slowly, ["a bulletin board", "invoices of tenants", "a hotel"])]
)
def test_it_is_always_as_if_it_had_been_made_so(
    run: Callable, db: Connection, quiet: None, name: str
) -> None:
    foreign = FOREIGN[name]
    town = Town(foreign, db, None)
    town.build()
    town.act()
    for step in STEPS:
        assert run(getattr(foreign.change(APP), step)).changed
        town.compare(step)
        town.act()
        town.compare(step)
    assert scalar(db, "select count(*) from migrations.change_errors") == 0


@pytest.mark.slow
@MOSTLY_HERE
@pytest.mark.parametrize("name", FOREIGN)
def test_an_owner_without_superuser_can_do_it(db: Connection, any_url: URL, quiet: None, name: str) -> None:
    foreign = FOREIGN[name]
    town = Town(foreign, db, "foreign_owner")
    db.execute(ROLES)
    db.execute(f"grant create on database {any_url.database} to foreign_owner".encode())
    town.build()
    town.act()
    for step in STEPS:
        with revision(any_url.set(username="foreign_owner")):
            assert getattr(foreign.change(APP), step)().changed
        town.compare(step)
        town.act()
        town.compare(step)
    assert scalar(db, "select count(*) from migrations.change_errors") == 0


# What a role may not ----------------------------------------------------------------------------------------

DAYS = """
create schema shop; create schema hidden; create type hidden.mood as enum ('a', 'b');
create table shop.t (id int primary key, c text); insert into shop.t values (1, '2024-01-02');
create table hidden.t (id int primary key, c text); insert into hidden.t values (1, 'a');
create view shop.v as select id, c from hidden.t;
create function hidden.day_of(text) returns date language sql immutable strict return make_date(
    split_part($1, '-', 1)::int, split_part($1, '-', 2)::int, split_part($1, '-', 3)::int);
create function hidden.said(date) returns text language plpgsql immutable strict as
    $$ begin return to_char($1, 'YYYY-MM-DD'); end $$;
revoke execute on all functions in schema hidden from public;
grant usage on schema shop to clerk; grant select, insert, update on shop.t, shop.v to clerk;
"""


@MOSTLY_HERE
@pytest.mark.parametrize("is_view", [False, slowly(True)], ids=["by functions", "through a view"])
def test_a_writer_needs_no_right_on_what_the_expressions_use(
    run: Callable, db: Connection, *, is_view: bool
) -> None:
    """Neither to call their functions, nor on the schemas of their types: that would break its writes."""
    db.prepare_threshold = None
    db.execute(ROLES)
    db.execute(DAYS)
    mood, values = postgresql.ENUM("a", "b", name="mood", schema="hidden"), ("2024-05-06", "2024-05-07")
    change = online.TypeChange("t", "c", sa.Date, "shop", up="hidden.day_of(c)", down="hidden.said(c)")
    if is_view:
        change = online.TypeChange("t", "c", mood, schema="hidden", up="c::hidden.mood", down="c::text")
        values = ("b", "b")
    table = "shop.v" if is_view else "shop.t"
    for number, step in enumerate(("expand", "switch", "undo_switch"), start=2):
        run(getattr(change, step))
        with Town(SHOP, db, None)._as("clerk"):
            db.execute(f"insert into {table} (id, c) values ({number}, '{values[0]}')".encode())
            db.execute(f"update {table} set c = '{values[1]}' where id = {number}".encode())
    assert rows(db, f"select id, c from {table} where id > 1 order by 1") == [
        (number, values[1]) for number in (2, 3, 4)
    ]
    assert scalar(db, "select count(*) from migrations.change_errors") == 0


REFUSED = {
    "another role's table with a key to it": (
        "create table shop.u (id int primary key, t int references shop.t); alter table shop.u owner to auditor",
        "shop.u, which belongs to a role",
    ),
    "a default that a key sets": (
        "create table shop.p (id int primary key);"
        "alter table shop.t alter id set default 0, add constraint fk foreign key (id) references shop.p"
        " on delete set default",
        "SET DEFAULT",
    ),
}


@MOSTLY_HERE
@pytest.mark.parametrize("name", REFUSED)
def test_keys_that_can_not_be_carried_are_named(db: Connection, any_url: URL, name: str) -> None:
    made, named = REFUSED[name]
    db.execute(ROLES)
    db.execute(f"grant create on database {any_url.database} to foreign_owner".encode())
    db.execute("create schema shop; grant all on schema shop to foreign_owner, auditor")
    db.execute("create table shop.t (id int primary key)")
    db.execute(made.encode())
    db.execute("alter table shop.t owner to foreign_owner")
    change = online.TypeChange("t", "id", sa.BigInteger, "shop", up="id::bigint", down="id::integer")
    owner = revision(any_url.set(username="foreign_owner"))
    with pytest.raises(ObjectError, match=r"Nothing was changed\.") as caught, owner:
        change.expand()
    assert named in str(caught.value)
    assert rows(db, "select attname from pg_attribute where attname like 'homeops%'") == []


@MOSTLY_HERE
def test_a_key_between_types_that_know_none_is_named(run: Callable, db: Connection) -> None:
    """Values of the two can be compared, and a key needs more than that."""
    db.execute("create schema extensions; create extension citext schema extensions")
    db.execute("create table t (c varchar(9) primary key); create table u (c varchar(9) references t)")
    with pytest.raises(ObjectError, match=r"u_c_fkey.*Nothing was changed\."):
        run(online.TypeChange("t", "c", Citext, up="c::extensions.citext", down="c::varchar(9)").expand)
    assert rows(db, "select attname from pg_attribute where attname like 'homeops%'") == []


@MOSTLY_HERE
def test_a_trigger_that_compares_rows_needs_values_that_can_be_compared(
    run: Callable, db: Connection
) -> None:
    """It would fail with every update as soon as the table has a column of such a type."""
    db.execute("create table t (id int primary key, c text, n int); insert into t values (1, '{}')")
    db.execute("create function f() returns trigger language plpgsql as 'begin return new; end'")
    db.execute(
        "create trigger tr before update on t for each row when (old.* is distinct from new.*) execute function f()"
    )
    with pytest.raises(ObjectError, match=r"trigger tr of public\.t.*Nothing was changed\."):
        run(online.TypeChange("t", "c", postgresql.JSON, up="c::json", down="c::text").expand)
    db.execute("update t set n = 1")
    change = online.TypeChange("t", "c", postgresql.JSONB, up="c::jsonb", down="c::text")
    for step in ("expand", "switch"):
        run(getattr(change, step))
        db.execute("update t set n = n + 1")
    assert rows(db, "select n, c from t") == [(3, {})]


@pytest.mark.slow
@MOSTLY_HERE
def test_indexes_stay_in_their_tablespace(run: Callable, db: Connection) -> None:
    db.prepare_threshold = None
    db.execute("set allow_in_place_tablespaces = on")
    db.execute("drop tablespace if exists homeops_tests")
    db.execute("create tablespace homeops_tests location ''")
    try:
        db.execute(
            "create table t (id int primary key using index tablespace homeops_tests,"
            "                other int, constraint uq unique (id, other) using index tablespace homeops_tests);"
            "create index ix on t (id desc) tablespace homeops_tests where id > 3"
        )
        change = online.TypeChange("t", "id", sa.BigInteger, up="id::bigint", down="id::integer")
        for step in ("expand", "switch", "contract"):
            run(getattr(change, step))
        placed = "select c.relname from pg_class c join pg_tablespace s on s.oid = c.reltablespace order by 1"
        assert [row[0] for row in rows(db, placed) if row[0] in ("ix", "t_pkey", "uq")] == [
            "ix",
            "t_pkey",
            "uq",
        ]
    finally:
        db.execute("drop table if exists t")
        db.execute("drop tablespace homeops_tests")
