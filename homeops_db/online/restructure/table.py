"""The shadow itself: made empty in a schema of its own, and dropped."""

from collections.abc import Iterator

from psycopg import sql

from homeops_db.catalog import manifest
from homeops_db.catalog.manifest import Manifest
from homeops_db.online.restructure.sides import Side
from homeops_db.online.work import Work


def make(work: Work, side: Side) -> None:
    """Make the shadow's schema, the shadow, and the table of keys; all or none.

    Locks: none on a table in use.
    """
    live = manifest.read(work.connection, side.table.oid)
    with work.connection.transaction():
        for statement in _statements(side, live):
            work.connection.execute(statement.encode())
    work.changed = True


def log(side: Side) -> str:
    """Write the table of keys whose rows are to be carried over."""
    fields = (side.live.field(name) for name in side.live.key)
    columns = ", ".join(one.declared for one in fields if one is not None)
    return f"CREATE TABLE IF NOT EXISTS {side.log} ({columns})"


def _statements(side: Side, live: Manifest) -> Iterator[str]:
    schema = sql.Identifier(side.schema).as_string()
    owner = sql.Identifier(side.table.owner).as_string()
    yield f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}"
    yield log(side)
    columns = ", ".join(one.declared for one in side.other.fields)
    partitioned = f" PARTITION BY {side.other.partition_by}" if side.other.partition_by else ""
    yield f"CREATE{_persistence(live)} TABLE {side.shadow} ({columns}){partitioned}{_storage(live, side)}"
    for name, bound in (side.other.partitions or {}).items():
        part = sql.Identifier(side.schema, name).as_string()
        bounds = bound if bound.strip().upper() == "DEFAULT" else f"FOR VALUES {bound}"
        yield f"CREATE TABLE {part} PARTITION OF {side.shadow} {bounds}"


def _persistence(live: Manifest) -> str:
    return "".join(" UNLOGGED" for one in live.of("persistence") if one.words == ("unlogged",))


def _storage(live: Manifest, side: Side) -> str:
    """Write where and how the table is stored."""
    methods = [f" USING {sql.Identifier(one.words[0]).as_string()}" for one in live.of("access method")]
    spaces = [f" TABLESPACE {sql.Identifier(one.words[0]).as_string()}" for one in live.of("tablespace")]
    return "".join([*([] if side.other.partition_by else methods), *spaces])
