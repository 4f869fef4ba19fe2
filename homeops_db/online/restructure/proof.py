"""The proof that both tables hold the same, in one snapshot: hashes of all rows, then the rows that differ.

Both tables are read once, in any order, and the sums of their rows' hashes are compared: the application's
rows through the formulas. Only where they differ rows are joined, in those parts of the keys that do. A key
that is written down is none of the differences: its row is carried over before the switch.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import DataError, InternalError
from psycopg.rows import tuple_row

from homeops_db import faults
from homeops_db.catalog import columns, obstacles, tables
from homeops_db.errors import ObjectError, ViolationError
from homeops_db.history import changes
from homeops_db.history.changes import Change
from homeops_db.online.restructure import parts, rows
from homeops_db.online.restructure.sides import Field, Side
from homeops_db.online.type_change import expressions
from homeops_db.online.work import Work

_NAMED: Final = 10
_PARTS: Final = 255

_SUMS: Final = """
SELECT (SELECT (count(*), sum({live})) FROM {only}{here} AS live)::text,
       (SELECT (count(*), sum({twin})) FROM {shadow} AS twin)::text
"""
# What the shadow is made of, made of the shadow: what else the application's rows have belongs to them alone.
_SUMS_BACK: Final = """
SELECT (SELECT (count(*), sum({live_itself})) FROM {only}{here} AS live)::text,
       (SELECT (count(*), sum({twin_back})) FROM {shadow} AS twin)::text
"""
_UNEQUAL: Final = """
SELECT coalesce(a.part, b.part)
FROM (SELECT {live_part} AS part, count(*) AS n, sum({live}) AS total FROM {only}{here} AS live GROUP BY 1) a
FULL JOIN (SELECT {twin_part} AS part, count(*) AS n, sum({twin}) AS total FROM {shadow} AS twin GROUP BY 1) b
    ON a.part = b.part
WHERE a.n IS DISTINCT FROM b.n OR a.total IS DISTINCT FROM b.total
"""
_DIFFERENT: Final = """
SELECT CASE WHEN live.{first_live} IS NULL THEN {twin_key} ELSE {live_key} END::text,
       CASE WHEN live.{first_live} IS NULL THEN 'is there, and not in the table'
            WHEN twin.{first_twin} IS NULL THEN 'is missing there' ELSE 'is another one there' END
FROM (SELECT * FROM {only}{here} AS live WHERE {live_part} = ANY(ARRAY[{parts}]::int[])) AS live
FULL JOIN (SELECT * FROM {shadow} AS twin WHERE {twin_part} = ANY(ARRAY[{parts}]::int[])) AS twin ON
{same_key} WHERE (live.{first_live} IS NULL OR twin.{first_twin} IS NULL OR {differs})
  AND NOT EXISTS (SELECT FROM {log} AS written WHERE {written_live} OR {written_twin})
LIMIT {most}
"""
_SAFE: Final = """
CREATE OR REPLACE FUNCTION pg_temp.homeops_refused(live {here}) RETURNS text LANGUAGE plpgsql AS {body}
"""
_SAFE_BODY: Final = """
BEGIN
    PERFORM {values};
    RETURN NULL;
EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
    RETURN SQLERRM;
END
"""
_REFUSED: Final = """
SELECT {live_key}::text, 'can''t be made: ' || refused
FROM (SELECT live.*, pg_temp.homeops_refused(live) AS refused FROM {only}{here} AS live) AS live
WHERE refused IS NOT NULL LIMIT {most}
"""


@dataclass(frozen=True)
class Different:
    """A row and its twin that don't belong together: the key, and what is wrong, in words."""

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}"


def refuse(work: Work, side: Side, change: Change) -> None:
    """Prove both tables equal; a row that the drain could not carry over is named with the reason.

    Locks: ACCESS SHARE on both, and one snapshot, for as long as they take to read.

    Raises:
        ViolationError: Rows differ: up to ten are named.
        ObjectError: Row security would hide rows.
    """
    refuse_hiding(work.connection, side)
    noted = changes.errors(work.connection, change.id, limit=_NAMED)
    if noted:
        raise violated(side, [f"{json.dumps(one.key)}: {one.message}" for one in noted])
    found = find(work.connection, side, is_first=change.switched_at is None)
    if found:
        raise violated(side, [str(one) for one in found])
    faults.point("restructure: proven")


def refuse_hiding(connection: Connection, side: Side) -> None:
    """Refuse to look at rows as a role that is shown a part of them.

    Raises:
        ObjectError: Row security would hide some.
    """
    hidden = obstacles.hiding(connection, [part.oid for part in tables.tree(connection, side.table.oid)])
    if hidden:
        raise ObjectError(
            f"The policies of {', '.join(hidden)} hide rows from this role, so they would be missing in the "
            "new table. Nothing was changed. Connect as a role with BYPASSRLS, or take FORCE ROW LEVEL "
            "SECURITY away meanwhile."
        )


def violated(side: Side, found: Sequence[str]) -> ViolationError:
    """Say which rows keep the switch from being done."""
    return ViolationError(
        f"Table {side.table} can't be switched: {'at least ' if len(found) == _NAMED else ''}{len(found)} "
        f"row{'' if len(found) == 1 else 's'} of {side.schema}.{side.table.name} "
        f"{'is' if len(found) == 1 else 'are'} missing or another one. Nothing was switched; both tables go "
        "on being kept alike. Mend these rows, then run the same command again:\n"
        + "\n".join(f"  {one}" for one in found)
    )


def find(connection: Connection, side: Side, *, is_first: bool) -> list[Different]:
    """Give up to ten rows that differ.

    Args:
        connection: In autocommit.
        side: The side.
        is_first: Whether the application has never used the other shape: then every value is what the
            formulas make. Later a value may be what the way back makes of it.
    """
    said = _said(connection, side, is_first=is_first)
    try:
        for query in (_SUMS,) if is_first else (_SUMS, _SUMS_BACK):
            (sums,) = _ask(connection, query.format(**said))
            if sums[0] == sums[1]:
                return []
        unequal = [one[0] for one in _ask(connection, _UNEQUAL.format(**said))]
        if not unequal:  # what was written meanwhile
            return []
        said["parts"] = ", ".join(map(str, unequal))
        return [Different(*one) for one in _ask(connection, _DIFFERENT.format(**said))]
    except (DataError, InternalError):  # a formula fails for some row: look at each by itself
        found = _refused(connection, side, said)
        return found or find(connection, side, is_first=is_first)  # unless somebody has mended it meanwhile


def _refused(connection: Connection, side: Side, said: dict[str, str]) -> list[Different]:
    body = _SAFE_BODY.format(values=said["values"])
    with connection.transaction(force_rollback=True):  # what depends on a table keeps it from being dropped
        function = _SAFE.format(here=side.here, body=sql.Literal(body).as_string(connection))
        connection.execute(function.encode())
        return [Different(*one) for one in _ask(connection, _REFUSED.format(**said))]


def _ask(connection: Connection, query: str) -> list[tuple[str, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def _said(connection: Connection, side: Side, *, is_first: bool) -> dict[str, str]:
    there = columns.hashes(connection, parts.oid_of(connection, side))
    here = columns.hashes(connection, side.table.oid)
    names = [one.name for one in side.carried]
    read = {name for one in names for name in expressions.reads(side.other.formulas[one])}
    back = [one for one in side.live.fields if one.name in read and one.name in side.live.formulas]
    live_keys = [f"live.{_name(name)}" for name in side.live.key]
    twin_keys = [f"twin.{_name(name)}" for name in side.other.key]
    return {
        "here": side.here,
        "only": side.only,
        "shadow": side.shadow,
        "log": side.log,
        "most": str(_NAMED),
        "live": _hash((there[name], rows.made(side, name)) for name in names),
        "twin": _hash((there[name], f"twin.{_name(name)}") for name in names),
        "live_itself": _hash((here[one.name], f"live.{_name(one.name)}") for one in back),
        "twin_back": _hash((here[one.name], _back(side, one)) for one in back),
        "live_part": _part([rows.made(side, name) for name in side.other.key]),
        "twin_part": _part(twin_keys),
        "same_key": rows.same_key(side),
        "first_live": _name(side.live.key[0]),
        "first_twin": _name(side.other.key[0]),
        "differs": rows.differs(side, is_first=is_first),
        "written_live": _both(f"written.{_name(name)} = live.{_name(name)}" for name in side.live.key),
        "written_twin": rows.same_key(side, "written"),
        "live_key": _json(side.live.key, live_keys),
        "twin_key": _json(side.other.key, twin_keys),
        "values": ", ".join(rows.made(side, name) for name in names),
    }


def _back(side: Side, field: Field) -> str:
    """Write what a column of the application's row is by its twin."""
    is_same = field.name in side.other.formulas and rows.is_plain(side, field.name)
    return f"twin.{_name(field.name)}" if is_same else rows.made_back(side, field)


def _hash(values: Iterable[tuple[str, str]]) -> str:
    """Write the hash of a row: values that change their columns change it, so each has a seed of its own."""
    hashed = (
        f"coalesce({form.format(value=value, seed=seed)}, {seed})"
        for seed, (form, value) in enumerate(values, 1)
    )
    return f"({' # '.join(hashed)})"


def _part(values: Sequence[str]) -> str:
    return f"(hash_record_extended(ROW({', '.join(values)}), 0) & {_PARTS})::int"


def _both(conditions: Iterable[str]) -> str:
    return f"({' AND '.join(conditions)})"


def _json(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = (f"{sql.Literal(name).as_string()}, {value}" for name, value in zip(names, values, strict=True))
    return f"jsonb_build_object({', '.join(pairs)})"


def _name(name: str) -> str:
    return sql.Identifier(name).as_string()
