"""One row and its twin, as SQL: made, carried over, compared."""

import re
from collections.abc import Mapping
from typing import Final

from psycopg import sql

from homeops_db.online.restructure.sides import Field, Side
from homeops_db.online.type_change import expressions, sync

_LENGTH: Final = re.compile(r"^(character varying|character|bit varying|bit)\(\d+\)")
_ANY_LENGTH: Final = {
    "character varying": "character varying",
    "character": "bpchar",
    "bit varying": "bit varying",
    "bit": "bit varying",
}

_REFRESH: Final = """
CREATE OR REPLACE FUNCTION {name}({parameters}) RETURNS boolean LANGUAGE plpgsql AS {body}
"""
# By what the table holds now. A row that isn't there any more goes, unless it comes back at this moment.
_REFRESH_BODY: Final = """
#variable_conflict use_column
BEGIN
    UPDATE {shadow} AS twin SET {assigned} FROM {only}{here} AS live WHERE {is_live} AND {is_twin};
    IF FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO {shadow} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {only}{here} AS live
    WHERE {is_live};
    IF FOUND THEN
        RETURN true;
    END IF;
    DELETE FROM {shadow} AS twin WHERE {is_twin} AND NOT EXISTS (SELECT FROM {only}{here} AS live WHERE
    {is_live}); RETURN FOUND;
END
"""


def refresh_name(side: Side) -> str:
    """Name the function that carries one row over, as SQL."""
    return f"migrations.refresh_{side.change_id}"


def parameters(side: Side) -> list[tuple[str, Field]]:
    """Give the function's parameters, one for each column of the key."""
    found = []
    for number, name in enumerate(side.live.key, 1):
        field = side.live.field(name)
        assert field is not None
        found.append((f"homeops_key_{number}", field))
    return found


def refresh(side: Side) -> str:
    """Write the function that makes one row's twin what it should be.

    It gives true when it found something to do. In a transaction whose snapshot is older than the twin it
    finds nothing, or fails (40001): then somebody else must look later on.
    """
    body = _REFRESH_BODY.format(
        shadow=side.shadow,
        only=side.only,
        here=side.here,
        assigned=", ".join(f"{_name(one.name)} = {kept_or_made(side, one)}" for one in side.carried),
        is_live=is_live(side),
        is_twin=is_twin(side),
        columns=", ".join(_name(one.name) for one in side.carried),
        values=", ".join(assigned(side, one.name) for one in side.carried),
    )
    declared = ", ".join(f"{name} {field.type}" for name, field in parameters(side))
    return _REFRESH.format(name=refresh_name(side), parameters=declared, body=sql.Literal(body).as_string())


def is_live(side: Side, values: Mapping[str, str] | None = None) -> str:
    """Write the condition that finds the application's row by the parameters, or by other values."""
    given = values or {}
    return " AND ".join(
        f"live.{_name(field.name)} = {given.get(name, name)}" for name, field in parameters(side)
    )


def is_twin(side: Side, values: Mapping[str, str] | None = None) -> str:
    """Write the condition that finds its twin by the same."""
    given = values or {}
    conditions = []
    for (name, field), own in zip(parameters(side), side.other.key, strict=True):
        value = expressions.with_value(side.other.formulas[own], field.name, given.get(name, name))
        conditions.append(f"twin.{_name(own)} = ({value})::{_type(side, own)}")
    return " AND ".join(conditions)


def live_key(side: Side) -> list[str]:
    """Write what makes the key of the application's row from a twin."""
    return [made_back(side, field) for _, field in parameters(side)]


def made_back(side: Side, field: Field) -> str:
    """Write what makes a column of the application's row from a twin."""
    return f"({expressions.of_row(side.live.formulas[field.name], 'twin')})::{field.type}"


def made(side: Side, name: str, record: str = "live") -> str:
    """Write what makes a column of the shadow from a record of the application's table."""
    return f"({expressions.of_row(side.other.formulas[name], record)})::{_type(side, name)}"


def assigned(side: Side, name: str, record: str = "live") -> str:
    """Write the same as it is stored: a cast would cut off what is too long, and storing it refuses that."""
    text = expressions.of_row(side.other.formulas[name], record)
    return f"({text})::{_LENGTH.sub(lambda found: _ANY_LENGTH[found[1]], _type(side, name))}"


def is_plain(side: Side, name: str) -> bool:
    """Whether a column is the same in both shapes."""
    return (
        side.other.field(name) == side.live.field(name)
        and expressions.reads(side.other.formulas[name]) == [name]
        and side.other.formulas[name] == _name(name)
    )


def belongs(side: Side, name: str) -> str:
    """Write the condition that a column of a twin belongs to its row although nothing makes it so any more.

    After a way there and back a value may be rounded on one side, or have been written by the application
    there: then the row is what is made of it.
    """
    reads = expressions.reads(side.other.formulas[name])
    if not reads:  # the same for every row, until somebody changes it
        return "true"
    conditions = []
    for read in reads:
        if read not in side.live.formulas:
            continue
        back = expressions.of_row(side.live.formulas[read], "twin")
        field = side.live.field(read)
        assert field is not None
        conditions.append(f"NOT {sync.unlike(f'live.{_name(read)}', f'({back})::{field.type}')}")
    return " AND ".join(conditions) or "false"


def kept_or_made(side: Side, field: Field) -> str:
    """Write what a column of a twin is: what it was where that belongs to the row, or what is made of it."""
    if field.name not in side.other.formulas:
        return f"twin.{_name(field.name)}"
    if is_plain(side, field.name):
        return assigned(side, field.name)
    kept, anew = f"twin.{_name(field.name)}", assigned(side, field.name)
    return f"CASE WHEN {belongs(side, field.name)} THEN {kept} ELSE {anew} END"


def _type(side: Side, name: str) -> str:
    field = side.other.field(name)
    assert field is not None
    return field.type


def _name(name: str) -> str:
    return sql.Identifier(name).as_string()


def same_key(side: Side, record: str = "live") -> str:
    """Write the condition that a twin is that of a record, which has the application's key."""
    return " AND ".join(f"twin.{_name(own)} = {made(side, own, record)}" for own in side.other.key)


def differs(side: Side, *, is_first: bool) -> str:
    """Write the condition that a row and its twin don't belong together; see `belongs`."""
    conditions = []
    for field in side.carried:
        unlike = sync.unlike(f"twin.{_name(field.name)}", made(side, field.name))
        if not is_first and not is_plain(side, field.name):
            unlike = f"({unlike} AND NOT ({belongs(side, field.name)}))"
        conditions.append(unlike)
    return f"({' OR '.join(conditions)})"
