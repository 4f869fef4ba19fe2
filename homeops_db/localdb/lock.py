"""One process at a time in a folder, by a lock that the kernel frees when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homeops_db.errors import LocalServerError
from homeops_db.localdb.progress import Progress


@contextmanager
def locked(path: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Hold the lock file ``path``; wait for as long as another process holds it.

    Args:
        path: Made when missing; its folder must exist.
        progress: Told once when we have to wait.
        waiting: The words for that.

    Raises:
        LocalServerError: The file can't be made or opened.
    """
    descriptor = _open_and_lock(path, progress, waiting)
    try:
        yield
    finally:
        os.close(descriptor)


def _open_and_lock(path: Path, progress: Progress, waiting: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise LocalServerError(f"{path} can't be opened: {error.strerror}.") from None
        try:
            _lock(descriptor, progress, waiting)
            # `destroy` removes the file: who waited on the old one must not run beside the new one's holder.
            if _same(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, progress: Progress, waiting: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress(waiting, 0.0)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
