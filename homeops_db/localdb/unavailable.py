"""The one error for a machine on which the local server can't be had, and its advice."""

from typing import Final

from homeops_db.errors import LocalServerError

ADVICE: Final = (
    "Start one with `docker compose -f docker-compose.dev.yml up -d`, or set HOMEOPS_DATABASE_URL."
)


def unavailable(missing: str) -> LocalServerError:
    """Build the error.

    Args:
        missing: What this machine lacks, as a clause without a full stop; line breaks are taken out.
    """
    return LocalServerError(f"The local PostgreSQL can't be had: {' '.join(missing.split())}. {ADVICE}")
