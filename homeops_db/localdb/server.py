"""This checkout's server: started when it isn't running, stopped, looked at, removed."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.localdb import postmaster, processes, record
from homeops_db.localdb.folders import MARKER, make_ours, state_folder
from homeops_db.localdb.lock import locked
from homeops_db.localdb.progress import Progress, silent
from homeops_db.localdb.record import LocalServer
from homeops_db.settings import Settings

ANSWER_WITHIN: Final = 1.0
"""Seconds that a running server has for its sign of life before we look closer."""

BUSY_FOR: Final = 30.0
"""Seconds that a starting or busy server has to answer before it is started again."""

_WAITING: Final = "Waiting for another process that starts or stops the local server"


def ensure_running(settings: Settings, progress: Progress = silent) -> LocalServer:
    """Start this checkout's server, unless it runs.

    A re-run looks at one file and asks the socket: under 5 ms, no program started. A killed server
    starts again. Two at once start it once.

    Args:
        settings: Names the state folder and the cache folder.
        progress: Told about what takes time.

    Raises:
        LocalServerError: PostgreSQL can't be had, or can't be started; says why.
    """
    folder = state_folder(settings)
    if found := _answering(folder, ANSWER_WITHIN):
        return found
    make_ours(folder, "HOMEOPS_LOCAL_FOLDER")
    with locked(folder / "lock", progress, _WAITING):
        if found := _answering(folder, BUSY_FOR):
            return found
        # Only a start needs it, and a start takes a hundred times as long as this import.
        from homeops_db.localdb.start import start  # noqa: PLC0415

        server = start(folder, record.read(folder), settings, progress)
        record.write(server)
        return server


def status(settings: Settings) -> LocalServer | None:
    """Look at this checkout's server; None when it was never started. Changes nothing."""
    folder = state_folder(settings)
    return _answering(folder, ANSWER_WITHIN) or record.read(folder)


def stop(settings: Settings) -> bool:
    """Stop this checkout's server: fast shutdown, then immediate; no process of it stays.

    Returns:
        Whether there was something to stop.

    Raises:
        LocalServerError: It belongs to another user.
    """
    folder = state_folder(settings)
    if not (folder / MARKER).exists():
        return False
    with locked(folder / "lock", silent, _WAITING):
        return processes.end(folder / "data")


def destroy(settings: Settings) -> bool:
    """Stop the server and remove its data. Files in its folder that are not its own stay.

    Returns:
        Whether there was something to remove.

    Raises:
        LocalServerError: The folder is not a local server's, or can't be removed.
    """
    folder = state_folder(settings)
    if not folder.exists():
        return False
    if not (folder / MARKER).exists():
        raise LocalServerError(
            f"{folder} has no file {MARKER}, so it is not a local server's. Nothing was removed."
        )
    with locked(folder / "lock", silent, _WAITING):
        processes.end(folder / "data")
        try:
            _remove(folder)
        except OSError as error:
            raise LocalServerError(f"{error.filename} can't be removed: {error.strerror}.") from None
    return True


def _remove(folder: Path) -> None:
    """Remove what is ours, the marker last: an interrupted removal can be taken up again."""
    server = record.read(folder)
    if server and server.socket_folder.is_dir():
        shutil.rmtree(server.socket_folder)
    for name in ("data", "data.new", "socket"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    for name in ("log", "log.1", "password", "server.conf", "server.json", "server.json.new", "lock", MARKER):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _answering(folder: Path, patience: float) -> LocalServer | None:
    """Look whether the recorded server runs and answers. The record is written when a start is finished."""
    server = record.read(folder)
    found = postmaster.pid_file(folder / "data")
    if server is None or found is None:
        return None
    recorded = (found.port, found.socket_folder) == (server.port, server.socket_folder)
    if not recorded or not postmaster.wait_for_answer(server.data, patience):
        return None
    return replace(server, pid=found.pid)
