"""What takes a thing away from the shadow: the application's table has it no more, or has another one."""

from collections.abc import Callable
from typing import Final

from psycopg import sql

from homeops_db.catalog.manifest import Item

_Said = Callable[[Item, str, str], list[str]]


def statements(item: Item, table: str, schema: str) -> list[str] | None:
    """Give the statements that take it away; none where it needs none, None where there is no way.

    Args:
        item: As the table itself has it.
        table: The table, qualified and quoted.
        schema: Its schema, quoted.
    """
    if item.kind.endswith(" comment"):
        return _without_comment(item, table, schema)
    if item.kind.startswith("right on column "):
        grantee, _, right = item.name.rpartition(": ")
        column = item.kind.removeprefix("right on column ")
        return [f"REVOKE {right} ({column}) ON {table} FROM {grantee}"]
    found = _SAID.get(item.kind)
    return None if found is None else found(item, table, schema)


def _column(what: str) -> _Said:
    return lambda item, table, _: [
        f"ALTER TABLE {table} ALTER COLUMN {sql.Identifier(item.name).as_string()} {what}"
    ]


def _table(what: str) -> _Said:
    return lambda item, table, _: [f"ALTER TABLE {table} {what.replace('*', item.name)}"]


def _index(what: str) -> _Said:
    return lambda item, _, schema: [f"ALTER INDEX {schema}.{item.name} {what}"]


def _option_names(item: Item) -> str:
    return ", ".join(one.partition("=")[0] for one in item.words[0].split(", "))


def _column_options(item: Item, table: str, schema: str) -> list[str]:
    return _column(f"RESET ({_option_names(item)})")(item, table, schema)


def _index_options(item: Item, table: str, schema: str) -> list[str]:
    return _index(f"RESET ({_option_names(item)})")(item, table, schema)


def _index_targets(item: Item, table: str, schema: str) -> list[str]:
    numbers = [one.partition(":")[0].removeprefix("column ") for one in item.words[0].split(", ")]
    return [
        one
        for number in numbers
        for one in _index(f"ALTER COLUMN {number} SET STATISTICS -1")(item, table, schema)
    ]


def _right(item: Item, table: str, _: str) -> list[str]:
    grantee, _colon, right = item.name.rpartition(": ")
    return [f"REVOKE {right} ON {table} FROM {grantee}"]


def _given_again(item: Item, table: str, _: str) -> list[str]:
    grantee, _colon, right = item.name.rpartition(": ")
    return [f"GRANT {right} ON {table} TO {grantee}"]


def _label(item: Item, table: str, _: str) -> list[str]:
    provider, on, column = item.name.partition(" on column ")
    what = f"COLUMN {table}.{column}" if on else f"TABLE {table}"
    return [f"SECURITY LABEL FOR {sql.Identifier(provider).as_string()} ON {what} IS NULL"]


def _without_comment(item: Item, table: str, schema: str) -> list[str] | None:
    kind = item.kind.removesuffix(" comment")
    if kind == "column":
        what = f"COLUMN {table}.{sql.Identifier(item.name).as_string()}"
    elif kind in {"table", "index", "statistics", "identity sequence"}:
        called = {"table": table, "index": f"{schema}.{item.name}"}.get(kind, item.name)
        what = f"{'SEQUENCE' if kind == 'identity sequence' else kind.upper()} {called}"
    else:
        what = f"CONSTRAINT {item.name} ON {table}"
    return [f"COMMENT ON {what} IS NULL"]


_constraint: Final = _table("DROP CONSTRAINT IF EXISTS *")
_SAID: Final[dict[str, _Said]] = {
    "column default": _column("DROP DEFAULT"),
    "column not null": _column("DROP NOT NULL"),
    "column identity": _column("DROP IDENTITY IF EXISTS"),
    "column storage": _column("SET STORAGE DEFAULT"),
    "column compression": _column("SET COMPRESSION DEFAULT"),
    "column statistics target": _column("SET STATISTICS -1"),
    "column options": _column_options,
    "option": _table("RESET (*)"),
    "row type": _table("NOT OF"),
    "replica identity": _table("REPLICA IDENTITY DEFAULT"),
    "replica identity index": _table("REPLICA IDENTITY DEFAULT"),
    "cluster mark": _table("SET WITHOUT CLUSTER"),
    "policy": lambda item, table, _: [f"DROP POLICY IF EXISTS {item.name} ON {table}"],
    "index": lambda item, _, schema: [f"DROP INDEX IF EXISTS {schema}.{item.name}"],
    "index options": _index_options,
    "index statistics targets": _index_targets,
    "statistics": lambda item, _, __: [f"DROP STATISTICS IF EXISTS {item.name}"],
    "statistics target": lambda item, _, __: [f"ALTER STATISTICS {item.name} SET STATISTICS -1"],
    "statistics owner": lambda _, __, ___: [],
    "owner": lambda _, __, ___: [],
    "right": _right,
    "right withdrawn": _given_again,
    "identity sequence": lambda _, __, ___: [],
    "identity sequence rights": lambda _, __, ___: [],
    "security label": _label,
    **dict.fromkeys(
        (
            "primary key", "unique constraint", "exclusion constraint", "check constraint", "foreign key",
            "not null constraint",
        ),
        _constraint,
    ),
}  # fmt: skip
"""``*`` is the item's name."""
