"""online.TypeChange on schemas of other people's kind: in every state all is like where the type always was so.

What hangs on the table is compared item by item with a schema that has the state's type from the start, and so
are the rows of all tables, after the same was done in both: by the owner and by others, through views and rules.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Item, Manifest
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.filling import nobody_else_counts, rows, scalar, slowly  # noqa: F401
from tests.online.foreign_schemas import FOREIGN, ROLES, Foreign

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
