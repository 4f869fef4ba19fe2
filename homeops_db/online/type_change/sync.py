"""The triggers that keep the shadow like the application's column, and note what it can't hold.

Two BEFORE triggers fill the shadow: on INSERT always, on UPDATE when the application's column changes, when
somebody overwrites the shadow, or when it is still empty. They are named to fire last, so they see what other
triggers made of the row. An AFTER trigger looks at each row as it was stored, and writes down one whose
columns don't belong together: so every row version since its creation is known to be equal, and the switch
needs no scan under its lock.
"""

from hashlib import md5
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import heap, locks, tables, triggers
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import wanted
from homeops_db.online import subject
from homeops_db.online.type_change import expressions
from homeops_db.online.type_change.sides import Side
from homeops_db.online.work import Work

PREFIX: Final = "zz_homeops_"
"""What our triggers' names begin with."""

# Both as their owner: who writes to the table need have no right on this schema, nor on what the expressions
# call. A trigger's function may be one of anybody's, for its rights are looked at when the trigger is made.
_FILL: Final = sql.SQL("""
CREATE OR REPLACE FUNCTION migrations.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS {body}
""")
_FILL_BODY: Final = """
BEGIN
    NEW.{shadow} := {fill};
    RETURN NEW;
EXCEPTION WHEN OTHERS THEN  -- the row is stored all the same; the check below notes it
    NEW.{shadow} := NULL;
    RETURN NEW;
END
"""
_CHECK: Final = sql.SQL("""
CREATE OR REPLACE FUNCTION migrations.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS {body}
""")
_CHECK_BODY: Final = """
DECLARE
    code text;
    said text := 'the other column has another value';
BEGIN
    BEGIN
        IF {is_equal} THEN
            RETURN NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT;
    END;
    INSERT INTO migrations.change_errors (change_id, relation, key, sqlstate, message)
    VALUES ({change}, TG_RELID::regclass::text, {key}, code, said);
    RETURN NULL;
END
"""


def names(side: Side) -> list[str]:
    """Name the triggers: two that fill, one that checks."""
    return [side_name(side, part) for part in ("fill_insert", "fill_update", "check")]


def side_name(side: Side, part: str) -> str:
    """Name a trigger or its function; the same on both sides, one of which is there at a time."""
    name = f"{PREFIX}{part}_{side.column}"
    if len(name.encode()) <= subject.LONGEST_NAME:
        return name
    # The beginning stays, unlike elsewhere: by it they fire last.
    return f"{PREFIX}{part}_{md5(side.column.encode(), usedforsecurity=False).hexdigest()}"


def refuse_later(connection: Connection, side: Side) -> None:
    """Refuse triggers that would change a row after ours have seen it.

    Raises:
        ObjectError: There is one.
    """
    oids = [part.oid for part in tables.tree(connection, side.table.oid)]
    found = triggers.firing_after(connection, oids, PREFIX)
    if found:
        raise ObjectError(
            f"Trigger {found[0]} of {side.table} fires after those that keep both columns alike (triggers "
            "fire in the order of their names), so what it changes would be missed. Nothing was changed. "
            f"Rename it to something before {PREFIX}: ALTER TRIGGER … RENAME TO …."
        )


def is_there(connection: Connection, side: Side) -> bool:
    """Whether all three triggers are there and always enabled."""
    return set(names(side)) <= set(triggers.firing_always(connection, side.table.oid))


def ensure(work: Work, side: Side, change_id: int) -> None:
    """Make the triggers. Who writes to the table already is waited for by the lock.

    Locks: SHARE ROW EXCLUSIVE for some milliseconds.
    """
    if not is_there(work.connection, side):
        made = create(work.connection, side, change_id)
        want = [wanted(work.connection, side.table, locks.SHARE_ROW_EXCLUSIVE)]
        work.execute(want, *drop(side), *made, step="triggers")


def create(connection: Connection, side: Side, change_id: int) -> list[sql.Composable]:
    """Write the statements that make functions and triggers."""
    table = sql.Identifier(side.table.schema, side.table.name)
    insert, update, check = (sql.Identifier(name) for name in names(side))
    fill, looks = (sql.Identifier(f"{part}_{change_id}") for part in ("fill", "check"))
    trigger = sql.SQL("CREATE TRIGGER {} {} ON {} FOR EACH ROW {} EXECUTE FUNCTION migrations.{}()")
    always = sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}")
    live, shadow = ((_of("old", name), _of("new", name)) for name in (side.column, side.shadow))
    changes = sql.SQL(
        f"WHEN ({unlike(*live)} OR ({shadow[0]} IS NOT NULL AND {unlike(*shadow)}) "
        f"OR ({shadow[1]} IS NULL AND {live[1]} IS NOT NULL))"
    )
    # A condition is evaluated as the writer, who may have no right to call what isn't the server's own.
    suspicious = sql.SQL(
        ""
        if any(expressions.calls_others(text) for text in (side.fill, side.back))
        else f"WHEN (CASE WHEN {_of('new', side.shadow)} IS NULL THEN {_of('new', side.column)} IS NOT NULL "
        f"ELSE {differs(side, 'new')} END)"
    )
    return [
        _FILL.format(name=fill, body=sql.Literal(_fill_body(side))),
        _CHECK.format(name=looks, body=sql.Literal(_check_body(connection, side, change_id))),
        trigger.format(insert, sql.SQL("BEFORE INSERT"), table, sql.SQL(""), fill),
        trigger.format(update, sql.SQL("BEFORE UPDATE"), table, changes, fill),
        trigger.format(check, sql.SQL("AFTER INSERT OR UPDATE"), table, suspicious, looks),
        *(always.format(table, name) for name in (insert, update, check)),
    ]


def drop(side: Side) -> list[sql.Composable]:
    """Write the statements that drop the triggers; their functions stay, for writers that still use them."""
    table = sql.Identifier(side.table.schema, side.table.name)
    return [
        sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), table) for name in names(side)
    ]


def drop_functions(change_id: int) -> list[sql.Composable]:
    """Write the statements that drop the functions."""
    return [
        sql.SQL("DROP FUNCTION IF EXISTS migrations.{}()").format(sql.Identifier(f"{part}_{change_id}"))
        for part in ("fill", "check")
    ]


def differs(side: Side, record: str | None = None) -> str:
    """Write the condition that the two columns don't belong together: neither makes the other.

    After a way there and back a value may be rounded on one side: then the other one makes it.
    """
    back = expressions.of_columns(side.back, {side.column: side.shadow})
    fill = side.fill
    if record is not None:
        fill, back = expressions.of_row(fill, record), expressions.of_row(back, record)
    live, shadow = (_of(record, name) for name in (side.column, side.shadow))
    return (
        f"CASE WHEN {unlike(shadow, f'({fill})::{side.type}')} "
        f"THEN {unlike(live, f'({back})::{side.live_type}')} ELSE false END"
    )


def unlike(one: str, other: str) -> str:
    """Write the condition that two values aren't the same, byte by byte; NULL is as good as any."""
    # Not the operator *<>: a dump leaves the casts out, and couldn't be restored without them.
    return f"pg_catalog.record_image_ne(ROW({one}), ROW({other}))"


def _of(record: str | None, name: str) -> str:
    return sql.Identifier(*([record] if record else []), name).as_string()


def _fill_body(side: Side) -> str:
    shadow = sql.Identifier(side.shadow).as_string()
    return _FILL_BODY.format(shadow=shadow, fill=expressions.of_row(side.fill, "new"))


def _check_body(connection: Connection, side: Side, change_id: int) -> str:
    key = ", ".join(
        f"{sql.Literal(name).as_string(connection)}, {sql.Identifier('new', name).as_string()}"
        for name in _key(connection, side)
    )
    return _CHECK_BODY.format(
        is_equal=f"NOT ({differs(side, 'new')})",
        change=change_id,
        key=f"jsonb_build_object({key})" if key else "NULL",
    )


def _key(connection: Connection, side: Side) -> list[str]:

    found = heap.keys(connection, side.table.oid)
    return list(found[0].columns) if found else []
