"""Where tables are stored and how large they are, and where the server keeps its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row

# The location is empty for the data directory itself, and relative inside of it.
_LOCATION: LiteralString = """
pg_tablespace_location(coalesce(nullif(c.reltablespace, 0),
                                (select dattablespace from pg_database where datname = current_database())))
"""
STORED: LiteralString = f"""
select c.oid::bigint as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.reltuples::float8 as tuples, c.relpages as analyzed_pages,
       current_setting('block_size')::int as page_bytes, pg_relation_size(c.oid)::bigint as bytes,
       pg_indexes_size(c.oid)::bigint as index_bytes,
       (select count(*) from pg_index i where i.indrelid = c.oid)::int as indexes,
       {_LOCATION} as location,
       has_table_privilege(c.oid, 'SELECT') as is_readable
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any(%(oids)s::oid[])
"""  # noqa: S608 - of constants
INDEX_LOCATIONS: LiteralString = f"""
select {_LOCATION} as location, sum(pg_relation_size(c.oid))::bigint as bytes
from pg_index i
join pg_class c on c.oid = i.indexrelid
where i.indrelid = any(%(oids)s::oid[]) and c.relkind = 'i'
group by 1
"""  # noqa: S608 - of constants

# pg_settings leaves out what our role may not see; current_setting() would fail.
DISK: LiteralString = """
select (select setting from pg_settings where name = 'data_directory') as data_directory,
       inet_server_addr() is null or host(inet_server_addr()) in ('127.0.0.1', '::1') as is_local_address,
       pg_backend_pid() as pid,
       pg_size_bytes(current_setting('max_wal_size')) as max_wal_bytes,
       exists (select from pg_replication_slots where restart_lsn is not null) as has_slots
"""


@dataclass(frozen=True)
class Stored:
    """The files of one table.

    Attributes:
        oid: The table's.
        schema: Its schema.
        name: Its name.
        kind: pg_class.relkind.
        persistence: pg_class.relpersistence.
        tuples: Rows as the planner believes; -1 where it was never told.
        analyzed_pages: The table's size when it was.
        page_bytes: Of one page.
        bytes: Of its main file now.
        index_bytes: Of its indexes now.
        indexes: How many it has.
        location: The folder of its tablespace; empty for the data directory itself.
        is_readable: Whether our role may SELECT all its columns.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    tuples: float
    analyzed_pages: int
    page_bytes: int
    bytes: int
    index_bytes: int
    indexes: int
    location: str
    is_readable: bool

    @property
    def pages(self) -> int:
        """How many pages it has now."""
        return self.bytes // self.page_bytes

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Disk:
    """Where the server keeps its files, and whether that may be this machine."""

    data_directory: str | None
    is_local_address: bool
    pid: int
    max_wal_bytes: int
    has_slots: bool


def stored(connection: Connection, oids: Sequence[int]) -> list[Stored]:
    """Read the sizes of tables; those that are gone are left out. Takes ACCESS SHARE on each for the read."""
    with connection.cursor(row_factory=class_row(Stored)) as cursor:
        return cursor.execute(STORED, {"oids": list(oids)}).fetchall()


def index_locations(connection: Connection, oids: Sequence[int]) -> dict[str, int]:
    """Read how many bytes of the tables' indexes are in which tablespace's folder.

    Takes ACCESS SHARE on each index for the read.
    """
    return dict(connection.execute(INDEX_LOCATIONS, {"oids": list(oids)}).fetchall())


def disk(connection: Connection) -> Disk:
    """Read where the server keeps its files. Takes no lock."""
    with connection.cursor(row_factory=class_row(Disk)) as cursor:
        row = cursor.execute(DISK).fetchone()
    assert row is not None
    return row
