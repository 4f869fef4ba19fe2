"""Materialized views of the table: filled beside the shadow, before the switch, for that may take long.

Each has a twin in the shadow's schema, which reads the shadow; so has a view that one of them reads. The
switch drops the old ones, and takes the twins to their place.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import sql

from homeops_db.catalog import manifest, manifest_names, materialized, worded
from homeops_db.catalog.manifest import Item, Manifest
from homeops_db.history import changes
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work

_MADE: Final = "twins"
_FILLED_BY: Final = "filled"
_VIEWS: Final = ("view", "materialized view")
_FILLED: Final = " WITH DATA"
_EMPTY: Final = " WITH NO DATA"


def twins(work: Work, side: Side, live: Manifest) -> list[Item]:
    """Give the items of materialized views, and of the views that they read, in the order of their making."""
    if not live.of("materialized view"):
        return []
    above = worded.views_above(work.connection, [side.table.oid])
    by_oid = {one.oid: one for one in above}
    needed = {one.oid for one in above if one.is_materialized}
    for one in reversed(above):  # those above before those below
        if one.oid in needed:
            needed |= set(one.below) & by_oid.keys()
    called = {(by_oid[oid].schema, by_oid[oid].name) for oid in needed - {side.table.oid}}
    return [
        one
        for one in live.items
        if (one.kind in _VIEWS and manifest_names.words(one.name) in called)
        or (one.kind.startswith("index of ") and manifest_names.words(one.kind[9:]) in called)
    ]


def names(side: Side, items: Sequence[Item]) -> dict[str, str]:
    """Give the twins' names."""
    return {one.name: f"{side.schema}.{manifest_names.bare(one.name)}" for one in items if one.kind in _VIEWS}


def lacks(work: Work, side: Side, live: Manifest, shadow: Manifest) -> bool:
    """Whether twins are missing, or other ones than they should be."""
    wanted = twins(work, side, live)
    if {*names(side, wanted).values()} != {*_there(side, shadow)}:
        return True
    kept = changes.by_number(work.connection, side.change_id).kept if wanted else {}
    return bool(wanted) and kept.get(_MADE) != _words(side, wanted)


def ensure(work: Work, side: Side, live: Manifest, shadow: Manifest) -> Iterator[tuple[Item, list[str]]]:
    """Give what makes the twins, empty ones, where they are missing or other ones; the old are dropped."""
    if not lacks(work, side, live, shadow):
        return
    wanted = twins(work, side, live)
    called = names(side, wanted)
    for statement in drop(side, shadow):
        work.connection.execute(statement.encode())
    for one in wanted:
        yield one, [_emptied(one, text) for text in one.statements(side.shadow, called)]
    changes.keep(work.connection, side.change_id, **{_MADE: _words(side, wanted), _FILLED_BY: {}})


def drop(side: Side, shadow: Manifest) -> Iterator[str]:
    """Write what drops the twins that are there."""
    for name, kind in reversed(_there(side, shadow).items()):
        yield f"DROP {kind.upper()} {name}"


def _words(side: Side, items: Sequence[Item]) -> dict[str, object]:
    return {"schema": side.schema, "words": sorted(str(one.said("t", {})) for one in items)}


def fill(work: Work, side: Side) -> None:
    """Fill the twins, unless they are as new as what they stand for.

    Locks: none on anything in use but ACCESS SHARE, for as long as the queries take.
    """
    live = manifest.read(work.connection, side.table.oid)
    items = [one for one in twins(work, side, live) if one.kind == "materialized view"]
    known = dict(changes.by_number(work.connection, side.change_id).kept.get(_FILLED_BY) or {})
    for one in items:
        version = materialized.version(work.connection, one.name)
        if known.get(one.name) == version or one.create is None:
            continue
        if any(text.endswith(_FILLED) for text in one.create):
            twin = names(side, items)[one.name]
            work.alone(f"REFRESH MATERIALIZED VIEW {twin}", step="fill view")
        known[one.name] = version
    if items:
        changes.keep(work.connection, side.change_id, **{_FILLED_BY: known})


def taken(work: Work, side: Side, live: Manifest) -> dict[tuple[str, str], list[str]]:
    """Write what takes each twin to its place, instead of making it there, by kind and name."""
    items = twins(work, side, live)
    called = names(side, items)
    moved: dict[tuple[str, str], list[str]] = {(one.kind, one.name): [] for one in items}
    for one in items:
        if one.kind in _VIEWS:
            schema = sql.Identifier(manifest_names.words(one.name)[0]).as_string()
            moved[one.kind, one.name] = [f"ALTER {one.kind.upper()} {called[one.name]} SET SCHEMA {schema}"]
    return moved


def _there(side: Side, shadow: Manifest) -> dict[str, str]:
    """Give the twins that are there, with their kinds, in the order in which they were made."""
    found = shadow.of(*_VIEWS)
    return {one.name: one.kind for one in found if manifest_names.words(one.name)[0] == side.schema}


def _emptied(item: Item, text: str) -> str:
    if item.kind == "materialized view" and text.endswith(_FILLED):
        return text.removesuffix(_FILLED) + _EMPTY
    return text
