"""What an operation names, looked up before anything is changed: one clear error for what isn't right."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from psycopg import Connection, sql

from homeops_db.catalog import locks, partitions, tables
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.locking.wanted import Wanted
from homeops_db.online.work import Work

LONGEST_NAME: Final = 63
"""Bytes of an identifier (NAMEDATALEN - 1): the server cuts what is longer, without an error."""

CLONE: Final = "homeops_clone"

Named = tuple[str, str | None]
"""A name and its schema, which the search path gives when it is None."""

T = TypeVar("T")


def identifier(named: Named) -> sql.Identifier:
    """Quote the name of a table or an index."""
    name, schema = named
    return sql.Identifier(schema, name) if schema else sql.Identifier(name)


def quoted(named: Named) -> str:
    """Write the name of a table or an index as SQL."""
    return identifier(named).as_string()


def shortened(name: str) -> str:
    """Give a name that the server keeps whole: a longer one begins with its hash, and is cut."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{digest}_{name}".encode()[:LONGEST_NAME].decode(errors="ignore")


def parts_of(connection: Connection, table: Table) -> list[Table]:
    """Give the partitions of a table, one level."""
    below = {part.oid for part in partitions.of_parent(connection, table.oid)}
    return [part for part in tables.tree(connection, table.oid) if part.oid in below]


def refuse_long(*names: str) -> None:
    """Refuse names that the server would cut.

    Raises:
        ObjectError: A name has more than 63 bytes.
    """
    for name in names:
        if not 0 < len(name.encode()) <= LONGEST_NAME:
            raise ObjectError(
                f"The name {name!r} has {len(name.encode())} bytes, and PostgreSQL keeps 1 to "
                f"{LONGEST_NAME}: it would be cut in silence, and not be found again. Nothing was changed. "
                "Choose a shorter one."
            )


def table_of(
    connection: Connection, name: str, schema: str | None, *, kinds: str = "rp", must_own: bool = True
) -> Table:
    """Look up the table of an operation.

    Args:
        connection: Takes no lock.
        name: The table.
        schema: Its schema; by the search path when None.
        kinds: Accepted values of pg_class.relkind.
        must_own: Whether our role must be its owner, or a member of it.

    Raises:
        ObjectError: It doesn't exist, is no table, or belongs to another role.
    """
    found = tables.table(connection, name, schema)
    asked = f"{schema}.{name}" if schema else name
    if found is None:
        raise ObjectError(
            f"Table {asked} doesn't exist. Nothing was changed. Check the name and schema= in the revision."
        )
    if found.kind not in kinds:
        raise ObjectError(f"{asked} is no table that this can be done to. Nothing was changed.")
    if must_own and not found.is_ours:
        raise ObjectError(
            f"Table {found} belongs to role {found.owner}, and only its owner may change it. Nothing was "
            f"changed. Connect as {found.owner}, or as a member of it."
        )
    return found


def on_clone(
    work: Work, table: Table, probe: Callable[[Connection, str], T], *, like: str = "INCLUDING ALL"
) -> T:
    """Try something out on an empty temporary table like ``table``, and leave nothing of it.

    The server itself so tells how it reads an expression, whether a change rewrites, whether a column
    exists. Takes ACCESS SHARE on the table for some milliseconds, and no longer lock anywhere.

    Args:
        work: The operation.
        table: The table in use.
        probe: Is handed the connection and the clone's name, which stands alone, without a schema.
        like: What the clone has of the table (LIKE's options).

    Raises:
        psycopg.Error: Whatever the server says to what ``probe`` sends.
    """

    def try_out(connection: Connection) -> T:
        with connection.transaction(force_rollback=True):
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} " + like + ")").format(
                    sql.Identifier(CLONE), sql.Identifier(table.schema, table.name)
                )
            )
            return probe(connection, CLONE)

    may_lock = locks.may_lock(work.connection, table.oid, "ACCESS SHARE")
    wants: Sequence[Wanted] = [Wanted(table, "ACCESS SHARE", (table.oid,), may_lock)]
    return work.under_locks(wants, try_out, step="look", changes=False)
