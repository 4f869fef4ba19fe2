"""A restructure in a ``--sql`` script: by ALTER TABLE, at once, where the revision switches.

A script can't look what hangs on the table, so it leaves that to the server: what ALTER TABLE carries is
carried, and the rest is refused before anything is changed. It rewrites the table under ACCESS EXCLUSIVE: a
script of this kind is for an empty database, or for one at rest. The columns' order isn't that of the shape.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Computed

from homeops_db.catalog import scripted
from homeops_db.errors import OnlineError
from homeops_db.online import subject
from homeops_db.online.restructure import declared
from homeops_db.online.restructure.operation import Restructure
from homeops_db.online.restructure.sync import TRIGGER
from homeops_db.online.work import Script

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]

# What an online run has begun is ended by one: its triggers read the columns as they were.
_GUARD: Final = sql.SQL("""
DO $homeops$
BEGIN
    IF {is_there} THEN
        RAISE EXCEPTION {message} USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $homeops$
""")
# Which columns are there already tells a new one from one that gets another type.
_SWITCH: Final = """
DO $homeops$
DECLARE
    known name[] := ARRAY({known});
BEGIN
{statements}
END $homeops$
"""
_TYPE: Final = "homeops_type"


def write(out: Script, asked: Restructure, step: str) -> None:
    """Write one step; expanding is done by the switch.

    Raises:
        OnlineError: It can't be written without looking at the table.
    """
    if asked.partition_by is not None or asked.primary_key is not None:
        raise OnlineError(
            f"A script can't give {asked.table_name} partitions or another primary key: it would have to "
            "look what hangs on the table. Nothing was written. Run alembic upgrade against the database "
            "itself."
        )
    if step == "undo_contract" and asked.drop:
        raise OnlineError(
            f"A script can't bring back what {asked.table_name} has dropped ({', '.join(asked.drop)}): it "
            "doesn't know what that was. Nothing was written. Run alembic downgrade against the database "
            "itself."
        )
    writers = {"switch": _switch, "undo_switch": _undo_switch, "contract": _contract}
    if step in writers:
        out.write("BEGIN", _guard(asked))
        writers[step](out, asked)
        out.write("COMMIT")


def _switch(out: Script, asked: Restructure) -> None:
    table = _table(asked)
    new = [one for one in asked.columns if isinstance(one, sa.Column)]
    statements = [text for one in new for text in _if_new(one, _added(asked, table, one))]
    values = [(one.name, asked.transform[one.name], _type(one), None) for one in new if _is_made(asked, one)]
    if values:
        statements.append(f"    EXECUTE ({_reshape(asked, values)});")
    statements += [text for one in new for text in _if_new(one, _given(asked, table, one))]
    body = "\n".join(statements or ["    NULL;"])
    known = sql.SQL(scripted.KNOWN).format(relation=sql.Literal(table)).as_string().strip()
    out.write(_SWITCH.format(known=known, statements=body).strip())


def _is_made(asked: Restructure, column: "sa.Column[Any]") -> bool:
    return column.name in asked.transform


def _if_new(column: "sa.Column[Any]", statements: Sequence[str]) -> Iterator[str]:
    if statements:
        yield f"    IF {_literal(column.name)} <> ALL (known) THEN"
        yield from (f"        {one};" for one in statements)
        yield "    END IF;"


def _added(asked: Restructure, table: str, column: "sa.Column[Any]") -> list[str]:
    """Write what makes a new column: with its default, unless it is made of others."""
    default = None if _is_made(asked, column) else declared.default_of(column)
    said = f" DEFAULT {default}" if default is not None else ""
    if isinstance(column.computed, Computed):
        said = declared.generated_of(column.computed)
    return [f"ALTER TABLE {table} ADD COLUMN {_name(column)} {_type(column)}{said}"]


def _given(asked: Restructure, table: str, column: "sa.Column[Any]") -> list[str]:
    """Write what a new column has besides, when its values are there."""
    alter, default = f"ALTER TABLE {table} ALTER COLUMN {_name(column)}", declared.default_of(column)
    made = [f"{alter} SET DEFAULT {default}"] if _is_made(asked, column) and default is not None else []
    if not column.nullable:
        made.append(f"{alter} SET NOT NULL")
    if column.comment is not None:
        made.append(f"COMMENT ON COLUMN {table}.{_name(column)} IS {_literal(column.comment)}")
    return made


def _undo_switch(out: Script, asked: Restructure) -> None:
    table = _table(asked)
    made = {one.name for one in asked.columns if isinstance(one, sa.Column)}
    if asked.back:
        types = ", ".join(
            f"({text}) AS {sql.Identifier(name).as_string()}"
            for name, text in asked.back.items()
            if name in made
        )
        out.write(f"CREATE TEMPORARY TABLE {_TYPE} AS SELECT {types} FROM {table} WITH NO DATA")
        there = {name: f"pg_temp.{_TYPE}" if name in made else table for name in asked.back}
        values = [(name, text, None, there[name]) for name, text in asked.back.items()]
        out.write_psql(_reshape(asked, values), r"\gexec")
        out.write(f"DROP TABLE pg_temp.{_TYPE}")
    for name in sorted(made - asked.back.keys()):
        out.write(f"ALTER TABLE {table} DROP COLUMN {sql.Identifier(name).as_string()}")


def _reshape(asked: Restructure, values: Sequence[tuple[str, str, str | None, str | None]]) -> str:
    """Write the question whose answer gives columns their types and values."""
    table = _table(asked)
    rows = sql.SQL(", ").join(
        sql.SQL("({})").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Literal(one)) for one in row)
        )
        for row in values
    )
    made = sql.SQL(scripted.RESHAPE).format(
        alter=sql.Literal(f"ALTER TABLE {table} "), values=rows, relation=sql.Literal(table)
    )
    return made.as_string().strip()


def _contract(out: Script, asked: Restructure) -> None:
    table = _table(asked)
    for name in asked.drop:
        quoted = sql.Identifier(name).as_string()
        out.write(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}",
            f"DROP INDEX IF EXISTS {subject.quoted((name, asked.schema))}",
            f"DROP STATISTICS IF EXISTS {subject.quoted((name, asked.schema))}",
            f"DROP TRIGGER IF EXISTS {quoted} ON {table}",
            f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted}",
        )


def _guard(asked: Restructure) -> str:
    message = (
        f"Table {asked.table_name} is getting another shape online. Nothing was changed. Let alembic "
        "upgrade go on with it, or take it back first"
    )
    is_there = sql.SQL(scripted.HAS_TRIGGER).format(
        relation=sql.Literal(_table(asked)), trigger=sql.Literal(f"{TRIGGER}_insert")
    )
    guard = _GUARD.format(is_there=is_there, message=sql.Literal(message.replace("%", "%%")))
    return guard.as_string().strip()


def _name(column: "sa.Column[Any]") -> str:
    return sql.Identifier(column.name).as_string()


def _type(column: "sa.Column[Any]") -> str:
    return str(column.type.compile(dialect=_DIALECT))


def _table(asked: Restructure) -> str:
    return subject.quoted((asked.table_name, asked.schema))


def _literal(text: str) -> str:
    return sql.Literal(text).as_string()
