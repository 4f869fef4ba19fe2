"""Where the local server keeps its packages, its data and its socket."""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.settings import PROJECT_ROOT, Settings

APPLICATION: Final = "homeops-db"
MARKER: Final = "HOMEOPS-DB"
"""The file that tells our folders from foreign ones: only a folder with it is ever filled or removed."""

SOCKET_PATH_BYTES: Final = 107
"""The longest path of a unix socket on Linux (https://man7.org/linux/man-pages/man7/unix.7.html)."""


def as_root() -> bool:
    """Tell whether we are root: then the server runs as another user, and its files are in /var."""
    return os.geteuid() == 0


def cache_folder(settings: Settings) -> Path:
    """Name the folder of the unpacked packages. Makes nothing."""
    if settings.cache_folder is not None:
        return settings.cache_folder.resolve()
    if as_root():
        return Path("/var/cache") / APPLICATION
    # Loading platformdirs costs a millisecond that the path above doesn't need.
    from platformdirs import user_cache_path  # noqa: PLC0415

    return user_cache_path(APPLICATION)


def state_folder(settings: Settings) -> Path:
    """Name the folder of this checkout's server: no two checkouts share one. Makes nothing."""
    if settings.local_folder is not None:
        return settings.local_folder.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", PROJECT_ROOT.name)
    return _state_root() / f"{name}-{short_hash(PROJECT_ROOT)}"


def _state_root() -> Path:
    if as_root():
        return Path("/var/lib") / APPLICATION
    from platformdirs import user_state_path  # noqa: PLC0415

    return user_state_path(APPLICATION)


def short_hash(path: Path) -> str:
    """Name a path by 8 hexadecimal digits."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def make_ours(folder: Path, setting: str) -> None:
    """Make a folder that is ours; a re-run changes nothing.

    As root it is open to all users for reading, because the server is another user.

    Args:
        folder: Absolute; its parents are made too.
        setting: The variable that names another folder, for the error.

    Raises:
        LocalServerError: It can't be written, or holds somebody else's files.
    """
    try:
        _make_parents(folder)
        marker = folder / MARKER
        if not marker.exists():
            # Asked again: another process may be making the same folder right now.
            if any(folder.iterdir()) and not marker.exists():
                raise LocalServerError(
                    f"{folder} holds files that are not the local server's. "
                    f"Nothing was changed. Set {setting} to a new folder."
                )
            marker.touch()
        elif not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise LocalServerError(
            f"{folder} can't be written: {error.strerror}. Set {setting} to a folder that can."
        ) from None


def _make_parents(folder: Path) -> None:
    if folder.is_dir():
        return
    if not folder.parent.exists():
        _make_parents(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755 if as_root() else 0o700)


def socket_folder(state: Path, owner: int) -> Path:
    """Name the folder of the server's socket: in the state folder, or a short one when that is too long.

    A comma or a double quote also rules the state folder out: the server and libpq read them as lists.

    Args:
        state: The state folder.
        owner: The user id that the server runs as.
    """
    inside = state / "socket"
    if fits(inside) and not set(str(inside)) & set(',"'):
        return inside
    name = f"homeops-{owner}-{short_hash(state)}"
    temporary = Path(tempfile.gettempdir()) / name
    return temporary if fits(temporary) else Path("/tmp") / name  # noqa: S108 - its owner is verified


def fits(folder: Path) -> bool:
    """Tell whether a socket in this folder has a path that the system accepts."""
    return len(os.fsencode(folder / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES


def make_private(folder: Path, owner: int, group: int) -> None:
    """Make a folder that only ``owner`` may enter, or verify that an existing one is so.

    Raises:
        LocalServerError: It is a link, belongs to somebody else, or can't be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if as_root() and found.st_uid == 0:
            os.chown(folder, owner, group, follow_symlinks=False)
            found = folder.lstat()
    except OSError as error:
        raise LocalServerError(f"{folder} can't be made: {error.strerror}.") from None
    if folder.is_symlink() or found.st_uid != owner:
        raise LocalServerError(
            f"{folder} belongs to another user, so the local server won't keep its socket there. "
            "Remove it, or set HOMEOPS_LOCAL_FOLDER to a shorter path."
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
