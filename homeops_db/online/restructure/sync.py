"""What keeps the shadow like the application's table: triggers that note keys, or write through at once.

While rows are copied, the triggers write down the keys of changed rows, and nothing else: that can't fail,
and the shadow needs no index. When the copy is done, the same triggers carry each row over in its own
transaction, by what the table holds then, not by what the trigger saw: another trigger may have changed it
since. What can't be carried over at once, for whatever reason (a snapshot too old to see the shadow's row, a
value that it can't hold), is written down again, and no write ever fails. So in every snapshot a row and its
twin belong together, or its key is written down.

Statement triggers with transition tables: one subtransaction for each statement, whatever its rows.
"""

from collections.abc import Iterator
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import firing, locks
from homeops_db.locking.wanted import wanted
from homeops_db.online.restructure import rows
from homeops_db.online.restructure.sides import Side
from homeops_db.online.type_change.sync import PREFIX
from homeops_db.online.work import Work

TRIGGER: Final = f"{PREFIX}restructure"
_EVENTS: Final = ("insert", "update", "delete")
_SEEN: Final = {
    "insert": "NEW TABLE AS homeops_after",
    "update": "OLD TABLE AS homeops_before NEW TABLE AS homeops_after",
    "delete": "OLD TABLE AS homeops_before",
}

# As its owner: who writes to the table need have no right on the shadow.
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS {body}
"""
_NOTES: Final = """
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        {truncate}
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {log} {after};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {log} {before};
    ELSE
        INSERT INTO {log} {before} UNION {after};
    END IF;
    RETURN NULL;
END
"""
_CARRIES: Final = """
DECLARE
    one record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        {truncate}
        RETURN NULL;
    END IF;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            FOR one IN {after} LOOP
                {carry}
            END LOOP;
        ELSIF TG_OP = 'DELETE' THEN
            FOR one IN {before} LOOP
                {carry}
            END LOOP;
        ELSE
            FOR one IN {before} UNION {after} LOOP
                {carry}
            END LOOP;
        END IF;
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- the write goes through all the same; its rows are carried over later on
    END;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {log} {after};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {log} {before};
    ELSE
        INSERT INTO {log} {before} UNION {after};
    END IF;
    RETURN NULL;
END
"""
# Where nothing was done, the row was there neither before nor now, or can't be seen yet: somebody else looks.
_CARRY: Final = """IF NOT {refresh}({values}) THEN
                    INSERT INTO {log} VALUES ({values});
                END IF;"""
_TRUNCATE: Final = """BEGIN
            TRUNCATE {shadow};
        EXCEPTION WHEN OTHERS THEN
            DELETE FROM {shadow};
        END;"""


def function(side: Side) -> str:
    """Name the triggers' function, as SQL; the same on both sides."""
    return f"migrations.restructure_{side.change_id}"


def names() -> list[str]:
    """Name the triggers: one for each kind of statement."""
    return [f"{TRIGGER}_{event}" for event in (*_EVENTS, "truncate")]


def is_there(connection: Connection, side: Side) -> bool:
    """Whether all triggers are there and always enabled."""
    return firing.always(connection, side.table.oid, names())


def ensure(work: Work, side: Side) -> None:
    """Make the triggers, writing down keys at first. Who writes already is waited for by the lock.

    Locks: SHARE ROW EXCLUSIVE for some milliseconds.
    """
    if not is_there(work.connection, side):
        want = [wanted(work.connection, side.table, locks.SHARE_ROW_EXCLUSIVE)]
        by_row = firing.misses_statements(work.connection, side.table.oid)
        made = create(side, notes(side, by_row=by_row), by_row=by_row)
        work.execute(want, *drop(side), *made, step="triggers")


def create(side: Side, said: str, *, by_row: bool) -> Iterator[str]:
    """Write the statements that make function and triggers.

    Args:
        side: The side.
        said: The function.
        by_row: Whether rows may be written by statements that don't name the table.
    """
    yield said
    for event in _EVENTS:
        each = "FOR EACH ROW" if by_row else f"REFERENCING {_SEEN[event]} FOR EACH STATEMENT"
        yield _trigger(side, event, each)
    yield _trigger(side, "truncate", "FOR EACH STATEMENT")
    for name in names():
        yield f"ALTER TABLE {side.here} ENABLE ALWAYS TRIGGER {name}"


def drop(side: Side) -> Iterator[str]:
    """Write the statements that drop the triggers."""
    for name in names():
        yield f"DROP TRIGGER IF EXISTS {name} ON {side.here}"


def notes(side: Side, *, by_row: bool) -> str:
    """Write the function that writes keys down."""
    return _written(side, _NOTES, by_row)


def carries(side: Side, *, by_row: bool) -> str:
    """Write the function that carries rows over."""
    return _written(side, _CARRIES, by_row)


def _trigger(side: Side, event: str, each: str) -> str:
    return (
        f"CREATE TRIGGER {TRIGGER}_{event} AFTER {event.upper()} ON {side.here} {each} "
        f"EXECUTE FUNCTION {function(side)}()"
    )


def _written(side: Side, body: str, by_row: bool) -> str:
    key = [sql.Identifier(name).as_string() for name in side.live.key]
    values = ", ".join(f"one.{name}" for name in key)
    before, after = (
        f"SELECT {', '.join(f'{record}.{name}' for name in key)}"
        if by_row
        else f"SELECT {', '.join(key)} FROM homeops_{when}"
        for when, record in (("before", "old"), ("after", "new"))
    )
    text = body.format(
        log=side.log,
        before=before,
        after=after,
        carry=_CARRY.format(refresh=rows.refresh_name(side), values=values, log=side.log),
        truncate=_TRUNCATE.format(shadow=side.shadow),
    )
    return _FUNCTION.format(name=function(side), body=sql.Literal(text).as_string())
