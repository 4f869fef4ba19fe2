"""pg_dump and pg_restore as child processes: the password in their environment, never in argv."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import URL

from homeops_db.errors import BackupError

# URL parameters that libpq reads from the environment under another name
# (https://www.postgresql.org/docs/17/libpq-envars.html).
_PARAMETERS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def run(program: Path, arguments: Sequence[str], *, url: URL | None = None) -> str:
    """Run one of PostgreSQL's client programs to its end.

    Args:
        program: Its path.
        arguments: Its options; no secret belongs here, every user of the machine can read them.
        url: The database it connects to, handed over in the environment.

    Returns:
        What it printed.

    Raises:
        BackupError: It isn't there, or ended with an error; the text has its last line.
    """
    environment = {**os.environ, **(_libpq_environment(url) if url else {})}
    try:
        ended = subprocess.run(
            [program, *arguments],
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


def _libpq_environment(url: URL) -> dict[str, str]:
    given = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        **url.query,
    }
    return {
        _PARAMETERS[name]: str(value)
        for name, value in given.items()
        if value is not None and name in _PARAMETERS
    }
