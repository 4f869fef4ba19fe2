"""What both shapes have in words of their own: how it was said when the shadow was given it.

A default of another type, an index with a cast: nobody can tell by their words whether both are the same. So
it is written down what each was, and one that is another one later on was changed by somebody.
"""

from collections.abc import Sequence
from typing import Any

from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.history import changes
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_KEPT = "said"


def note(work: Work, side: Side, live: Manifest, shadow: Manifest, items: Sequence[Item]) -> None:
    """Write down what some of the application's items are, and the shadow's."""
    known = _known(work, side)
    theirs = {(one.kind, one.name): one for one in live.items}
    for item in items:
        key = _key(item)
        mine = next((one for one in shadow.items if _key(one) == key), None)
        now = [theirs.get((item.kind, item.name)), mine]
        known[key] = [_words(one) for one in (reversed(now) if side.is_switched else now)]
    if items:
        changes.keep(work.connection, side.change_id, **{_KEPT: known})


def changed(work: Work, side: Side, live: Manifest) -> set[tuple[str, str]]:
    """Give kinds and names of the application's items that aren't what was written down."""
    known = _known(work, side)
    place = 1 if side.is_switched else 0
    return {
        (one.kind, one.name)
        for one in live.items
        if (said := known.get(_key(one), [None, None])[place]) is not None and said != _words(one)
    }


def unknown(work: Work, side: Side, items: Sequence[Item]) -> list[Item]:
    """Give those of some items of which nothing is written down."""
    known = _known(work, side)
    return [one for one in items if _key(one) not in known]


def _known(work: Work, side: Side) -> dict[str, Any]:
    found = changes.by_number(work.connection, side.change_id).kept.get(_KEPT, {})
    return dict(found)


def _key(item: Item) -> str:
    return f"{item.kind} {item.name.rpartition('.')[2]}"


def _words(item: Item | None) -> str | None:
    """Give words without the schemas of what stands beside the table."""
    if item is None:
        return None
    words = sorted(item.words)
    if item.kind == "column identity":
        words = [one.partition("SEQUENCE NAME")[0] + one.partition(" START ")[2] for one in words]
    return "; ".join(words)
