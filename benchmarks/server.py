"""A server that only one benchmark uses: settings of its own, reached by its socket alone, removed at the end."""

import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from homeops_db.errors import LocalServerError
from homeops_db.localdb import server
from homeops_db.localdb.record import LocalServer
from homeops_db.settings import Settings, load

PATIENCE = 20  # seconds
ALONE = {"listen_addresses": "", "shared_preload_libraries": ""}


@contextmanager
def of_its_own(settings: Mapping[str, str], needs: int) -> Iterator[LocalServer]:
    """Run a server for the block, in a folder below TMPDIR that needs this many bytes.

    It goes with the block, however that ends: also on Ctrl-C and SIGTERM.
    """
    root = Path(tempfile.gettempdir())
    free = shutil.disk_usage(root).free
    if free < needs:
        sys.exit(f"{root} has {free / 1e9:.1f} GB free, and {needs / 1e9:.1f} are needed: set TMPDIR.")
    ours = replace(load({}), local_folder=root / f"homeops-benchmark-{next_number(root)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        started = server.ensure_running(ours)
        # ALTER SYSTEM can't write an empty list.
        with (started.data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in {**ALONE, **settings}.items())
        server.stop(ours)
        yield server.ensure_running(ours)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave half of it
        for child in multiprocessing.active_children():  # that we started, and that is at work on it
            child.kill()
        remove(ours)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def remove(settings: Settings) -> None:
    """Remove it; an initdb that was broken off may write for a moment more."""
    for _ in range(PATIENCE):
        try:
            server.destroy(settings)
        except LocalServerError:
            time.sleep(1)
        else:
            return
    server.destroy(settings)


def next_number(root: Path) -> int:
    number = 1
    while (root / f"homeops-benchmark-{number}").exists():
        number += 1
    return number
