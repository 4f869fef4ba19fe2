"""What the server is: version, extensions, what our role may do."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

SERVER: LiteralString = """
select current_setting('server_version') as version,
       current_setting('server_version_num')::int as version_num,
       current_database() as database,
       current_user as role,
       coalesce(inet_server_addr()::text, 'local socket') as address,
       pg_is_in_recovery() as in_recovery,
       has_database_privilege(current_database(), 'CREATE') as may_create_schema,
       (select rolcreaterole or rolsuper from pg_roles where rolname = current_user) as may_create_role
"""

EXTENSIONS: LiteralString = """
select a.name, e.extversion as installed, a.default_version as available, n.nspname as schema
from pg_available_extensions a
left join pg_extension e on e.extname = a.name
left join pg_namespace n on n.oid = e.extnamespace
where a.name = any(%(names)s)
union all
-- installed, though its files are gone from the server
select e.extname, e.extversion, null, n.nspname
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
where e.extname = any(%(names)s)
  and not exists (select from pg_available_extensions a where a.name = e.extname)
order by 1
"""

EXTENSION_SCHEMAS: LiteralString = """
select distinct n.nspname
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
where n.nspname <> 'pg_catalog'
order by 1
"""

# Counts subtransactions too, and reads no snapshot: pg_stat_xact_* are this backend's own counters.
ROWS_CHANGED_HERE: LiteralString = """
select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
from pg_stat_xact_user_tables
where schemaname !~ '^pg_temp'
"""

HAS_CHANGED_SOMETHING: LiteralString = "select pg_current_xact_id_if_assigned() is not null"

ROLES_WITH_USAGE: LiteralString = """
select rolname
from pg_roles
where rolname = any(%(names)s)
  and (to_regnamespace(%(schema)s) is null
       or has_schema_privilege(rolname, to_regnamespace(%(schema)s), 'USAGE'))
"""

TIMESCALEDB_LICENSE: LiteralString = "select current_setting('timescaledb.license', true)"

SCHEMA_COMMENT: LiteralString = "select obj_description(to_regnamespace(%(name)s), 'pg_namespace')"


@dataclass(frozen=True)
class Server:
    """The server behind a connection, and what our role may do in this database."""

    version: str
    version_num: int
    database: str
    role: str
    address: str
    in_recovery: bool
    may_create_schema: bool
    may_create_role: bool


@dataclass(frozen=True)
class Extension:
    """One extension that the server offers or has. ``installed`` is None until CREATE EXTENSION."""

    name: str
    installed: str | None
    available: str | None
    schema: str | None


def server(connection: Connection) -> Server:
    """Read the server's facts. Takes no lock."""
    with connection.cursor(row_factory=class_row(Server)) as cursor:
        row = cursor.execute(SERVER).fetchone()
    assert row is not None
    return row


def extensions(connection: Connection, names: tuple[str, ...]) -> dict[str, Extension]:
    """Read which of ``names`` are available or installed. Takes no lock."""
    with connection.cursor(row_factory=class_row(Extension)) as cursor:
        rows = cursor.execute(EXTENSIONS, {"names": list(names)}).fetchall()
    return {row.name: row for row in rows}


def extension_schemas(connection: Connection) -> tuple[str, ...]:
    """Read in which schemas extensions keep their functions, pg_catalog left out. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return tuple(cursor.execute(EXTENSION_SCHEMAS).fetchall())


def rows_changed_here(connection: Connection) -> int:
    """Read how many rows the open transaction changed so far, triggers included. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(ROWS_CHANGED_HERE).fetchone() or 0)


def has_changed_something(connection: Connection) -> bool:
    """Read whether the open transaction has written anything yet. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(HAS_CHANGED_SOMETHING).fetchone())


def roles_with_usage(connection: Connection, names: tuple[str, ...], schema: str) -> tuple[str, ...]:
    """Read which of ``names`` are roles that may use a schema, or exist while there is no such schema yet.

    Takes no lock.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        return tuple(cursor.execute(ROLES_WITH_USAGE, {"names": list(names), "schema": schema}).fetchall())


def timescaledb_license(connection: Connection) -> str | None:
    """Read the edition of TimescaleDB: ``apache`` or ``timescale``; None where it isn't loaded."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(TIMESCALEDB_LICENSE).fetchone()


def schema_comment(connection: Connection, name: str) -> str | None:
    """Read a schema's comment; None without one, or without the schema. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(SCHEMA_COMMENT, {"name": name}).fetchone()
