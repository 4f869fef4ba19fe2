"""Tables and indexes: what is broken in them."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

EXISTS: LiteralString = "select to_regclass(%(name)s) is not null"

INVALID_INDEXES: LiteralString = """
select n.nspname as schema, t.relname as table, c.relname as name
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid and n.nspname = any(%(schemas)s)
order by 1, 2, 3
"""


@dataclass(frozen=True)
class InvalidIndex:
    """An index that a failed CREATE INDEX CONCURRENTLY left behind: it costs writes and serves no read."""

    schema: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name} on {self.schema}.{self.table}"


def invalid_indexes(connection: Connection, schemas: tuple[str, ...]) -> list[InvalidIndex]:
    """Read the INVALID indexes of ``schemas``. Takes no lock."""
    with connection.cursor(row_factory=class_row(InvalidIndex)) as cursor:
        return cursor.execute(INVALID_INDEXES, {"schemas": list(schemas)}).fetchall()


def exists(connection: Connection, name: str) -> bool:
    """Read whether a relation exists, named with its schema. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(EXISTS, {"name": name}).fetchone())
