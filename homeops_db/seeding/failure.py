"""How a failed seed is told: one line with the place, what was tried, and the server's own words."""

import psycopg

from homeops_db.errors import SeedError
from homeops_db.seeding.files import SeedFile


def failure(file: SeedFile, line: int | None, what: str, reason: str) -> SeedError:
    """Make the error of one file.

    Args:
        file: The file that failed.
        line: Where in it, counted from 1; None when the server doesn't tell.
        what: The head of the statement, or the column; may be empty.
        reason: Why, without a full stop.
    """
    place = file.name if line is None else f"{file.name}, line {line}"
    tried = f"{what}: " if what else ""
    return SeedError(
        f"{place}: {tried}{reason}. Nothing of this file stays. Mend it, then run: homeops-db seed"
    )


def server_reason(error: psycopg.Error) -> str:
    """Give the server's primary message and SQLSTATE, in one line."""
    message = error.diag.message_primary or str(error).strip() or type(error).__name__
    text = " ".join(message.split())
    return f"{text} (SQLSTATE {error.sqlstate})" if error.sqlstate else text
