"""A restructure in a ``--sql`` script: by ALTER TABLE, at once, where the revision switches.

A script can't look what hangs on the table, so it leaves that to the server: what ALTER TABLE carries is
carried, and the rest is refused before anything is changed. It rewrites the table under ACCESS EXCLUSIVE: a
script of this kind is for an empty database, or for one at rest. The columns' order isn't that of the shape.
"""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql

from homeops_db.errors import OnlineError
from homeops_db.online import subject
from homeops_db.online.restructure import asked as asking
from homeops_db.online.restructure.operation import Restructure
from homeops_db.online.restructure.sync import TRIGGER
from homeops_db.online.work import Script

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]

# What an online run has begun is ended by one: its triggers read the columns as they were.
_GUARD: Final = sql.SQL("""
DO $homeops$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = {relation}::regclass AND tgname = {trigger}) THEN
        RAISE EXCEPTION {message} USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $homeops$
""")
# Which columns are there already tells a new one from one that gets another type. New ones come first: they
# are made of the old values.
_SWITCH: Final = """
DO $homeops$
DECLARE
    known name[] := ARRAY(SELECT attname FROM pg_attribute
                          WHERE attrelid = {relation}::regclass AND attnum > 0 AND NOT attisdropped);
BEGIN
{statements}
END $homeops$
"""
_TYPE: Final = "homeops_type"

# The type of an expression, with its length: as a table made of it has it.
_BACK: Final = sql.SQL("""
SELECT format('ALTER TABLE {table} ALTER COLUMN %I TYPE %s USING (%s)', {column},
              format_type(a.atttypid, a.atttypmod), {expression})
FROM pg_attribute a WHERE a.attrelid = 'pg_temp.homeops_type'::regclass AND a.attname = 'value'
""")


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
    statements = [text for one in new for text in _added(asked, table, one)]
    statements += [text for one in new for text in _retyped(asked, table, one)]
    body = "\n".join(statements or ["    NULL;"])
    out.write(_SWITCH.format(relation=_literal(table), statements=body).strip())


def _added(asked: Restructure, table: str, column: "sa.Column[Any]") -> Iterator[str]:
    name, default = sql.Identifier(column.name).as_string(), asking.default_of(column)
    yield f"    IF {_literal(column.name)} <> ALL (known) THEN"
    declared = f"{name} {column.type.compile(dialect=_DIALECT)}{f' DEFAULT {default}' if default else ''}"
    yield f"        ALTER TABLE {table} ADD COLUMN {declared};"
    if column.name in asked.transform:
        yield f"        UPDATE {table} SET {name} = ({asked.transform[column.name]});"
    if not column.nullable:
        yield f"        ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;"
    if column.comment is not None:
        yield f"        COMMENT ON COLUMN {table}.{name} IS {_literal(column.comment)};"
    yield "    END IF;"


def _retyped(asked: Restructure, table: str, column: "sa.Column[Any]") -> Iterator[str]:
    if column.name not in asked.transform:
        return
    name, type_ = sql.Identifier(column.name).as_string(), column.type.compile(dialect=_DIALECT)
    yield f"    IF {_literal(column.name)} = ANY (known) THEN"
    using = asked.transform[column.name]
    yield f"        ALTER TABLE {table} ALTER COLUMN {name} TYPE {type_} USING ({using});"
    yield "    END IF;"


def _undo_switch(out: Script, asked: Restructure) -> None:
    table = _table(asked)
    made = {one.name for one in asked.columns if isinstance(one, sa.Column)}
    for name, text in asked.back.items():
        if name not in made:
            out.write(f"UPDATE {table} SET {sql.Identifier(name).as_string()} = ({text})")
    for name in made & asked.back.keys():
        text = asked.back[name]
        out.write(f"CREATE TEMPORARY TABLE {_TYPE} AS SELECT ({text}) AS value FROM {table} WITH NO DATA")
        alter = _BACK.format(
            table=sql.SQL(table.replace("'", "''").replace("%", "%%")),
            column=sql.Literal(name),
            expression=sql.Literal(text),
        )
        out.write_psql(alter.as_string().strip(), r"\gexec")
        out.write(f"DROP TABLE pg_temp.{_TYPE}")
    for name in sorted(made - asked.back.keys()):
        out.write(f"ALTER TABLE {table} DROP COLUMN {sql.Identifier(name).as_string()}")


def _contract(out: Script, asked: Restructure) -> None:
    table = _table(asked)
    for name in asked.drop:
        quoted = sql.Identifier(name).as_string()
        out.write(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}",
            f"DROP INDEX IF EXISTS {subject.quoted((name, asked.schema))}",
            f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted}",
        )


def _guard(asked: Restructure) -> str:
    message = (
        f"Table {asked.table_name} is getting another shape online. Nothing was changed. Let alembic "
        "upgrade go on with it, or take it back first"
    )
    guard = _GUARD.format(
        relation=sql.Literal(_table(asked)),
        trigger=sql.Literal(f"{TRIGGER}_insert"),
        message=sql.Literal(message.replace("%", "%%")),
    )
    return guard.as_string().strip()


def _table(asked: Restructure) -> str:
    return subject.quoted((asked.table_name, asked.schema))


def _literal(text: str) -> str:
    return sql.Literal(text).as_string()
