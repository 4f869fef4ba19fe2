"""What hangs on the shadow itself: made like the application's, and compared with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import (
    DataError,
    DependentObjectsStillExist,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from homeops_db.catalog import constraints, locks, manifest, manifest_names, tables
from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import Wanted, wanted
from homeops_db.online.restructure import carried, cleared, still
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_SLOW: Final = ("index", "primary key", "unique constraint", "exclusion constraint", "foreign key")
"""Kinds that cost the copy more than building them behind it."""

_NUMBERS: Final = "identity sequence"
REFUSED: Final = (ProgrammingError, NotSupportedError, DataError, DependentObjectsStillExist, IntegrityError)
"""What the server says of a shape that something can't be said of."""


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


def ensure(work: Work, side: Side) -> None:
    """Make what the shadow lacks, and take away what it has too much.

    Raises:
        ObjectError: Something can't be said of the new shape: all of it is named, with the server's reasons.

    Locks: ACCESS EXCLUSIVE on the shadow, for which nobody waits while keys are written down; SHARE ROW
    EXCLUSIVE on tables that foreign keys refer to, for some milliseconds.
    """
    still.refuse_changed(work, side)
    live = manifest.read(work.connection, side.table.oid)
    called = names(live, side)
    refused = _Refused(side)
    for item in reversed(_to_clear(work, side, live)):
        with refused.noted(item):
            _send(work, cleared.statements(item, side.shadow, sql.Identifier(side.schema).as_string()) or [])
    shadow = manifest.read(work.connection, oid(work, side))
    there = {(one.kind, one.name) for one in shadow.items}
    for item in wanted_items(live, side, late=False):
        if ((item.kind, item.named(called)) not in there or _is_renewed(item)) and item.create:
            with refused.noted(item):
                _make(work, side, item, called)
    refused.end()


def lacks(work: Work, side: Side) -> bool:
    """Whether the shadow isn't what it should be, for what somebody has done to the application's table."""
    live = manifest.read(work.connection, side.table.oid)
    shadow = manifest.read(work.connection, oid(work, side))
    there = {(one.kind, one.name) for one in shadow.items}
    wanted = {(one.kind, one.named(names(live, side))) for one in wanted_items(live, side, late=False)}
    return bool(wanted - there or _to_clear(work, side, live))


def _to_clear(work: Work, side: Side, live: Manifest) -> list[Item]:
    """Give what the shadow has otherwise than it should, as it has it."""
    called = names(live, side)
    wanted = {
        (one.kind, one.named(called)): one
        for one in (*_base(live, side), *wanted_items(live, side, late=False))
    }
    found = []
    shadow = manifest.read(work.connection, oid(work, side))
    for item in shadow.items:
        expected = wanted.get((item.kind, item.name))
        if carried.is_late(item) or item.kind in carried.MADE_WITH_TABLE:
            continue
        if expected is None or (
            not _is_said_anew(work, side, expected)
            and expected.said(shadow.table, called) != item.said(shadow.table, {})
        ):
            found.append(item)
    return found


def _is_renewed(item: Item) -> bool:
    """Whether it is there with its table, and made again when it is another one."""
    return item.kind in {"owner", "identity sequence rights"}


def strip(work: Work, side: Side) -> None:
    """Drop what is built behind the copy."""
    shadow = manifest.read(work.connection, oid(work, side))
    statements = []
    for item in shadow.items:
        if item.kind == "foreign key" and _is_partitioned_early(side):
            continue
        if item.kind == "index":
            there = sql.Identifier(side.schema).as_string()
            statements.append(f"DROP INDEX {there}.{item.name}")
        elif item.kind in _SLOW or (item.kind == "check constraint" and "NOT VALID" in item.words[0]):
            statements.append(f"ALTER TABLE {side.shadow} DROP CONSTRAINT {item.name}")
    # Foreign keys before what they stand on: the table's own may refer to itself.
    statements.sort(key=lambda text: "DROP INDEX" in text)
    _send(work, [*_keys_first(shadow, statements)])


def _keys_first(shadow: Manifest, statements: Sequence[str]) -> list[str]:
    keys = {one.name for one in shadow.of("foreign key")}
    return sorted(statements, key=lambda text: text.rpartition(" ")[2] not in keys)


def _is_partitioned_early(side: Side) -> bool:
    """Whether foreign keys must be there before the rows: NOT VALID ones can't be on a partitioned table."""
    return side.other.partition_by is not None


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
        is_said_anew = other is not None and _is_said_anew(work, side, item)
        expected.append(other if other is not None and is_said_anew else item)
    known = {(one.kind, one.named(called)) for one in expected}
    mine = [one for one in shadow.items if not carried.is_late(one)]
    expected += [one for one in mine if _is_asked(one, side) and (one.kind, one.name) not in known]
    return manifest.differences(
        Manifest(live.table, tuple(expected)), Manifest(shadow.table, tuple(mine)), called, ordered=False
    )


def _is_said_anew(work: Work, side: Side, item: Item) -> bool:
    """Whether the other shape has it in other words, so that nobody can compare it."""
    only = {(one.kind, one.name) for one in side.other.only}
    return (item.kind, item.name) in only or carried.is_adapted(work, side.table, item, side.live, side.other)


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


def exists(work: Work, side: Side) -> bool:
    """Whether the shadow is there."""
    return tables.table(work.connection, side.table.name, side.schema) is not None


def _make(work: Work, side: Side, item: Item, called: dict[str, str]) -> None:
    if item.kind == "sequence":
        work.alone(f"CREATE SEQUENCE IF NOT EXISTS {called[item.name]} {item.words[1]}", step="make sequence")
    for statement in item.statements(side.shadow, called):
        said, _ = carried.adapted(work, statement, side.table, side.live, side.other)
        if item.kind == "foreign key" and side.other.partition_by is None and not said.endswith(" NOT VALID"):
            _key(work, side, item, f"{said} NOT VALID")
        elif item.kind == "foreign key":
            work.execute(_referents(work, side), said, step="key")
        else:
            work.alone(said, step=f"make {item.kind}")


def _key(work: Work, side: Side, item: Item, said: str) -> None:
    """Add a foreign key without looking at rows, and look at them when the lock is gone."""
    work.execute(_referents(work, side), said, step="key")
    work.alone(f"ALTER TABLE {side.shadow} VALIDATE CONSTRAINT {item.name}", step="validate key")


def _referents(work: Work, side: Side) -> list[Wanted]:
    """Name the locks on the tables that the table's foreign keys refer to."""
    keys = [one for one in constraints.of_table(work.connection, side.table.oid) if one.kind == "f"]
    oids = {one.referent_oid for one in keys} - {side.table.oid, None}
    others = (tables.by_oid(work.connection, one) for one in sorted(oids))
    return [wanted(work.connection, one, locks.SHARE_ROW_EXCLUSIVE) for one in others if one is not None]


def _send(work: Work, statements: Sequence[str]) -> None:
    with work.connection.transaction():
        for statement in statements:
            work.connection.execute(statement.encode())


class _Refused:
    """What the server has refused, until all is tried."""

    def __init__(self, side: Side) -> None:
        self.side, self.found = side, dict[str, str]()

    @contextmanager
    def noted(self, item: Item) -> Iterator[None]:
        """Go on behind an item that is refused."""
        try:
            yield
        except REFUSED as error:
            self.found[str(item)] = str(error.diag.message_primary)

    def end(self) -> None:
        """Say all of it."""
        if self.found:
            said = "; ".join(f"{item} ({why})" for item, why in self.found.items())
            raise ObjectError(
                f"{self.side.table} can't get this shape, for the server refuses to give it: {said}. Nothing "
                "was switched. Change it or drop it in a revision before, or name it in drop=."
            )
