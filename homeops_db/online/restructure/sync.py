"""What keeps the shadow like the application's table: triggers that note keys, or write through at once.

While rows are copied, the triggers write down the keys of changed rows, and nothing else: that can't fail,
and the shadow needs no index. When the copy is done, the same triggers carry each row over in its own
transaction, by what the table holds then, not by what the trigger saw: another trigger may have changed it
since. What can't be carried over at once, for whatever reason (a snapshot too old to see the shadow's row, a
value that it can't hold), is written down again, and no write ever fails. So in every snapshot a row and its
twin belong together, or its key is written down.

Statement triggers with transition tables: one subtransaction for each statement, whatever its rows.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import Connection, sql

from homeops_db.catalog import constraints, firing, locks
from homeops_db.locking.wanted import wanted
from homeops_db.online.restructure import rows
from homeops_db.online.restructure.sides import Side
from homeops_db.online.type_change.sync import PREFIX
from homeops_db.online.work import Work

TRIGGER: Final = f"{PREFIX}restructure"
_DEFERRABLE: Final = (" DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED")
_EVENTS: Final = ("insert", "update", "delete")
_SEEN: Final = {
    "insert": "NEW TABLE AS homeops_after",
    "update": "OLD TABLE AS homeops_before NEW TABLE AS homeops_after",
    "delete": "OLD TABLE AS homeops_before",
}

# As its owner: who writes to the table need have no right on the shadow. A session's own settings must not
# change what is made of a value, nor row security hide a row that is there.
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET extra_float_digits = 1 SET bytea_output = hex
AS {body}
"""
_NOTES: Final = """
#variable_conflict use_column
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
# All rows of a statement at first, in one subtransaction; where that fails, each by itself: one row that the
# shadow can't hold keeps none of the others from it. A formula may fail by ASSERT, which OTHERS leaves out.
_CARRIES: Final = """
#variable_conflict use_column
DECLARE
    homeops_one record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        {truncate}
        RETURN NULL;
    END IF;
    BEGIN
        {later}
        {together}
        {checked}
        RETURN NULL;
    EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
        NULL;  -- the write goes through all the same
    END;
    {each}
    RETURN NULL;
END
"""
_LOOPS: Final = """IF TG_OP = 'INSERT' THEN
            FOR homeops_one IN {after} LOOP
                {body}
            END LOOP;
        ELSIF TG_OP = 'DELETE' THEN
            FOR homeops_one IN {before} LOOP
                {body}
            END LOOP;
        ELSE
            FOR homeops_one IN {before} UNION {after} LOOP
                {body}
            END LOOP;
        END IF;"""
# Where nothing was done, the row was there neither before nor now, or can't be seen yet: somebody else looks.
_TOGETHER: Final = """IF NOT {refresh}({values}) THEN
                    INSERT INTO {log} VALUES ({values});
                END IF;"""
_EACH: Final = """BEGIN
                    IF {refresh}({values}) THEN
                        {checked}
                        CONTINUE;
                    END IF;
                EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
                    NULL;
                END;
                INSERT INTO {log} VALUES ({values});
                {away}"""
# What is left of it would stand in the way of who deletes a row that it refers to. Nobody has used it.
_AWAY: Final = """BEGIN
                    DELETE FROM {shadow} AS twin WHERE {is_twin};
                EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
                    NULL;
                END;"""
# Without waiting: nobody waits behind an index of the shadow. Else a key of nothing but NULLs says that rows
# may be in the shadow that are gone here.
_TRUNCATE: Final = """BEGIN
            LOCK TABLE {shadow} IN ACCESS EXCLUSIVE MODE NOWAIT;
            TRUNCATE {shadow};
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO {log} DEFAULT VALUES;
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
    before, after = _seen(side, by_row=by_row)
    return _function(side, _NOTES.format(log=side.log, before=before, after=after, truncate=_truncate(side)))


def carries(side: Side, *, by_row: bool, deferred: Sequence[str] = (), may_drop: bool = False) -> str:
    """Write the function that carries rows over.

    Args:
        side: The side.
        by_row: Whether the triggers are for each row.
        deferred: The shadow's deferrable constraints; see `checked`.
        may_drop: Whether a twin that can't be what it should may go until then: it has nothing of its own.
    """
    before, after = _seen(side, by_row=by_row)
    values = [f"homeops_one.{sql.Identifier(name).as_string()}" for name in side.live.key]
    own = dict(zip((given for given, _ in rows.parameters(side)), values, strict=True))
    away = _AWAY.format(shadow=side.shadow, is_twin=rows.is_twin(side, own)) if may_drop else ""
    said = {
        "log": side.log,
        "refresh": rows.refresh_name(side),
        "values": ", ".join(values),
        "away": away,
        "checked": checked(side, deferred),
    }
    together, each = (
        _LOOPS.format(before=before, after=after, body=body.format(**said)) for body in (_TOGETHER, _EACH)
    )
    body = _CARRIES.format(
        truncate=_truncate(side),
        later=checked(side, deferred, when="DEFERRED"),
        together=together,
        each=each,
        checked=said["checked"],
    )
    return _function(side, body)


def deferrable(connection: Connection, oid: int) -> list[str]:
    """Name a table's constraints that may be looked at as late as at the commit. Takes no lock."""
    found = constraints.of_table(
        connection, oid
    )  # a constraint trigger is the application's, and goes with it
    return [one.name for one in found if one.kind != "t" and one.definition.endswith(_DEFERRABLE)]


def checked(side: Side, deferred: Sequence[str], *, when: str = "IMMEDIATE") -> str:
    """Write what looks at the shadow's deferrable constraints now: at the commit it would fail the write."""
    names_ = ", ".join(sql.Identifier(side.schema, name).as_string() for name in deferred)
    return f"SET CONSTRAINTS {names_} {when};" if deferred else ""


def _trigger(side: Side, event: str, each: str) -> str:
    return (
        f"CREATE TRIGGER {TRIGGER}_{event} AFTER {event.upper()} ON {side.here} {each} "
        f"EXECUTE FUNCTION {function(side)}()"
    )


def _seen(side: Side, *, by_row: bool) -> tuple[str, str]:
    """Write the queries that give the keys of rows as they were, and as they are."""
    key = [sql.Identifier(name).as_string() for name in side.live.key]
    before, after = ("old", "new") if by_row else ("homeops_before", "homeops_after")
    return (
        f"SELECT {', '.join(f'{before}.{name}' for name in key)}{'' if by_row else f' FROM {before}'}",
        f"SELECT {', '.join(f'{after}.{name}' for name in key)}{'' if by_row else f' FROM {after}'}",
    )


def _truncate(side: Side) -> str:
    return _TRUNCATE.format(shadow=side.shadow, log=side.log)


def _function(side: Side, body: str) -> str:
    return _FUNCTION.format(name=function(side), body=sql.Literal(body).as_string())
