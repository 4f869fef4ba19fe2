"""Which seeds may go where: decided by the settings, and by the version of the database."""

from typing import Final

from psycopg import Connection

from homeops_db.errors import PolicyError, SeedError
from homeops_db.history import ledger, versions
from homeops_db.history.scripts import Revision
from homeops_db.seeding.files import SeedFile
from homeops_db.settings import Environment, Settings

_DANGER: Final[dict[Environment, int]] = {"production": 0, "staging": 1, "development": 2}
"""What the seeds could do in the wrong place: those of development bring users with known passwords."""


def chosen(settings: Settings, asked: Environment | None) -> Environment:
    """Decide whose seeds run: the settings' own, or others that are asked for and no more dangerous.

    In development the seeds of staging and production may be rehearsed, in staging those of
    production; never the other way. The database then counts as what it was seeded as.

    Raises:
        PolicyError: The seeds asked for are more dangerous than those of the environment.
    """
    wanted = asked or settings.environment
    if _DANGER[wanted] > _DANGER[settings.environment]:
        raise PolicyError(
            f"{wanted.capitalize()} seeds are refused: HOMEOPS_ENVIRONMENT is {settings.environment}. "
            "Nothing was changed. Run without --env for the environment's own seeds."
        )
    return wanted


def refuse_other_version(connection: Connection, revisions: list[Revision]) -> str:
    """Tell at which version the database is; refuse one that none of the revisions made. Takes no lock.

    Raises:
        SeedError: The database is empty, or at a version that isn't on disk.
    """
    standing = ledger.current(connection)
    if standing is None or standing not in {revision.version for revision in revisions}:
        at = f"is at {standing}, which no revision here makes" if standing else "has no HomeOps schema yet"
        raise SeedError(f"The database {at}. Nothing was changed. Run: alembic upgrade head")
    return standing


def suits(file: SeedFile, version: str) -> bool:
    """Tell whether a file is written for a database at this version."""
    return versions.parse(file.since) <= versions.parse(version)
