"""Guards of ``--sql`` scripts: what can't be looked up while the script is written, it looks up itself.

Each is a DO block that raises, and so stops psql, where the operation would have refused.
"""

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from homeops_db.catalog import columns, dependents
from homeops_db.online.subject import CLONE, Named, quoted

__all__ = ["CLONE", "JUDGED", "judging", "probing", "refusing_dependents"]

JUDGED: Final = r"SELECT current_setting('homeops.hurts') AS homeops_hurts \gset"


def probing(what: str, name: str, schema: str | None, change: Sequence[str]) -> str:
    """Write a block that refuses a change which rewrites, rebuilds an index, or scans.

    Args:
        what: The subject of the operation.
        name: The table.
        schema: Its schema.
        change: The statements, for a table called `CLONE`.
    """
    refuse = f"""
    IF hurts THEN
        RAISE EXCEPTION USING MESSAGE = {_literal(f"Changing {what} so rewrites or reads the whole table.")};
    END IF;"""
    return _probe((name, schema), change, refuse)


def judging(table: Named, change: Sequence[str]) -> str:
    """Write a block that finds out the same and refuses nothing; `JUDGED` reads it into ``:homeops_hurts``.

    Args:
        table: The table.
        change: The statements, for a table called `CLONE`.
    """
    return _probe(table, change, "PERFORM set_config('homeops.hurts', hurts::text, false);")


def _probe(named: Named, change: Sequence[str], then: str) -> str:
    table = quoted(named)
    footprint = columns.FOOTPRINT % {"oid": f"'pg_temp.{CLONE}'::regclass"}
    body = f"""
DECLARE
    before record;
    after record;
    invalid record;
    hurts boolean;
BEGIN
    CREATE TEMPORARY TABLE {CLONE} (LIKE {table} INCLUDING ALL);
    FOR invalid IN {columns.NOT_VALID % {"oid": f"{_literal(table)}::regclass"}} LOOP
        EXECUTE format('ALTER TABLE pg_temp.{CLONE} DROP CONSTRAINT %I', invalid.name);
    END LOOP;
    {footprint} INTO before;
    {"; ".join(change)};
    {footprint} INTO after;
    hurts := after.file <> before.file OR NOT before.indexes <@ after.indexes OR after.scans > before.scans;
    {then}
    DROP TABLE pg_temp.{CLONE};
END
"""
    return _do(body)


def refusing_dependents(what: str, name: str, schema: str | None, column: str) -> str:
    """Write a block that refuses while something needs a column apart from what belongs to it alone."""
    table = _literal(quoted((name, schema)))
    body = f"""
DECLARE
    found text;
BEGIN
    found := ({dependents.in_script(table, _literal(column))});
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = {_literal(f"Column {what} is still needed by ")} || found;
    END IF;
END
"""
    return _do(body)


def _do(body: str) -> str:
    tag = "$homeops$"
    while tag in body:  # a name or a default may hold it
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}{body}{tag}"


def _literal(text: str) -> str:
    return sql.Literal(text).as_string()
