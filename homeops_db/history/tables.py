"""Tables of the ledger that an operation needs: made where they are missing."""

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from homeops_db.catalog import server
from homeops_db.errors import DatabaseError
from homeops_db.naming import LEDGER_SCHEMA


def make(connection: Connection, ddl: str) -> None:
    """Make tables, all or none. Called by the holder of the migration lock.

    Raises:
        DatabaseError: The role may not make them.
    """
    try:
        with connection.transaction():
            connection.execute(ddl.encode())
    except InsufficientPrivilege as error:
        here = server.server(connection)
        raise DatabaseError(
            f"Role {here.role} may not make tables in schema {LEDGER_SCHEMA}: {error.diag.message_primary}. "
            "Nothing was changed. Connect as the schema's owner."
        ) from None
