"""All tables of some schemas with the columns that they have now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row

SHAPES: LiteralString = """
select c.oid::bigint as oid, n.nspname as schema, c.relname as name,
       array_agg(a.attname::text order by a.attnum) as columns,
       (array_agg(a.attname::text order by a.attnum) filter (where a.attnum = i.indkey[0]))[1] as key,
       (array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum)
            filter (where a.attnum = i.indkey[0]))[1] as key_type
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'm') and not c.relispartition
group by c.oid, n.nspname, c.relname
order by n.nspname, c.relname
"""


@dataclass(frozen=True)
class Shape:
    """A table, partitioned table or materialized view, and its columns in their order.

    ``key`` is the first column of its primary key, if it has one.
    """

    oid: int
    schema: str
    name: str
    columns: list[str]
    key: str | None
    key_type: str | None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def shapes(connection: Connection, schemas: Sequence[str]) -> list[Shape]:
    """Read the tables of ``schemas``. Takes no lock."""
    with connection.cursor(row_factory=class_row(Shape)) as cursor:
        return cursor.execute(SHAPES, {"schemas": list(schemas)}).fetchall()
