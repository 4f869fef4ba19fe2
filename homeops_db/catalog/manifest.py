"""Everything that hangs on a table, item by item: to be made again on another table, and to be compared."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row, dict_row, tuple_row

from homeops_db.catalog import manifest_around, manifest_names, manifest_parts, manifest_table, worded

# With these the server's words depend on nothing but the objects.
_SETTINGS: Final = {
    "search_path": "",
    "quote_all_identifiers": "off",
    "datestyle": "iso, ymd",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "timezone": "UTC",
    "bytea_output": "hex",
    # The queries are the same for every table, and dearer to plan than to run.
    "plan_cache_mode": "force_generic_plan",
}
# The order in which items are made; what isn't here comes between the keys and the owner, columns before all.
_PLACES: Final = {
    "columns": 0, "column not null": 1, "column identity": 2, "index": 4, "primary key": 5,
    "unique constraint": 5, "exclusion constraint": 5, "check constraint": 5, "foreign key": 6, "owner": 10,
    "right": 11, "right withdrawn": 11, "security label": 11, "sequence": 12, "identity sequence": 12,
    "identity sequence comment": 12, "identity sequence rights": 12, "identity position": 13,
    "trigger": 14, "rule": 14, "policy": 14, "parent": 15, "child": 15,
}  # fmt: skip
_COLUMN_PLACE: Final = 3
_OTHER_PLACE: Final = 8
_AROUND_PLACE: Final = 16
_AROUND: Final = (
    "foreign key of ", "foreign key comment of ", "publication", "other dependent", "rule of another table",
    "policy of another table", "view", "materialized view", "index of ", "function",
)  # fmt: skip
# Their names belong to the table, or are those of objects elsewhere: they are never given another one.
_NAMED_WITHIN: Final = (
    "column", "option", "right", "owner", "trigger", "rule", "policy", "parent", "child", "publication",
    "function", "security label", "identity position", "other dependent",
)  # fmt: skip
_QUERIES: Final[dict[str, LiteralString]] = {
    "trigger": worded.TRIGGER,
    "rule": worded.RULE,
    "rule of another table": worded.RULE,
    "policy": worded.POLICY,
    "policy of another table": worded.POLICY,
    "view": worded.VIEW,
    "materialized view": manifest_around.MATERIALIZED,
    "function": worded.FUNCTION,
}
NAME: LiteralString = "select %(oid)s::oid::regclass::text"
SETTINGS: LiteralString = "select name, current_setting(name) from unnest(%s::text[]) name"
SET: LiteralString = """
select set_config(name, value, true) from unnest(%s::text[], %s::text[]) given (name, value)
"""


@dataclass(frozen=True)
class Item:
    """One thing that hangs on a table.

    Attributes:
        kind: What it is: ``index``, ``column default``, ``foreign key of public.orders``.
        name: Its name, quoted as SQL has it; without a schema where it goes with its table.
        words: What it is, in the server's words. Where these speak of the table, and of the item's own
            name, they have places: ``{table}``, ``{alias}``, ``{schema}``, ``{name}``.
        create: The statements that make it, with the same places. None: it can't be made from outside. Empty:
            it is made together with something else.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    create: tuple[str, ...] | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()

    def statements(self, table: str, names: Mapping[str, str] | None = None) -> list[str]:
        """Give the statements that make it on a table; none where it can't be made, or comes by itself.

        Args:
            table: The table's name, qualified and quoted.
            names: Other names for items, from their own: ``{"ix_a": "ix_new", "public.v": "public.w"}``.
        """
        return [self._filled(text, table, names or {}) for text in self.create or ()]

    def named(self, names: Mapping[str, str]) -> str:
        """Give the name that it has with other names for items."""
        return self.name if self.kind.startswith(_NAMED_WITHIN) else names.get(self.name, self.name)

    def said(self, table: str, names: Mapping[str, str]) -> tuple[str, ...]:
        """Give its words as they are for another table, in an order that doesn't count."""
        return tuple(sorted(self._filled(text, table, names) for text in self.words))

    def _filled(self, text: str, table: str, names: Mapping[str, str]) -> str:
        qualified = {old: (new, manifest_names.bare(new)) for old, new in names.items() if "." in old}
        alias = manifest_names.bare(table)
        places = {
            "table": table,
            "alias": alias,
            "schema": table.removesuffix(alias).removesuffix("."),
            "name": self.named(names),
        }
        return manifest_names.renamed(manifest_names.filled(text, places), qualified)


@dataclass(frozen=True)
class Manifest:
    """All items of a table, in the order in which they can be made; ``table`` is its qualified name."""

    table: str
    items: tuple[Item, ...]

    def of(self, *kinds: str) -> list[Item]:
        """Give the items of some kinds."""
        return [item for item in self.items if item.kind in kinds]


@dataclass(frozen=True)
class _Row:
    kind: str
    name: str
    words: list[str]
    create: list[str] | None


@dataclass(frozen=True)
class _Said:
    kind: str
    name: str
    oid: int
    is_made: bool


def read(connection: Connection, oid: int) -> Manifest:
    """Read everything that hangs on a table. Takes no lock on it; its sequences are read as rows are.

    The session's settings don't matter, and are what they were afterwards.
    """
    with connection.transaction(), _settled(connection):
        with connection.cursor(row_factory=tuple_row) as cursor:
            found = cursor.execute(NAME, {"oid": oid}).fetchone()
        assert found is not None
        own = _rows(connection, oid, *manifest_table.BEFORE, *manifest_parts.PARTS, *manifest_table.AFTER)
        own += _sequences(connection, oid) + _said(connection, oid, manifest_parts.SAID)
        around = _rows(connection, oid, *manifest_around.AROUND)
        around += _said(connection, oid, manifest_around.DEPENDING)
        around += _said(connection, oid, manifest_around.POLICIES)
        around += _said(connection, oid, manifest_around.FUNCTIONS)
    table = str(found[0])
    return Manifest(
        table, tuple(_item(row, table) for row in [*sorted(own, key=lambda row: _place(row.kind)), *around])
    )


def differences(
    old: Manifest,
    new: Manifest,
    names: Mapping[str, str] | None = None,
    *,
    ordered: bool = True,
) -> list[str]:
    """Compare two tables by what their items mean.

    Args:
        old: One table.
        new: The other, which may have another name.
        names: The names that items of the old table have on the new one, where they are others.
        ordered: Whether the order of columns counts.

    Returns:
        A line for each item that is missing, new, or another one.
    """
    names = names or {}
    theirs = {(item.kind, item.name): item for item in new.items}
    lines = []
    for item in old.items:
        if item.kind == "columns" and not ordered:
            theirs.pop((item.kind, item.name), None)
            continue
        other = theirs.pop((_kind(item, names), item.named(names)), None)
        if other is None:
            lines.append(f"{item} is missing")
        elif (was := item.said(new.table, names)) != (now := other.said(new.table, {})):
            lines.append(f"{item}: {_apart(was, now)} became {_apart(now, was)}")
    return lines + [f"{item} is new" for item in theirs.values()]


def _kind(item: Item, names: Mapping[str, str]) -> str:
    """Give an item's kind, which may name a view that has another name now."""
    head, of, relation = item.kind.partition(" of ")
    return f"{head}{of}{names.get(relation, relation)}"


def _apart(texts: tuple[str, ...], others: tuple[str, ...]) -> str:
    return "; ".join(text for text in texts if text not in others) or "nothing"


def ordered(items: Iterable[Item]) -> list[Item]:
    """Sort items of several tables into the order in which they can be made; equals keep theirs."""
    return sorted(items, key=lambda item: _place(item.kind))


@contextmanager
def _settled(connection: Connection) -> Iterator[None]:
    """Read under settings of our own, in a transaction that may have begun long before."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        before: dict[str, str] = dict(cursor.execute(SETTINGS, (list(_SETTINGS),)).fetchall())
    connection.execute(SET, (list(_SETTINGS), list(_SETTINGS.values())))
    yield
    connection.execute(SET, (list(before), list(before.values())))


def _place(kind: str) -> int:
    if kind in _PLACES:
        return _PLACES[kind]
    if kind.startswith("right on "):
        return _PLACES["right"]
    if kind.startswith(_AROUND):
        return _AROUND_PLACE
    return _COLUMN_PLACE if kind.startswith("column ") else _OTHER_PLACE


def _item(row: _Row, table: str) -> Item:
    words = tuple(manifest_names.templated(text, table) for text in row.words)
    if row.create is None:
        return Item(row.kind, row.name, words, None)
    return Item(
        row.kind, row.name, words, tuple(manifest_names.templated(text, table) for text in row.create)
    )


def _rows(connection: Connection, oid: int, *queries: LiteralString) -> list[_Row]:
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        found = (cursor.execute(query, {"oid": oid}, prepare=True) for query in queries)
        return [row for one in found for row in one.fetchall()]


def _said(connection: Connection, oid: int, query: LiteralString) -> list[_Row]:
    """Have the server say objects in words, each with what belongs to it."""
    with connection.cursor(row_factory=class_row(_Said)) as cursor:
        found = cursor.execute(query, {"oid": oid}, prepare=True).fetchall()
    rows = []
    for one in found:
        (words,) = worded.read(connection, _QUERIES[one.kind], [one.oid])
        made = words.create if one.is_made else [] if one.kind == "trigger" else None
        rows.append(_Row(one.kind, one.name, words.create, made))
        if one.kind == "materialized view":
            rows += _rows(connection, one.oid, manifest_around.MATERIALIZED_INDEXES)
    return rows


def _sequences(connection: Connection, oid: int) -> list[_Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(manifest_table.SEQUENCES, {"oid": oid}, prepare=True).fetchall()
    return [_sequence(row, _next(connection, row)) for row in found]


def _next(connection: Connection, row: dict[str, Any]) -> int | None:
    """Read which value a sequence gives next; None where we may not."""
    if not row["is_readable"]:
        return None
    query = sql.SQL("select last_value, is_called from {}").format(sql.SQL(row["sequence"]))
    found = connection.cursor(row_factory=tuple_row).execute(query).fetchone()
    assert found is not None
    last, is_called = found
    return int(last + row["increment"]) if is_called else int(last)


def _sequence(row: dict[str, Any], next_: int | None) -> _Row:
    """Say where an identity stands; or which sequence, with its parameters, belongs to a column.

    An owned sequence stays the object that it is, and goes over to the other table with its position.
    """
    position = "its position can't be read" if next_ is None else f"next is {next_}"
    if row["is_identity"]:
        is_within = next_ is not None and row["lowest"] <= next_ <= row["highest"]
        restart = f"ALTER TABLE ⟦table⟧ ALTER COLUMN {row['column']} RESTART WITH {next_}"
        return _Row("identity position", row["column"], [position], [restart] if is_within else None)
    words = [f"OWNED BY {row['column']}", row["parameters"], position]
    owned = f"ALTER SEQUENCE {row['sequence']} OWNED BY ⟦table⟧.{row['column']}"
    return _Row("sequence", row["sequence"], words, [owned])
