"""pg_dump and pg_restore as child processes: the password in their environment, never in argv."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from homeops_db import urls
from homeops_db.errors import BackupError


def run(program: Path, arguments: Sequence[str], *, url: URL | None = None) -> str:
    """Run one of PostgreSQL's client programs to its end.

    Args:
        program: Its path.
        arguments: Its options; no secret belongs here, every user of the machine can read them.
        url: The database it connects to.

    Returns:
        What it printed.

    Raises:
        BackupError: It isn't there, or ended with an error; the text has its last line.
    """
    where, secrets = _connection(url) if url else ([], {})
    environment = {**os.environ, **secrets}
    try:
        ended = subprocess.run(
            [program, *where, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise BackupError(f"{program} can't be run: {error.strerror}. Nothing was changed.") from None
    if ended.returncode != 0:
        last = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise BackupError(f"{program.name} failed: {last}. Nothing was changed in the database.")
    return ended.stdout


def _connection(url: URL) -> tuple[list[str], dict[str, str]]:
    """Name the database in an argument with everything but the password, which goes into the environment."""
    given = urls.libpq(url)
    password = given.pop("password", None)
    if "sslpassword" in given:
        raise BackupError("libpq reads sslpassword from no environment variable. Use a key without one.")
    return [f"--dbname={make_conninfo(**given)}"], {"PGPASSWORD": password} if password else {}
