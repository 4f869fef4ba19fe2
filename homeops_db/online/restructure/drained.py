"""What the drain sends: the function that carries rows over one by one, and what does so together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from homeops_db.online.restructure import rows, sync
from homeops_db.online.restructure.sides import Side

# First the application's row, then its twin, as a writer has them, and without waiting for either: so nobody
# can wait for us in a circle. A row that isn't there is none of ours: who inserts it now carries it over
# himself. With its row locked it is neither deleted nor given another key; with the twin locked nobody makes
# it anew before we are done, and who changes the row meanwhile carries it over behind us.
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {name}(homeops_first tid, homeops_end tid, homeops_is_last boolean)
RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS {body}
"""
_BODY: Final = """
#variable_conflict use_column
DECLARE
    homeops_one record;
    homeops_code text;
    homeops_said text;
    homeops_carried bigint := 0;
    homeops_failed bigint := 0;
    homeops_held bigint := 0;
BEGIN
    FOR homeops_one IN
        WITH gone AS (DELETE FROM {log} AS keys WHERE keys.ctid >= homeops_first AND keys.ctid < homeops_end
                      AND keys.{first} IS NOT NULL RETURNING keys.*)
        SELECT DISTINCT * FROM gone ORDER BY {order}
    LOOP
        BEGIN
            PERFORM FROM {only}{here} AS live WHERE {is_live} FOR KEY SHARE NOWAIT;
            IF FOUND THEN
                PERFORM FROM {shadow} AS twin WHERE {is_twin} FOR UPDATE NOWAIT;
                PERFORM {refresh}({values});
            ELSE
                PERFORM FROM {shadow} AS twin WHERE {is_twin} FOR UPDATE NOWAIT;
                DELETE FROM {shadow} AS twin WHERE {is_twin}
                AND NOT EXISTS (SELECT FROM {only}{here} AS live WHERE {is_live});
            END IF;
            {checked}
            homeops_carried := homeops_carried + 1;
        EXCEPTION
            WHEN lock_not_available THEN
                homeops_held := homeops_held + 1;
                INSERT INTO {log} VALUES ({values});
            WHEN deadlock_detected THEN
                RAISE;
            WHEN OTHERS OR ASSERT_FAILURE THEN
                homeops_failed := homeops_failed + 1;
                GET STACKED DIAGNOSTICS homeops_code = RETURNED_SQLSTATE, homeops_said = MESSAGE_TEXT;
                IF homeops_is_last THEN
                    INSERT INTO migrations.change_errors (change_id, relation, key, sqlstate, message)
                    VALUES ({change}, {relation}, to_jsonb(homeops_one), homeops_code, homeops_said);
                ELSE
                    INSERT INTO {log} VALUES ({values});
                END IF;
        END;
    END LOOP;
    RETURN ARRAY[homeops_carried, homeops_failed, homeops_held];
END
"""


@dataclass(frozen=True)
class Done:
    """What became of some keys: carried over, failed for now, or held by somebody else."""

    carried: int
    failed: int
    held: int


def name(side: Side) -> str:
    """Name the function, as SQL."""
    return f"migrations.drain_{side.change_id}"


def function(side: Side, deferred: Sequence[str]) -> str:
    """Write the function that carries over the rows of some pages of keys, one by one."""
    values = [f"homeops_one.{sql.Identifier(key).as_string()}" for key in side.live.key]
    own = dict(zip((given for given, _ in rows.parameters(side)), values, strict=True))
    body = _BODY.format(
        log=side.log,
        first=sql.Identifier(side.live.key[0]).as_string(),
        order=", ".join(str(number) for number, _ in enumerate(values, 1)),
        only=side.only,
        here=side.here,
        shadow=side.shadow,
        is_live=rows.is_live(side, own),
        is_twin=rows.is_twin(side, own),
        refresh=rows.refresh_name(side),
        values=", ".join(values),
        checked=sync.checked(side, deferred),
        change=side.change_id,
        relation=sql.Literal(str(side.table)).as_string(),
    )
    return _FUNCTION.format(name=name(side), body=sql.Literal(body).as_string())


def again(side: Side) -> str:
    """Write what has rows tried again that couldn't be held: another row may have been in their way."""
    key = [sql.Identifier(one).as_string() for one in side.live.key]
    return (
        "WITH gone AS (DELETE FROM migrations.change_errors AS failed "
        f"WHERE failed.change_id = {side.change_id} AND failed.key IS NOT NULL RETURNING failed.key) "
        f"INSERT INTO {side.log} SELECT DISTINCT {', '.join(f'keys.{one}' for one in key)} "
        f"FROM gone, jsonb_populate_record(NULL::{side.log}, gone.key) AS keys"
    )


def ghosts(side: Side) -> str:
    """Write what writes down, after a TRUNCATE, the keys of those rows of the shadow that are gone."""
    first = sql.Identifier(side.live.key[0]).as_string()
    return (
        f"WITH gone AS (DELETE FROM {side.log} AS keys WHERE keys.{first} IS NULL RETURNING 1) "
        f"INSERT INTO {side.log} SELECT {', '.join(rows.live_key(side))} FROM {side.shadow} AS twin "
        f"WHERE EXISTS (SELECT FROM gone) AND NOT EXISTS (SELECT FROM {side.only}{side.here} AS live "
        f"WHERE {rows.same_key(side)})"
    )


def queued(side: Side, first: int) -> str:
    """Write what waits for one of the rows whose keys are on a page, in the order of those who want it."""
    key = [sql.Identifier(one).as_string() for one in side.live.key]
    mine, theirs = (", ".join(f"{record}.{one}" for one in key) for record in ("live", "keys"))
    window = f"keys.ctid >= '({first},0)' AND keys.ctid < '({first + 1},0)'"
    return (
        f"SELECT FROM {side.only}{side.here} AS live WHERE ({mine}) IN "
        f"(SELECT {theirs} FROM {side.log} AS keys WHERE {window} LIMIT 1) FOR NO KEY UPDATE"
    )


def together(side: Side) -> Iterator[str]:
    """Write what takes twins away and makes them again at once, in one snapshot and one transaction."""
    first = sql.Identifier(side.live.key[0]).as_string()
    is_written = " AND ".join(
        f"keys.{one} = live.{one}" for one in (sql.Identifier(key).as_string() for key in side.live.key)
    )
    written_live = f"EXISTS (SELECT FROM {side.log} AS keys WHERE {is_written})"
    written_twin = f"EXISTS (SELECT FROM {side.log} AS live WHERE {rows.same_key(side)})"
    names = ", ".join(sql.Identifier(one.name).as_string() for one in side.other.fields if not one.generated)
    kept = ", ".join(rows.kept_or_made(side, one) for one in side.other.fields if not one.generated)
    mine = ", ".join(sql.Identifier(one.name).as_string() for one in side.carried)
    made = ", ".join(rows.assigned(side, one.name) for one in side.carried)
    live = f"{side.only}{side.here} AS live"
    yield f"SELECT FROM {live} WHERE {written_live} FOR SHARE NOWAIT"
    yield f"SELECT FROM {side.shadow} AS twin WHERE {written_twin} FOR UPDATE NOWAIT"
    yield "DROP TABLE IF EXISTS pg_temp.homeops_twins"
    yield (
        "CREATE TEMPORARY TABLE homeops_twins ON COMMIT DROP AS "
        f"SELECT * FROM {side.shadow} AS twin WHERE {written_twin}"
    )
    yield f"DELETE FROM {side.shadow} AS twin WHERE {written_twin}"
    yield (
        f"INSERT INTO {side.shadow} ({names}) OVERRIDING SYSTEM VALUE SELECT {kept} "
        f"FROM {live} JOIN pg_temp.homeops_twins AS twin ON {rows.same_key(side)} WHERE {written_live}"
    )
    yield (
        f"INSERT INTO {side.shadow} ({mine}) OVERRIDING SYSTEM VALUE SELECT {made} FROM {live} "
        f"WHERE {written_live} AND NOT EXISTS (SELECT FROM pg_temp.homeops_twins AS twin "
        f"WHERE {rows.same_key(side)})"
    )
    yield f"DELETE FROM {side.log} AS keys WHERE keys.{first} IS NOT NULL"
