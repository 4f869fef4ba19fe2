"""pg_dump and pg_restore for a server that isn't ours: as new as it is, or newer."""

import re
import subprocess
from pathlib import Path

from homeops_db.errors import LocalServerError
from homeops_db.localdb import machine
from homeops_db.localdb.packages import find_or_fetch
from homeops_db.localdb.progress import Progress, silent
from homeops_db.settings import Settings

_PROGRAMS = ("pg_dump", "pg_restore")


def find(settings: Settings, *, server_version_num: int, progress: Progress = silent) -> Path:
    """Find the folder of the oldest pg_dump that can read a server: an older one refuses a newer server.

    Args:
        settings: Names the cache folder.
        server_version_num: The server's version as it numbers itself, like 170006.
        progress: Told about a download, where the machine has none that serves.

    Raises:
        LocalServerError: There is none, and none can be had.
    """
    needed = server_version_num // 10000
    found = {folder: _major(folder) for folder in machine.folders()}
    serving = {folder: major for folder, major in found.items() if major is not None and major >= needed}
    if serving:
        return min(serving, key=lambda folder: serving[folder])
    fetched = find_or_fetch(settings, progress)
    if fetched.major < needed:
        raise LocalServerError(
            f"The server is PostgreSQL {needed}, and the newest pg_dump here is {fetched.version}. "
            f"Install the client programs: apt-get install postgresql-client-{needed}"
        )
    return fetched.bin


def _major(folder: Path) -> int | None:
    """Read the version of a folder's pg_dump; None where a program is missing or doesn't run."""
    if not all((folder / program).exists() for program in _PROGRAMS):
        return None
    try:
        said = subprocess.run(
            [folder / "pg_dump", "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\) (\d+)", said)
    return int(match[1]) if match else None
