"""How much of the server's disks is free, where that can be known: a server on this very machine."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import Connection

from homeops_db.catalog import storage
from homeops_db.catalog.storage import Disk
from homeops_db.locking import pace

_PROCESSES: Final = Path("/proc")


@dataclass(frozen=True)
class Room:
    """One disk: what will be needed there and what is free, in bytes."""

    path: Path
    needed: int
    free: int


def rooms(connection: Connection, growth: Mapping[str, float], wal: float) -> list[Room] | str:
    """Look how much room there is. Takes no lock.

    Args:
        connection: To the server.
        growth: Bytes that its files will grow by, by the folder of their tablespace; empty for the data
            directory itself.
        wal: Bytes of WAL that will be written. What the next checkpoints recycle isn't needed.

    Returns:
        Each disk that files will grow on; or why they can't be seen.
    """
    server = storage.disk(connection)
    if not server.is_local_address or not _is_here(server.pid):
        return "the server is on another machine"
    if server.data_directory is None:
        return "our role may not see data_directory (pg_read_all_settings)"
    data = Path(server.data_directory)
    wanted = {data / location: number for location, number in growth.items()}
    wanted[_wal_folder(data)] = wanted.get(_wal_folder(data), 0) + min(wal, _wal_kept(server))
    try:
        return _by_device(wanted)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


def _is_here(pid: int) -> bool:
    """Whether our backend is a process of this machine: a forwarded port has a local address too."""
    if not _PROCESSES.is_dir():
        return True
    try:
        return "postgres" in (_PROCESSES / str(pid) / "comm").read_text()
    except OSError:
        return False


def _wal_folder(data: Path) -> Path:
    """Where WAL is written: a link may lead elsewhere. Only the server's user may look into its folder."""
    folder = data / "pg_wal"
    try:
        folder.stat()
    except OSError:
        return data
    return folder


def _wal_kept(server: Disk) -> float:
    """WAL that stands there at once: slots may keep some back, until the backfill waits for them."""
    if not server.has_slots:
        return server.max_wal_bytes
    return server.max_wal_bytes + (pace.current().max_slot_bytes or math.inf)


def _by_device(wanted: Mapping[Path, float]) -> list[Room]:
    found: dict[int, Room] = {}
    for path, needed in wanted.items():
        device = path.stat().st_dev
        before = found.get(device)
        found[device] = Room(
            before.path if before else path,
            round(needed) + (before.needed if before else 0),
            shutil.disk_usage(path).free,
        )
    return list(found.values())
