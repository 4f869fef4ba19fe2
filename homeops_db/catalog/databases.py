"""The server's other databases: whether there is one of a name, and what its comment says."""

from typing import LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

COMMENT: LiteralString = """
select coalesce(shobj_description(oid, 'pg_database'), '') from pg_database where datname = %(name)s
"""
CLAIM: LiteralString = "select pg_try_advisory_lock(hashtextextended(%(what)s, 0))"


def comment(connection: Connection, name: str) -> str | None:
    """Read a database's comment: empty without one, None where there is no such database. Takes no lock."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(COMMENT, {"name": name}).fetchone()


def claimed(connection: Connection, what: str) -> bool:
    """Claim something by an advisory lock of this session, and say whether nobody else has it."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(CLAIM, {"what": what}).fetchone())
