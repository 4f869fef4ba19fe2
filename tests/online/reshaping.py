"""A table that is given another shape, and two that always had one of them: at any moment it is like one of these.

The same is done in three schemas, each in the words of its shape. What is compared: the rows of all tables, and
everything that hangs on the reshaped one, item by item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import online
from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Item, Manifest
from tests.online.conftest import revision
from tests.online.filling import rows, scalar

STEPS = (
    "expand", "switch", "undo_switch", "switch", "contract", "undo_contract", "undo_switch", "undo_expand",
)  # fmt: skip
APP, OLD, NEW = "sch_app", "sch_old", "sch_new"
_NEW_STATES = ("switch", "contract", "undo_contract")
ENDS = ("contract", "undo_expand")
"""After these nothing of ours is left."""

OURS = """
select 'schema ' || nspname from pg_namespace where nspname like 'homeops%'
union all select 'relation ' || oid::regclass from pg_class
          where relname like 'homeops%' and relnamespace <> 'pg_toast'::regnamespace
union all select 'function ' || oid::regprocedure from pg_proc
          where pronamespace = to_regnamespace('migrations') and proname ~ '^(restructure|refresh|drain)_'
union all select 'trigger ' || tgname from pg_trigger where tgname like 'homeops%'
union all select 'publication ' || pubname from pg_publication where pubname like 'homeops%'
"""
"""What a restructure makes, and takes away again."""


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """Import it into a module of tests: how long a switch takes is measured elsewhere, not on a busy machine."""
    with online.policy(lock_timeout="2s"):
        yield


@dataclass(frozen=True)
class Reshaped:
    """A change of a table's shape.

    Attributes:
        old: DDL of the old shape: ``{s}`` is the schema.
        new: DDL of what the new shape is like when it was always so.
        acts: What is done in each state: in the words of the old shape, and of the new one, where these are
            others; ``{n}`` is another number each time.
        asked: What `online.Restructure` is told.
        table: The table.
        tables: Those whose rows are compared, besides.
    """

    old: str
    new: str
    acts: Sequence[str | tuple[str, str]]
    asked: Mapping[str, Any] = field(default_factory=dict)
    table: str = "t"
    tables: Sequence[str] = ()

    def change(self, schema: str = APP) -> online.Restructure:
        """The change in a schema."""

        def here(value: Any) -> Any:
            if isinstance(value, str):
                return value.replace("{s}", schema)
            return {key: here(one) for key, one in value.items()} if isinstance(value, dict) else value

        asked = {key: here(value) for key, value in self.asked.items()}
        return online.Restructure(self.table, schema=schema, **asked)


@dataclass
class Trio:
    """The three schemas, and what is done in them.

    Attributes:
        roles: The role that an act begins with (``clerk: insert …``); the owner else.
        plain: What else isn't compared as it is: gives an item's words, or None for an item that doesn't count.
    """

    reshaped: Reshaped
    db: Connection
    owner: str | None = None
    number: int = 0
    is_new: bool = False
    roles: Sequence[str] = ()
    plain: Callable[[Item], Item | None] = lambda item: item

    def build(self) -> None:
        """Make them."""
        self.db.prepare_threshold = None
        for schema, made in ((APP, self.reshaped.old), (OLD, self.reshaped.old), (NEW, self.reshaped.new)):
            owner = f" authorization {self.owner}" if self.owner else ""
            self.db.execute(f"create schema {schema}{owner}".encode())
            with self._as(self.owner):
                self.db.execute(made.replace("{s}", schema).encode())

    def act(self) -> None:
        """Do the same in all three; each act is a transaction."""
        self.number += 1
        for schema, is_new in ((APP, self.is_new), (OLD, False), (NEW, True)):
            for act in self.reshaped.acts:
                said = act if isinstance(act, str) else act[is_new]
                role, colon, statement = said.partition(": ")
                if not colon or role not in self.roles:
                    role, statement = self.owner or "", said
                statement = statement.replace("{s}", schema).replace("{n}", str(self.number))
                with self._as(role):
                    self.db.execute(statement.encode())

    def cycle(self, url: URL, *, steps: Sequence[str] = STEPS) -> None:
        """Run the steps as revisions, with writes between them, and compare after each."""
        where = url.set(username=self.owner) if self.owner else url
        self.act()
        for step in steps:
            with revision(where):
                done = getattr(self.reshaped.change(), step)()
            assert done.changed, step
            self.is_new = step in _NEW_STATES
            self.compare(step)
            self.act()
            self.compare(f"writes after {step}")
            if step in ENDS:
                assert rows(self.db, OURS) == [], step
        assert scalar(self.db, "select count(*) from migrations.change_errors") == 0

    def compare(self, when: str) -> None:
        """Compare with the schema that always had the shape of this state."""
        other = NEW if self.is_new else OLD
        for table in (self.reshaped.table, *self.reshaped.tables):
            found, expected = self._rows(APP, table), self._rows(other, table)
            apart = [*(set(found) - set(expected)), *(set(expected) - set(found))]
            assert found == expected, f"{table} after {when}: {apart}"
        is_ended = when.rpartition(" ")[2] in ENDS
        ours, theirs = (self.manifest(schema, is_ended=is_ended) for schema in (APP, other))
        lines = manifest.differences(theirs, ours)
        assert lines == [], f"after {when}: {lines}"

    def manifest(self, schema: str, *, is_ended: bool = True) -> Manifest:
        """Everything that hangs on the table, said as if the schema were the changed one."""
        oid = scalar(self.db, f"select '{schema}.{self.reshaped.table}'::regclass::oid")
        read = manifest.read(self.db, oid)
        items = [self.plain(_called(item, schema)) for item in read.items]
        kept = [one for one in items if one and (is_ended or "homeops_" not in one.kind + one.name)]
        return Manifest(read.table.replace(schema, APP), tuple(kept))

    def _rows(self, schema: str, table: str) -> list[str]:
        where = "t.tableoid::regclass::text" if table == self.reshaped.table else "''"
        found = rows(self.db, f"select to_jsonb(t), {where} from {schema}.{table} t")
        return sorted(f"{row} {where.replace(schema, APP)}" for row, where in found)

    def _as(self, role: str | None) -> AbstractContextManager[object]:
        return _Role(self.db, role) if role else nullcontext()


def _called(item: Item, schema: str) -> Item:
    def here(text: str) -> str:
        return text.replace(schema, APP)

    words = tuple(map(here, item.words))
    return replace(item, kind=here(item.kind), name=here(item.name), words=words, create=())


class _Role:
    """Be somebody else for a block."""

    def __init__(self, db: Connection, role: str) -> None:
        self.db, self.role = db, role

    def __enter__(self) -> None:
        self.db.execute(f"set role {self.role}".encode())

    def __exit__(self, *_: object) -> None:
        self.db.execute("reset role")
