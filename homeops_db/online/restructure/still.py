"""Whether the application's table is still what it was when its other shape was begun."""

from collections.abc import Iterator

from homeops_db.catalog import columns, heap, unmovable
from homeops_db.catalog.manifest import Manifest
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import said
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def refuse_changed(work: Work, side: Side, live: Manifest) -> None:
    """Refuse where the application's table isn't of the shape any more that the change began with.

    Raises:
        ObjectError: Columns were added, dropped or altered, or its key is gone.
    """
    found = [*_changed(work, side), *_said_otherwise(work, side, live)]
    if found:
        back = "contract()" if side.is_switched else "undo_expand()"
        raise ObjectError(
            f"{side.table} was changed since its other shape was begun: {'; '.join(found)}. Nothing was "
            f"switched. Take that back; or run {back}, and begin the change anew with a revision that has it."
        )


def _changed(work: Work, side: Side) -> Iterator[str]:
    there = {one.name: one for one in columns.qualified(work.connection, side.table.oid)}
    known = {one.name: one for one in side.live.fields}
    yield from (f"column {name} is new" for name in there if name not in known)
    yield from (f"column {name} is gone" for name in known if name not in there)
    for name, one in there.items():
        field = known.get(name)
        if field is not None and (one.type, bool(one.generated)) != (field.type, bool(field.generated)):
            yield f"column {name} was {field.type} and is {one.type}"
    key = ", ".join(side.live.key)
    keys = heap.keys(work.connection, side.table.oid)
    if not side.is_switched and not any(set(one.columns) == set(side.live.key) for one in keys):
        yield f"it has no unique key of {key} without nulls any more"
    elif not unmovable.is_served(work.connection, side.table.oid, side.live.key):
        yield f"no index of it begins with {key} any more"


def _said_otherwise(work: Work, side: Side, live: Manifest) -> Iterator[str]:
    """Name what both shapes have by the revision, and what is another one in the application's now."""
    changed = said.changed(work, side, live)
    for one in side.other.only:
        if (one.kind, one.name) in changed:
            yield f"{one} is another one, and the other shape has one of its own"
