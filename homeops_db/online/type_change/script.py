"""A type change in a ``--sql`` script: at once, where the revision switches.

A script can't look what hangs on the column, so it leaves that to the server: ALTER TYPE carries most of it,
and refuses the rest before anything is changed. It rewrites the table under ACCESS EXCLUSIVE: a script of
this kind is for an empty database, or for one at rest. The end is the same, but for the column's place in its
table.
"""

from typing import Final

from psycopg import sql

from homeops_db.catalog import scripted
from homeops_db.online import subject
from homeops_db.online.type_change.operation import TypeChange
from homeops_db.online.type_change.sides import NEW, OLD
from homeops_db.online.work import Script

_TYPE: Final = "homeops_type"

_ALTER: Final = sql.SQL(scripted.RETYPE)

# What an online run has begun is ended by one: its triggers read the column by its old type.
_GUARD: Final = sql.SQL("""
DO $homeops$
BEGIN
    IF {is_there} THEN
        RAISE EXCEPTION {message} USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $homeops$
""")


def write(out: Script, asked: TypeChange, step: str) -> None:
    """Write one step: the switch, or the way back over it. The others are done by it at once."""
    if step == "switch":
        _alter(out, asked, asked.up)
    elif step == "undo_switch":
        _alter(out, asked, asked.down)


def _alter(out: Script, asked: TypeChange, expression: str) -> None:
    table = subject.quoted((asked.table_name, asked.schema))
    shadows = [subject.shortened(mark + asked.column_name) for mark in (NEW, OLD)]
    message = (
        f"The type of {asked.table_name}.{asked.column_name} is being changed online. Nothing was changed. "
        "Let alembic upgrade go on with it, or take it back first"
    )
    guard = _GUARD.format(
        is_there=sql.SQL(scripted.HAS_COLUMNS).format(
            relation=sql.Literal(table), names=sql.Literal(shadows)
        ),
        message=sql.Literal(message.replace("%", "%%")),
    )
    out.write(
        "BEGIN",
        guard.as_string().strip(),
        f"CREATE TEMPORARY TABLE {_TYPE} AS SELECT ({expression}) AS value FROM {table} WITH NO DATA",  # noqa: S608
    )
    made = _ALTER.format(
        table=sql.SQL(table.replace("'", "''").replace("%", "%%")),
        column=sql.Literal(asked.column_name),
        expression=sql.Literal(expression),
        relation=sql.Literal(table),
    )
    out.write_psql(made.as_string().strip(), r"\gexec")
    out.write(f"DROP TABLE pg_temp.{_TYPE}", "COMMIT")
