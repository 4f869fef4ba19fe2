"""What was made on the new shape's own columns since the switch: it goes with them on the way back.

The server does the same: DROP COLUMN drops the column's indexes and constraints. What other objects have
made of such a column, a view, say, is refused there and here.
"""

from collections.abc import Iterator
from dataclasses import replace

from homeops_db.catalog import hanging, manifest
from homeops_db.catalog.manifest import Item
from homeops_db.catalog.tables import Table
from homeops_db.online.restructure import asked, carried
from homeops_db.online.restructure.sides import Shape
from homeops_db.online.work import Work

_GOES = {hanging.INDEX, hanging.CHECK, hanging.UNIQUE, hanging.FOREIGN_KEY, hanging.STATISTICS}


def with_grown(work: Work, table: Table, old: Shape, new: Shape) -> Shape:
    """Give the new shape with what was made on its own columns since; before the switch there is none."""
    own = {one.name for one in new.fields} - {one.name for one in old.fields}
    known = {(one.kind, one.name) for one in new.only}
    grown = [one for one in _found(work, table, own) if (one.kind, one.name) not in known]
    return replace(new, only=[*new.only, *grown])


def _found(work: Work, table: Table, own: set[str]) -> Iterator[Item]:
    names = [
        one.name
        for column in own
        for one in hanging.of_column(work.connection, [table.oid], column)
        if one.kind in _GOES and one.name is not None
    ]
    for item in manifest.read(work.connection, table.oid).items if own else ():
        if carried.is_of_column(item, own) or asked.is_named(item, names):
            yield item
