"""What a database says it is: ``core.system_config`` has its environment since it was first seeded."""

from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import scalar_row

from homeops_db.catalog import relations
from homeops_db.errors import PolicyError
from homeops_db.settings import Environment

KEY: Final = "system.environment"

_MARKED: LiteralString = "select value #>> '{}' from core.system_config where key = %s"


def refuse_other_environment(connection: Connection, environment: Environment, *, what: str) -> None:
    """Refuse to work on a database that runs as another environment. Takes no lock.

    Args:
        connection: The database; one that isn't marked yet, or is empty, is anybody's.
        environment: What the settings say.
        what: What is refused, for the message.

    Raises:
        PolicyError: The database is marked as another environment.
    """
    if not relations.exists(connection, "core.system_config"):
        return
    with connection.cursor(row_factory=scalar_row) as cursor:
        marked = cursor.execute(_MARKED, (KEY,)).fetchone()
    if marked not in (None, environment):
        raise PolicyError(
            f"This database runs as {marked} (core.system_config, {KEY}), and this is {environment}: {what} "
            "is refused. Nothing was changed. Check HOMEOPS_DATABASE_URL and HOMEOPS_ENVIRONMENT."
        )
