"""pg_dump and pg_restore as child processes: the password in their environment, never in argv."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from homeops_db import urls
from homeops_db.errors import BackupError


def run(
    program: Path, arguments: Sequence[str], *, url: URL | None = None, application: str | None = None
) -> str:
    """Run one of PostgreSQL's client programs to its end, or end it with us.

    Args:
        program: Its path.
        arguments: Its options; no secret belongs here, every user of the machine can read them.
        url: The database it connects to.
        application: The application_name of its connections.

    Returns:
        What it printed.

    Raises:
        BackupError: It isn't there, or ended with an error; the text has its first one.
    """
    where, environment = _connection(url) if url else ([], {})
    if application is not None:
        environment["PGAPPNAME"] = application
    try:
        process = subprocess.Popen(
            [program, *where, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that its workers can be ended with it
        )
    except OSError as error:
        raise BackupError(f"{program} can't be run: {error.strerror}. Nothing was changed.") from None
    try:
        printed, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise
    if process.returncode != 0:
        raise BackupError(f"{_first_error(program, errors)}. Nothing was changed in the database.")
    return printed


def _first_error(program: Path, errors: str) -> str:
    """Find the reason: the first error, since those of the workers only follow from it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["it said nothing"]
    last = f"{program.name} failed: {lines[-1]}"
    return next((line for line in lines if "error:" in line), last).rstrip(".")


def _connection(url: URL) -> tuple[list[str], dict[str, str]]:
    """Name the database in an argument with everything but the password, which goes into the environment."""
    given = urls.libpq(url)
    password = given.pop("password", None)
    if "sslpassword" in given:
        raise BackupError("libpq reads sslpassword from no environment variable. Use a key without one.")
    return [f"--dbname={make_conninfo(**given)}"], {"PGPASSWORD": password} if password else {}
