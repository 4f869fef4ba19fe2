"""The user that the server runs as: ourselves, or an unprivileged one when we are root."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.localdb.folders import as_root
from homeops_db.localdb.installation import clean_environment

CANDIDATES: Final = ("postgres", "_postgres", "daemon", "nobody")


@dataclass(frozen=True)
class Account:
    """A user and group that own the data and run the server."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give a path to this user; only root has to."""
        if as_root():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def demand_reach(self, folder: Path, setting: str) -> None:
        """Verify that this user may enter a folder; ourselves we have just been in it.

        Args:
            folder: One that the server reads.
            setting: The variable that names another, for the error.

        Raises:
            LocalServerError: It is closed, like a folder in root's home.
        """
        if as_root() and self.run(["/usr/bin/test", "-x", folder], cwd=Path("/"), timeout=10).returncode:
            raise LocalServerError(
                f"The server runs as the user {self.name}, who may not enter {folder}. "
                f"Set {setting} to a folder that every user may enter."
            )

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, in a session of its own: Ctrl-C in our terminal doesn't reach it.

        Args:
            command: The program and its arguments.
            cwd: A folder that this user may enter.
            timeout: How long it may take, in seconds.

        Raises:
            LocalServerError: It can't be run, or doesn't end in time.
        """
        try:
            return subprocess.run(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout,
                env=clean_environment(),
                start_new_session=True,
                umask=0o077,
                # An ordinary user may not even ask to stay himself.
                user=self.uid if as_root() else None,
                group=self.gid if as_root() else None,
                extra_groups=[] if as_root() else None,
            )
        except OSError as error:
            raise LocalServerError(f"{command[0]} can't be run as {self.name}: {error.strerror}.") from None
        except subprocess.TimeoutExpired:
            raise LocalServerError(f"{command[0]} did not end within {timeout:.0f} s.") from None


def server_account(data: Path) -> Account:
    """Choose the user: the owner of existing data, ourselves, or as root an unprivileged user.

    Args:
        data: The data folder; need not exist.

    Raises:
        LocalServerError: The data belongs to another user, or root finds no unprivileged user.
    """
    if data.exists():
        return _owner(data)
    if not as_root():
        return _of(os.geteuid())
    for name in CANDIDATES:
        try:
            return _of(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    raise LocalServerError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(CANDIDATES)} exists. "
        "Add one with `useradd --system postgres`."
    )


def _owner(data: Path) -> Account:
    uid = data.stat().st_uid
    if uid != os.geteuid() and not as_root():
        raise LocalServerError(
            f"{data} belongs to another user. Set HOMEOPS_LOCAL_FOLDER to a folder of your own."
        )
    return _of(uid)


def _of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise LocalServerError(
            f"PostgreSQL needs a name for the user who runs it, and the user id {uid} has no passwd entry."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
