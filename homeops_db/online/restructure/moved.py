"""What is the application's table's alone, and goes over to the other one with the switch, in statements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from homeops_db.catalog import columns, manifest, manifest_names, tables, worded
from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import carried, materialized, parts, sync
from homeops_db.online.restructure.sides import Shape, Side
from homeops_db.online.work import Work

_KEY_OF: Final = "foreign key of "


@dataclass(frozen=True)
class Moved:
    """What is sent before the tables change places, and after.

    Attributes:
        before: Takes away what hangs on the application's table.
        after: Gives it to the other one, which has the name by then.
        validated: What is sent when the locks are gone.
    """

    before: Sequence[str]
    after: Sequence[str]
    validated: Sequence[str]


def read(work: Work, side: Side) -> Moved:
    """Read what moves. Takes no lock.

    Raises:
        ObjectError: Something can't be given to another table: all of it is named.
    """
    live = manifest.read(work.connection, side.table.oid)
    stays = {(one.kind, one.name) for one in side.live.only if one.kind == "sequence"}
    leaving = [
        one
        for one in live.items
        if carried.is_late(one) and not _is_ours(one) and (one.kind, one.name) not in stays
    ]
    coming = [one for one in parts.wanted_items(live, side, late=True) if not _is_ours(one)]
    _refuse_stuck(side, leaving)
    taken = materialized.taken(work, side, live)
    before = [statement for one in reversed(leaving) for statement in _away(side, one)]
    before += _always(side, side.live, live, "BY DEFAULT")
    after = [*_always(side, side.other, live, "ALWAYS")]
    for one in coming:
        after += taken[one.kind, one.name] if (one.kind, one.name) in taken else _given(work, side, one)
    after += [
        statement
        for one in worded.compiled(work.connection, [side.table.oid], side.table.name)
        for statement in one.create
    ]
    return Moved(before, after, [text for one in coming for text in _validated(one)])


def _given(work: Work, side: Side, item: Item) -> list[str]:
    """Write what gives one thing to the table that has the name by then."""
    if item.kind == "identity position":
        return []  # read under the lock, by `positions`
    made = [
        carried.adapted(work, text, side.table, side.live, side.other)[0]
        for text in item.statements(side.here)
    ]
    if item.kind.startswith(_KEY_OF):
        return [text if text.endswith(" NOT VALID") else f"{text} NOT VALID" for text in made]
    return [*made, *_counting(side, item)]


def _validated(item: Item) -> Iterator[str]:
    """Write what looks at the rows of a foreign key to the table."""
    if item.kind.startswith(_KEY_OF) and "NOT VALID" not in item.words[0]:
        yield f"ALTER TABLE {item.kind.removeprefix(_KEY_OF)} VALIDATE CONSTRAINT {item.name}"


def _always(side: Side, shape: Shape, live: Manifest, how: str) -> Iterator[str]:
    """Write which identities take no numbers from outside where the application writes, and do elsewhere."""
    items = [*shape.only, *(one for one in live.items if (one.kind, one.name) not in _keys(side.live.only))]
    if shape is side.live:
        items = [*live.items]
    for one in items:
        if carried.is_always(one) and shape.field(one.name) is not None:
            column = sql.Identifier(one.name).as_string()
            yield f"ALTER TABLE {side.here} ALTER COLUMN {column} SET GENERATED {how}"


def _keys(items: Sequence[Item]) -> set[tuple[str, str]]:
    return {(one.kind, one.name) for one in items}


def _counting(side: Side, item: Item) -> Iterator[str]:
    """Let a column's own sequence count as far as the other shape's type does."""
    if item.kind != "sequence":
        return
    name = item.words[0].removeprefix("OWNED BY ").strip('"')
    was, becomes = (shape.field(name) for shape in (side.live, side.other))
    if was and becomes and was != becomes and f"AS {was.type} " in item.words[1]:
        yield f"ALTER SEQUENCE {item.name} AS {becomes.type}"


def touched(work: Work, side: Side) -> Iterator[Table]:
    """Give what else that locks: materialized views, and tables whose policies or rules read this one."""
    live = manifest.read(work.connection, side.table.oid)
    names = [one.name for one in live.of("materialized view")]
    far = live.of("rule of another table", "policy of another table")
    names += [one.name.rpartition(" of ")[2] for one in far]
    for name in dict.fromkeys(names):
        schema, bare = manifest_names.words(name)
        found = tables.table(work.connection, bare, schema)
        if found is not None:
            yield found


def neighbours(work: Work, side: Side, there: str) -> Iterator[str]:
    """Write what takes along what has a schema of its own: partitions, also later ones, and statistics.

    Args:
        work: The operation. Takes no lock.
        side: The side that is left.
        there: The schema that the application's table goes to.
    """
    shadow = parts.oid(work, side)
    for parent, schema, goes in (
        (side.table.oid, side.table.schema, there),
        (shadow, side.schema, side.table.schema),
    ):
        for leaf in tables.tree(work.connection, parent)[1:]:
            if leaf.is_partition and leaf.schema == schema:
                yield f"ALTER TABLE {_name(leaf.schema, leaf.name)} SET SCHEMA {_name(goes)}"
    live = manifest.read(work.connection, side.table.oid)
    schemas = {new: old.rpartition(".")[0] for old, new in parts.names(live, side).items()}
    for one in live.of("statistics"):
        yield f"ALTER STATISTICS {one.name} SET SCHEMA {_name(there)}"
    for one in manifest.read(work.connection, shadow).of("statistics"):
        yield f"ALTER STATISTICS {one.name} SET SCHEMA {schemas[one.name]}"


def _name(*names: str) -> str:
    return sql.Identifier(*names).as_string()


def positions(work: Work, side: Side) -> Iterator[str]:
    """Write what has an identity of the shadow go on where the application's is."""
    mine = columns.identities(work.connection, side.table.oid)
    for name, theirs in columns.identities(work.connection, parts.oid(work, side)).items():
        if name in mine:
            sequence = sql.Literal(theirs).as_string()
            yield f"SELECT setval({sequence}::regclass, last_value, is_called) FROM {mine[name]}"


def _is_ours(item: Item) -> bool:
    """Whether it is none of the application's: our triggers, and partitions, which stay with their table."""
    if item.kind == "child" and not item.words[0].startswith("inherits"):
        return True
    return item.kind == "trigger" and item.name.startswith(sync.TRIGGER)


def _refuse_stuck(side: Side, items: Sequence[Item]) -> None:
    stuck = [str(one) for one in items if one.create is None and one.kind != "identity position"]
    if stuck:
        raise ObjectError(
            f"{side.table} can't get another shape while it is needed by: {'; '.join(stuck)}. Nothing was "
            "changed. Drop these before in a revision of their own, and make them again after the change."
        )


def _away(side: Side, item: Item) -> Iterator[str]:
    """Write what takes one thing away from the application's table."""
    kind, name, here = item.kind, item.name, side.here
    if kind.startswith("foreign key of "):
        yield f"ALTER TABLE {kind.removeprefix('foreign key of ')} DROP CONSTRAINT {name}"
    elif kind == "forced row security":
        yield f"ALTER TABLE {here} NO FORCE ROW LEVEL SECURITY"
    elif kind == "row security":
        yield f"ALTER TABLE {here} DISABLE ROW LEVEL SECURITY"
    elif kind == "trigger":
        yield f"DROP TRIGGER {name} ON {here}"
    elif kind == "rule":
        yield f"DROP RULE {name} ON {here}"
    elif kind in {"rule of another table", "policy of another table"}:
        one, _, table = name.rpartition(" of ")
        yield f"DROP {kind.partition(' ')[0].upper()} {one} ON {table}"
    elif kind == "parent":
        yield f"ALTER TABLE {here} NO INHERIT {name}"
    elif kind == "child":
        yield f"ALTER TABLE {name} NO INHERIT {here}"
    elif kind == "sequence":
        yield f"ALTER SEQUENCE {name} OWNED BY NONE"
    elif kind == "publication":
        yield f"ALTER PUBLICATION {name} DROP TABLE ONLY {here}"
    elif kind in {"view", "materialized view"}:
        yield f"DROP {kind.upper()} {name}"
