"""Guards of ``--sql`` scripts: what can't be looked up while the script is written, it looks up itself.

Each is a DO block that raises, and so stops psql, where the operation would have refused.
"""

from collections.abc import Sequence

from psycopg import sql

from homeops_db.catalog import columns, dependents
from homeops_db.online.subject import CLONE, quoted

__all__ = ["CLONE", "probing", "refusing_dependents"]


def probing(what: str, name: str, schema: str | None, change: Sequence[str]) -> str:
    """Write a block that refuses a change which rewrites, rebuilds an index, or scans.

    Args:
        what: The subject of the operation.
        name: The table.
        schema: Its schema.
        change: The statements, for a table called `CLONE`.
    """
    table = quoted((name, schema))
    footprint = columns.FOOTPRINT % {"oid": f"'pg_temp.{CLONE}'::regclass"}
    body = f"""
DECLARE
    before record;
    after record;
    invalid record;
BEGIN
    CREATE TEMPORARY TABLE {CLONE} (LIKE {table} INCLUDING ALL);
    FOR invalid IN {columns.NOT_VALID % {"oid": f"{_literal(table)}::regclass"}} LOOP
        EXECUTE format('ALTER TABLE pg_temp.{CLONE} DROP CONSTRAINT %I', invalid.name);
    END LOOP;
    {footprint} INTO before;
    {"; ".join(change)};
    {footprint} INTO after;
    IF after.file <> before.file OR NOT before.indexes <@ after.indexes OR after.scans > before.scans THEN
        RAISE EXCEPTION USING MESSAGE = {_literal(f"Changing {what} so rewrites or reads the whole table.")};
    END IF;
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
