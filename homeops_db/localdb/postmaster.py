"""The first process of a server: which it is, and whether it answers."""

import os
import socket
import struct
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""The shortest question that a server answers without a login
(https://www.postgresql.org/docs/17/protocol-message-formats.html)."""

_NOBODY: Final = 2**31 - 1
"""A process id that no Linux ever gives."""

PAUSE: Final = 0.01
"""Seconds between two looks at a process."""


@dataclass(frozen=True)
class PidFile:
    """What a server writes into postmaster.pid (src/include/utils/pidfile.h)."""

    pid: int
    port: int
    socket_folder: Path
    ready: bool


def pid_file(data: Path) -> PidFile | None:
    """Read postmaster.pid; None when it is missing or only begun."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return PidFile(int(lines[0]), int(lines[3]), Path(lines[4]), lines[7].strip() == "ready")
    except (OSError, IndexError, ValueError):
        return None


def is_postmaster(pid: int, data: Path) -> bool:
    """Tell whether this process is the server of this data folder, and not one that got its number later."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return not has_proc() and alive(pid)
    # pg_ctl and initdb take the same option.
    return arguments[0].endswith(b"/postgres") and (b"-D", os.fsencode(data)) in pairwise(arguments)


def has_proc() -> bool:
    """Tell whether processes can be looked at, as on Linux."""
    return Path("/proc/self/cmdline").exists()


def alive(pid: int) -> bool:
    """Tell whether a process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(folder: Path, port: int, timeout: float) -> bool:
    """Ask the server's socket for a sign of life.

    Args:
        folder: The folder of the socket.
        port: The port in its name.
        timeout: How long to wait, in seconds.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(folder / f".s.PGSQL.{port}"))
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def wait_for_answer(data: Path, patience: float) -> bool:
    """Wait until a server that is starting or busy answers; False when it doesn't, or is none.

    Args:
        data: The data folder.
        patience: How long to wait, in seconds.
    """
    deadline = time.monotonic() + patience
    while (found := pid_file(data)) and is_postmaster(found.pid, data):
        if found.ready and answers(found.socket_folder, found.port, timeout=patience):
            return True
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    return False


def disown_pid(data: Path) -> None:
    """Take a number out of postmaster.pid that now belongs to a process that is not ours.

    The server would take that process for a running postmaster. The rest of the file stays: by the
    shared memory it names, the server sees whether backends of a killed one still live.
    """
    path = data / "postmaster.pid"
    try:
        first, separator, rest = path.read_text().partition("\n")
        if not alive(int(first)) or is_postmaster(int(first), data):
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{_NOBODY}{separator}{rest}")
