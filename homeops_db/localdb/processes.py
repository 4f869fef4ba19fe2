"""Every process of one data folder, and how they are ended."""

import os
import signal
import time
from pathlib import Path

from homeops_db.errors import LocalServerError
from homeops_db.localdb.folders import short_hash
from homeops_db.localdb.postmaster import PAUSE, alive, has_proc, is_postmaster, pid_file


def cluster_name(data: Path) -> str:
    """Name the cluster so that its processes can be told by their titles."""
    return f"homeops-{short_hash(data)}"


def running(data: Path) -> list[int]:
    """Find every process of the server, also those that a killed postmaster left behind."""
    if not has_proc():
        found = pid_file(data)
        return [found.pid] if found and alive(found.pid) else []
    title = f"postgres: {cluster_name(data)}: ".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _title(pid).startswith(title) or is_postmaster(pid, data)]


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def end(data: Path) -> bool:
    """End every process of the server: fast shutdown, then immediate, then by force.

    Returns:
        Whether there was one.

    Raises:
        LocalServerError: A process is still there, or may not be ended by us.
    """
    if not running(data):
        return False
    for number, patience in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        if _signal(data, number) and _gone(data, patience):
            return True
    raise LocalServerError(f"The processes {running(data)} of {data} don't end. End them by hand.")


def _signal(data: Path, number: signal.Signals) -> bool:
    """Signal the postmaster, who ends the others; without one, or by force, signal all."""
    pids = running(data)
    leaders = [pid for pid in pids if is_postmaster(pid, data)]
    if not leaders and number == signal.SIGINT:
        return False  # to a backend that only means: cancel the statement
    try:
        for pid in pids if number == signal.SIGKILL else leaders or pids:
            os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise LocalServerError(f"The server of {data} belongs to another user, who has to stop it.") from None
    return True


def _gone(data: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while running(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True
