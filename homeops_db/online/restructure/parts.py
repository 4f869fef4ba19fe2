"""What hangs on the shadow itself: made like the application's, and compared with it."""

from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import manifest, manifest_names, tables, unmovable
from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import carried, keys, made, materialized, said, still
from homeops_db.online.restructure.refused import Refused
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_SLOW: Final = ("index", "primary key", "unique constraint", "exclusion constraint", "foreign key")
"""Kinds that cost the copy more than building them behind it."""

_NUMBERS: Final = "identity sequence"


def wanted_items(live: Manifest, side: Side, *, late: bool) -> list[Item]:
    """Give what the shadow has, or is given by the switch, in the order in which it is made."""
    leaving = {(one.kind, one.name) for one in side.live.only}
    kept = [
        one
        for one in live.items
        if (one.kind, one.name) not in leaving and one.kind not in carried.MADE_WITH_TABLE
    ]
    items = [*kept, *(one for one in side.other.only if one.kind not in carried.MADE_WITH_TABLE)]
    return manifest.ordered(carried.as_shadow(one) for one in items if _is_late(one, side) == late)


def _is_late(item: Item, side: Side) -> bool:
    """Whether the switch moves it; a sequence of a column that the other shape hasn't got stays with it."""
    return carried.is_late(item) and not (item.kind == "sequence" and item in side.other.only)


def names(live: Manifest, side: Side) -> dict[str, str]:
    """Give the names that statistics and numbers have beside the shadow: theirs have a schema."""
    found = [one.name for one in (*live.items, *side.other.only) if one.kind in {"statistics", _NUMBERS}]
    found += [one.name for one in side.other.only if one.kind == "sequence"]
    return {name: f"{side.schema}.{manifest_names.bare(name)}" for name in found}


def ensure(work: Work, side: Side, *, keys: bool = True) -> None:
    """Make what the shadow lacks, and take away what it has too much.

    Args:
        work: The operation.
        side: The side.
        keys: Whether foreign keys too: they look at other tables' rows, which the shadow's may not agree with
            until its rows are what they should be.

    Raises:
        ObjectError: Something can't be said of the new shape: all of it is named, with the server's reasons.

    Locks: ACCESS EXCLUSIVE on the shadow, for which nobody waits while keys are written down; SHARE ROW
    EXCLUSIVE on tables that foreign keys refer to, for some milliseconds.
    """
    live = manifest.read(work.connection, side.table.oid)
    still.refuse_changed(work, side, live)
    refused = Refused(side)
    _own(work, side, live)
    gone = _clear(work, side, live, refused)
    shadow = manifest.read(work.connection, oid(work, side))
    there = {(one.kind, one.name) for one in shadow.items} - gone
    wanted = wanted_items(live, side, late=False)
    called = names(live, side)
    made.sequences(work, wanted, called)
    for item in wanted:
        is_later = not keys and item.kind.startswith("foreign key") and not made.is_partitioned(side)
        if (item.kind, item.named(called)) not in there and item.create and not is_later:
            with refused.noted(item):
                made.make(work, side, item, called)
    for item, statements in materialized.ensure(work, side, live, shadow):
        with refused.noted(item):
            for statement in statements:
                work.alone(statement, step="make view")
    refused.end()
    _refuse_unserved(work, side)
    _note(work, side, live, gone)


def _own(work: Work, side: Side, live: Manifest) -> None:
    """Give the shadow to the table's owner; its rights are others then."""
    if manifest.read(work.connection, oid(work, side)).of("owner")[0].words != live.of("owner")[0].words:
        owner = sql.Identifier(side.table.owner).as_string()
        work.alone(f"ALTER TABLE {side.shadow} OWNER TO {owner}", step="make owner")


def _clear(work: Work, side: Side, live: Manifest, refused: Refused) -> set[tuple[str, str]]:
    """Take away what the shadow has too much, or otherwise; give kinds and names of it."""
    wrong = _to_clear(work, side, live, manifest.read(work.connection, oid(work, side)))
    for item in reversed(wrong):
        is_overwritten = any(one.name == item.name for one in live.of("column storage"))
        if item.kind != "column storage" or not is_overwritten:
            with refused.noted(item):
                made.clear(work, side, item)
    return {(one.kind, one.name) for one in wrong}


def _note(work: Work, side: Side, live: Manifest, gone: set[tuple[str, str]]) -> None:
    """Write down what both shapes have in words of their own."""
    called = names(live, side)
    anew = [one for one in wanted_items(live, side, late=False) if _is_said_anew(side, one)]
    noted = [one for one in anew if (one.kind, one.named(called)) in gone]
    shadow = manifest.read(work.connection, oid(work, side))
    said.note(work, side, live, shadow, [*noted, *said.unknown(work, side, anew)])


def _refuse_unserved(work: Work, side: Side) -> None:
    """Refuse a shape in which each row would be looked for by reading all."""
    if not unmovable.is_served(work.connection, oid(work, side), side.other.key):
        raise ObjectError(
            f"No index of the new shape of {side.table} begins with {', '.join(side.other.key)}, by which "
            "its rows are found, so each write would read the whole table. Nothing was switched. Say "
            "primary_key= in that order, or give the table such an index in a revision before."
        )


def lacks(work: Work, side: Side) -> bool:
    """Whether the shadow isn't what it should be, for what somebody has done to the application's table.

    Raises:
        ObjectError: It can't be: see `still.refuse_changed`.
    """
    live = manifest.read(work.connection, side.table.oid)
    still.refuse_changed(work, side, live)
    shadow = manifest.read(work.connection, oid(work, side))
    if materialized.lacks(work, side, live, shadow):
        return True
    there = {(one.kind, one.name) for one in shadow.items}
    wanted = {(one.kind, one.named(names(live, side))) for one in wanted_items(live, side, late=False)}
    return bool(wanted - there or _to_clear(work, side, live, shadow))


def _to_clear(work: Work, side: Side, live: Manifest, shadow: Manifest) -> list[Item]:
    """Give what the shadow has otherwise than it should, as it has it."""
    called = names(live, side)
    wanted = {
        (one.kind, one.named(called)): one
        for one in (*_base(live, side), *wanted_items(live, side, late=False))
    }
    changed = said.changed(work, side, live)

    def is_wrong(item: Item) -> bool:
        expected = wanted.get((item.kind, item.name))
        if carried.is_late(item) or item.kind in carried.MADE_WITH_TABLE:
            return False
        if expected is None:
            return True
        if _is_left(item) and not _is_left(expected):
            return True
        if _is_said_anew(side, expected):
            return (expected.kind, expected.name) in changed and not _is_only(side, expected)
        return expected.said(shadow.table, called) != item.said(shadow.table, {})

    return [one for one in shadow.items if is_wrong(one)]


def _is_left(item: Item) -> bool:
    """Whether it is a foreign key that nobody has looked at the rows for: its run was broken off there."""
    return item.kind == "foreign key" and item.words[0].endswith("NOT VALID")


def strip(work: Work, side: Side) -> None:
    """Drop what is built behind the copy."""
    if not made.is_partitioned(side):
        keys.drop(work, side)
    shadow = manifest.read(work.connection, oid(work, side))
    statements = [*materialized.drop(side, shadow)]
    for item in shadow.items:
        if item.kind == "foreign key":
            continue
        if item.kind == "index":
            there = sql.Identifier(side.schema).as_string()
            statements.append(f"DROP INDEX {there}.{item.name}")
        elif item.kind in _SLOW or (item.kind == "check constraint" and "NOT VALID" in item.words[0]):
            statements.append(f"ALTER TABLE {side.shadow} DROP CONSTRAINT {item.name}")
    made.send(work, statements)


def refuse_differences(work: Work, side: Side) -> None:
    """Compare the shadow with what it should be: a difference that nobody asked for ends it.

    Raises:
        ObjectError: There are some: all of them are named.
    """
    found = differences(work, side)
    if found:
        raise ObjectError(
            f"The new table for {side.table} isn't what was asked for: {'; '.join(found)}. Nothing was "
            "switched. Say it in the revision (drop=, columns=), or mend it, then run the same command again."
        )


def differences(work: Work, side: Side) -> list[str]:
    """Compare the shadow with what it should be by their manifests. Takes no lock."""
    live = manifest.read(work.connection, side.table.oid)
    shadow = manifest.read(work.connection, oid(work, side))
    called = names(live, side)
    there = {(one.kind, one.name): one for one in shadow.items}
    expected: list[Item] = []
    for item in [*_base(live, side), *wanted_items(live, side, late=False)]:
        other = there.get((item.kind, item.named(called)))
        is_said_anew = other is not None and _is_said_anew(side, item)
        expected.append(other if other is not None and is_said_anew else item)
    known = {(one.kind, one.named(called)) for one in expected}
    mine = [one for one in shadow.items if not carried.is_late(one) or one.name in called.values()]
    expected += [one for one in mine if _is_asked(one, side) and (one.kind, one.name) not in known]
    return manifest.differences(
        Manifest(live.table, tuple(expected)), Manifest(shadow.table, tuple(mine)), called, ordered=False
    )


def _is_said_anew(side: Side, item: Item) -> bool:
    """Whether the other shape has it in other words, so that nobody can compare it."""
    return _is_only(side, item) or carried.speaks_of(item, carried.retyped(side.live, side.other))


def _is_only(side: Side, item: Item) -> bool:
    return any((item.kind, item.name) == (one.kind, one.name) for one in side.other.only)


def _base(live: Manifest, side: Side) -> list[Item]:
    """Give what CREATE TABLE has made, as far as it is the application's table's."""
    same = {one.name for one in side.other.fields if one == side.live.field(one.name)}
    return [
        one
        for one in live.items
        if one.kind in carried.MADE_WITH_TABLE
        and one.kind not in {"columns", "partition key"}
        and (one.kind != "column" or one.name in same)
    ]


def _is_asked(item: Item, side: Side) -> bool:
    """Whether the author has asked for it: a new column, another type, the partitions."""
    if item.kind in {"columns", "partition key", "child"}:
        return True
    same = {one.name for one in side.other.fields if one == side.live.field(one.name)}
    if item.kind == "column":
        return item.name not in same
    return False


def oid(work: Work, side: Side) -> int:
    """Read the shadow's oid."""
    return oid_of(work.connection, side)


def oid_of(connection: Connection, side: Side) -> int:
    """Read the shadow's oid."""
    found = tables.table(connection, side.table.name, side.schema)
    if found is None:
        raise ObjectError(
            f"Table {side.schema}.{side.table.name}, which the restructure of {side.table} has built, is "
            "gone. Nothing was switched. Run the step that builds it again: expand() or undo_contract()."
        )
    return found.oid


def manifest_of(work: Work, side: Side) -> Manifest:
    """Read what hangs on the shadow; nothing where there is none."""
    return manifest.read(work.connection, oid(work, side)) if exists(work, side) else Manifest("", ())


def exists(work: Work, side: Side) -> bool:
    """Whether the shadow is there."""
    return tables.table(work.connection, side.table.name, side.schema) is not None
