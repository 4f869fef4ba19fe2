"""Does a revision take something away from those who use the database? Judged by what they saw before and after.

What is dropped or narrowed is named, a line each. Nothing is read of the revision's text, so what a DO block
or a function did counts too. In doubt the judge says yes: whether two different conditions mean the same isn't
asked, but for lists that became longer and conditions that lost a part.
"""

import re
from collections.abc import Iterator
from typing import Final

from tests.history.conditions import is_implied, says_not_null
from tests.history.seen import Column, Rule, Seen

_WIDER: Final = {
    "smallint": {"integer", "bigint"},
    "integer": {"bigint"},
    "real": {"double precision"},
    "text": {"character varying"},
}
_SIZED: Final = re.compile(r"(?P<name>[a-z ]+?)\((?P<sizes>[\d,]+)\)(?P<rest>.*)")
_KEY: Final = re.compile(r".*?\((?P<terms>.*?)\)(?: INCLUDE .*| WHERE .*)?$")
_NAMES: Final = {"c": "check", "f": "foreign key", "p": "primary key", "u": "unique key", "x": "exclusion"}


def narrowed(before: Seen, after: Seen) -> list[str]:
    """Name everything that was dropped or narrowed; an empty list is a minor or a patch."""
    return sorted(
        {
            *_relations(before, after),
            *_columns(before, after),
            *_routines_and_types(before, after),
            *_rules(before, after),
            *_rights(before, after),
        }
    )


def _relations(before: Seen, after: Seen) -> Iterator[str]:
    for name, kind in before.relations.items():
        if name not in after.relations:
            yield f"{name} is dropped"
        elif after.relations[name] != kind:
            yield f"{name} was relkind {kind} and is {after.relations[name]}"
    for shape in before.kept - after.kept:
        yield f"the old shape of {shape} is dropped"
    for name in before.extensions - after.extensions:
        yield f"extension {name} is dropped"
    for name, guard in after.guards - before.guards:
        if name in before.relations:
            yield f"{name} has a {guard} now"


def _columns(before: Seen, after: Seen) -> Iterator[str]:
    for place, column in before.columns.items():
        if column.relation in after.relations:
            now = after.columns.get(place)
            yield from _column(column, now, before, after) if now else [f"{'.'.join(place)} is dropped"]
    for place, column in after.columns.items():
        is_demanded = column.not_null and not (column.has_default or column.relation in after.filled)
        if place not in before.columns and is_demanded and _is_table(column.relation, before):
            yield f"{'.'.join(place)} is new, NOT NULL and has no default"


def _column(was: Column, now: Column, before: Seen, after: Seen) -> Iterator[str]:
    name = f"{was.relation}.{was.name}"
    kept = {name, f"*.{was.relation.partition('.')[2]}"} & after.kept
    if not is_wider(was.type, now.type) and not kept:
        yield f"{name} was {was.type} and is {now.type}"
    if was.collation != now.collation and is_wider(was.type, now.type):
        yield f"{name} was collated by {was.collation} and is by {now.collation}"
    if now.not_null and not was.not_null and not _was_held(was, before):
        yield f"{name} is NOT NULL"
    if was.has_default and now.not_null and not now.has_default and was.relation not in after.filled:
        yield f"{name} is NOT NULL and has lost its default"
    if now.generated and not was.generated:
        yield f"{name} is generated now"
    if now.identity == "a" and was.identity != "a":
        yield f"{name} is an identity that takes no values now"


def is_wider(old: str, new: str) -> bool:
    """Tell whether every value of a type is one of the other, read by clients as before."""
    if old == new:
        return True
    was, now = _sized(old), _sized(new)
    if was[2] != now[2]:
        return False
    if was[0] == now[0] == "numeric":
        return not now[1] or (bool(was[1]) and _digits(was[1]) <= _digits(now[1]) and was[1][1] <= now[1][1])
    if was[0] == now[0] == "character varying":
        return not now[1] or (bool(was[1]) and was[1] <= now[1])
    if (was[0], now[0]) == ("character varying", "text"):
        return True
    return not was[1] and not now[1] and now[0] in _WIDER.get(was[0], ())


def _sized(name: str) -> tuple[str, list[int], str]:
    match = _SIZED.fullmatch(name)
    if match is None:
        base, array, rest = name.partition("[]")
        return base, [], array + rest
    sizes = [int(size) for size in match["sizes"].split(",")]
    return match["name"], sizes, match["rest"]


def _digits(sizes: list[int]) -> int:
    return sizes[0] - sizes[1]


def _was_held(column: Column, before: Seen) -> bool:
    checks = (rule for rule in before.rules if rule.relation == column.relation and rule.kind == "c")
    return any(says_not_null(rule.definition, column.name) for rule in checks)


def _routines_and_types(before: Seen, after: Seen) -> Iterator[str]:
    for name, said in before.routines.items():
        if name not in after.routines:
            yield f"{name} is dropped"
        elif after.routines[name] != said:
            yield f"{name} was {said} and is {after.routines[name]}"
    for name, (parts, is_domain) in before.types.items():
        if name not in after.types:
            yield f"type {name} is dropped"
        elif gone := (after.types[name][0] - parts if is_domain else parts - after.types[name][0]):
            yield f"type {name}: {', '.join(sorted(gone))} is {'new' if is_domain else 'dropped'}"


def _rules(before: Seen, after: Seen) -> Iterator[str]:
    for rule in after.rules:
        known = all((rule.relation, name) in before.columns for name in rule.columns)
        if known and _is_table(rule.relation, before) and not _stood(rule, before):
            yield f"{rule.relation} has a new {_NAMES[rule.kind]}: {rule.name} {rule.definition}"


def _stood(rule: Rule, before: Seen) -> bool:
    """Tell whether a constraint demands nothing that wasn't demanded before."""
    others = [other for other in before.rules if other.relation == rule.relation]
    if any(other.definition == rule.definition for other in others):
        return True
    if rule.kind == "c":
        held = [name for (relation, name), column in before.columns.items()
                if relation == rule.relation and column.not_null]  # fmt: skip
        return is_implied(rule.definition, [o.definition for o in others if o.kind == "c"], held)
    if rule.kind == "f":
        return any(
            other.kind == "f"
            and _same_key(rule, other)
            and set(rule.refusing.split()) <= set(other.refusing.split())
            for other in others
        )
    return _is_key(rule) and any(
        _is_key(other) and " WHERE " not in other.definition and _key(other) <= _key(rule) for other in others
    )


def _is_key(rule: Rule) -> bool:
    return rule.kind in "pu" and "NULLS NOT DISTINCT" not in rule.definition


def _key(rule: Rule) -> set[str]:
    """Give the terms of a unique key, in the server's words."""
    match = _KEY.match(rule.definition)
    return set(match["terms"].split(", ")) if match else {rule.definition}


def _same_key(rule: Rule, other: Rule) -> bool:
    keys = (re.match(r"FOREIGN KEY .* REFERENCES [^)]*\)", r.definition) for r in (rule, other))
    return len({key[0] if key else None for key in keys}) == 1


def _is_table(name: str, seen: Seen) -> bool:
    return seen.relations.get(name) == "r"


def _rights(before: Seen, after: Seen) -> Iterator[str]:
    there = {*after.relations, *after.routines, *(".".join(place) for place in after.columns)}
    schemas = {name.partition(".")[0] for name in after.relations}
    for what, who, right in before.rights - after.rights:
        if what in there or what in schemas:
            yield f"{who} has lost {right} on {what}"
