"""One process at a time, also across a removal of the lock file."""

import threading
from pathlib import Path

import pytest

from homeops_db.errors import LocalServerError
from homeops_db.localdb.lock import locked
from homeops_db.localdb.progress import silent


def test_waiting_is_told_and_survives_removal_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waits, got, may_end = threading.Event(), threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with locked(path, lambda stage, _: (stage == "waiting" and waits.set()) and None, "waiting"):
            got.set()
            may_end.wait(10)

    waiter = threading.Thread(target=wait_for_it)
    with locked(path, silent, "never said"):
        waiter.start()
        assert waits.wait(10)
        assert not got.is_set()
        path.unlink()  # as `destroy` does while it holds the lock
    assert got.wait(10)
    told: list[str] = []
    newcomer = threading.Thread(target=lambda: _take(path, told))
    newcomer.start()
    while not told:  # it meets the waiter's lock, because that is on the new file
        assert newcomer.is_alive()
    may_end.set()
    waiter.join(10)
    newcomer.join(10)
    assert told == ["waiting", "got"]


def _take(path: Path, told: list[str]) -> None:
    with locked(path, lambda stage, _: told.append(stage), "waiting"):
        told.append("got")


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(LocalServerError, match="can't be opened"),
        locked(tmp_path / "no" / "lock", silent, ""),
    ):
        pass
