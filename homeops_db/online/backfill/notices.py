"""What will fire or grow, said before a backfill starts: one short sentence each."""

from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import Connection

from homeops_db.catalog import firing, pressure, referring
from homeops_db.catalog.firing import DELETE, INSERT, UPDATE, Computed, Trigger
from homeops_db.catalog.pressure import Snapshot
from homeops_db.catalog.referring import Reference
from homeops_db.locking.amounts import between, size
from homeops_db.online.backfill.scope import Scope

_OLD: Final = 60.0
_DEEPEST: Final = 8

_ACTIONS: Final = {
    "CASCADE": {
        DELETE: "deletes the rows of {} that refer to it",
        UPDATE: "changes the rows of {} that refer to it",
    },
    "SET NULL": dict.fromkeys((DELETE, UPDATE), "empties the rows of {} that refer to it"),
    "SET DEFAULT": dict.fromkeys((DELETE, UPDATE), "sets the rows of {} that refer to it to their default"),
}


def notices(connection: Connection, scope: Scope, references: Sequence[Reference]) -> list[str]:
    """Say what fires or grows. Takes no lock."""
    oids, columns = scope.oids, scope.columns
    said = [_trigger(one, scope) for one in _firing(connection, scope)]
    said += _bypassed(connection, scope)
    said += [
        f"publication {name} sends each row to its subscribers"
        for name in firing.publications(connection, oids, scope.verb)
    ]
    if scope.verb != DELETE:
        said += [
            f"foreign key {one.name} looks each new value up in {one.referent}"
            for one in referring.foreign_keys(connection, oids, columns)
        ]
    if scope.verb == UPDATE:
        said += [_computed(one) for one in firing.computed(connection, oids, columns)]
        said += [
            f"index {one.name} ({one.definition}) gets every row anew, and no update stays on its page: "
            "build it after the backfill"
            for one in firing.covering(connection, oids, columns)
        ]
    return said + [_reference(one, scope.verb) for one in references]


def references(connection: Connection, scope: Scope) -> list[Reference]:
    """Read which foreign keys refer to what is written, and to what is deleted with it in turn."""
    if scope.verb == INSERT:
        return []
    oids = sorted({scope.whole.oid, *scope.oids})
    found: list[Reference] = []
    for _ in range(_DEEPEST):
        more = referring.references(connection, oids, scope.columns, scope.verb)
        found += [one for one in more if one not in found]
        seen = {*oids}
        oids = sorted({one.table_oid for one in more if one.action == "CASCADE"} - seen)
        if scope.verb != DELETE or not oids:
            break
    return found


def held(connection: Connection) -> list[str]:
    """Say who has kept dead rows from being removed for more than a minute. Takes no lock."""
    old = [one for one in pressure.snapshots(connection, []) if (one.known_s or 0) > _OLD]
    return [
        f"{_who(one)} keeps dead rows from being removed, for {between(one.known_s or 0, one.known_s or 0)} "
        "now: the table grows more as long as it does"
        for one in old[:1]
    ]


def _firing(connection: Connection, scope: Scope) -> list[Trigger]:
    """Of an insert's target the partitions' triggers for rows fire, and those for statements of itself."""
    found = firing.triggers(connection, scope.oids, scope.columns, scope.verb)
    if scope.verb != INSERT:
        return found
    of_whole = firing.triggers(connection, [scope.whole.oid], scope.columns, scope.verb)
    return [one for one in found if one.is_for_row] + [one for one in of_whole if not one.is_for_row]


def _trigger(one: Trigger, scope: Scope) -> str:
    of = f" OF {one.columns}" if one.columns else ""
    when = "on each row" if one.is_for_row else "once a batch"
    ends = ", at the batch's commit" if one.is_deferred else ""
    ends += ", where its WHEN holds" if one.has_condition else ""
    is_on_all = one.tables >= len(scope.written) - (scope.verb == INSERT)
    if not is_on_all and (one.is_for_row or scope.verb != INSERT):
        ends += f", on {one.table}" if one.tables == 1 else f", on {one.tables} of its tables"
    return f"trigger {one.name} ({one.function}) fires {when}, {one.timing} {scope.verb}{of}{ends}"


def _bypassed(connection: Connection, scope: Scope) -> Iterator[str]:
    """Triggers for whole statements on the parent, which no statement names."""
    if not scope.is_by_leaf:
        return
    for one in firing.triggers(connection, [scope.whole.oid], scope.columns, scope.verb):
        if not one.is_for_row:
            yield (
                f"trigger {one.name} ({one.function}) doesn't fire: it is for whole statements on "
                f"{scope.whole}, and batches name its partitions"
            )


def _computed(one: Computed) -> str:
    if one.kind == firing.GENERATED:
        return f"generated column {one.name} is computed anew for each row"
    if one.is_validated:
        return f"{one.kind} {one.name} is tried on each row"
    return (
        f"{one.kind} {one.name} is NOT VALID and still tried on each row that is written: old rows that "
        "contradict it fail"
    )


def _reference(one: Reference, verb: str) -> str:
    subject = {DELETE: "a deleted row", UPDATE: "a changed value"}[verb]
    does = _ACTIONS.get(one.action)
    text = does[verb].format(one.table) if does else f"turns {subject} away that {one.table} refers to"
    scan = (
        f"; without an index on {', '.join(one.columns)} it reads {size(one.scanned_bytes)} of {one.table} "
        "each time: build one first"
        if one.scanned_bytes
        else ""
    )
    return f"foreign key {one.name} of {one.table} {text}{scan}"


def _who(one: Snapshot) -> str:
    if one.kind == "prepared":
        return f"prepared transaction {one.name}"
    name = one.name or "no application_name"
    return f"pid {one.pid} ({name}, role {one.role})" if one.role else f"pid {one.pid} ({name})"
