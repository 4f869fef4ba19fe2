"""What hangs on the column and is said again in the switch: views, policies, rules, triggers, functions.

The words are read before the names are swapped, so that they name the column; said again afterwards, they
mean the new one. All of it is catalog work of milliseconds, in the switch's own transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pglast import parse_sql
from psycopg import Connection

from homeops_db.catalog import hanging, tables, worded
from homeops_db.catalog.hanging import Hanging
from homeops_db.online.type_change import expressions, literals, materialized, places, sync
from homeops_db.online.type_change.sides import Side

KINDS: Final = (
    hanging.VIEW,
    hanging.RULE,
    hanging.POLICY,
    hanging.TRIGGER,
    hanging.FUNCTION,
    hanging.PUBLICATION,
)
_QUERIES: Final = {
    hanging.FUNCTION: worded.FUNCTION,
    hanging.RULE: worded.RULE,
    hanging.POLICY: worded.POLICY,
    hanging.TRIGGER: worded.TRIGGER,
}
_QUALIFIERS: Final[dict[str, Sequence[str]]] = {
    hanging.POLICY: (),
    hanging.TRIGGER: literals.RECORDS,
    hanging.RULE: literals.RECORDS,
}


@dataclass(frozen=True)
class Words:
    """What is sent before the names are swapped, and after."""

    before: Sequence[str]
    after: Sequence[str]


def read(connection: Connection, side: Side) -> Words:
    """Read everything that must be said again. Takes no lock; the switch holds the table's."""
    oids = [part.oid for part in tables.tree(connection, side.table.oid)]
    found = hanging.of_column(connection, oids, side.column)
    before: list[str] = []
    after: list[str] = []
    views = worded.views_above(connection, materialized.on(found))
    remade = [one.oid for one in views if not one.is_materialized]
    with_views = worded.rules_on(connection, remade)  # these go and come with them
    # Functions first: views may call them.
    for kind, query in _QUERIES.items():
        alone = [oid for oid in _oids(found, kind) if kind != hanging.RULE or oid not in with_views]
        for one in worded.read(connection, query, alone):
            before += [one.drop] if one.drop else []
            after += [_adapted(connection, side, kind, statement) for statement in one.create]
    said = worded.read(connection, worded.VIEW, remade)
    before = [one.drop for one in reversed(said) if one.drop] + before
    after += [places.exchanged(connection, side, statement) for one in said for statement in one.create]
    published = worded.published(connection, _oids(found, hanging.PUBLICATION))
    after += [f"ALTER PUBLICATION {one.publication} SET {one.tables}" for one in published]
    after += [said for one in worded.compiled(connection, oids, side.column) for said in one.create]
    return Words(before, after)


def _adapted(connection: Connection, side: Side, kind: str, statement: str) -> str:
    """Give values of the new type to what speaks of the table; views may speak of others too."""
    if kind not in _QUALIFIERS:
        return places.exchanged(connection, side, statement)
    tree = parse_sql(statement)[0].stmt
    places.exchange(connection, side, tree)
    return expressions.printed(literals.adapt(connection, side, tree, qualifiers=_QUALIFIERS[kind]))


def _oids(found: Sequence[Hanging], kind: str) -> list[int]:
    return sorted(
        {one.oid for one in found if one.kind == kind and not str(one.name).startswith(sync.PREFIX)}
    )
