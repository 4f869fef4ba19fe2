"""The server's programs: the machine's own, else unpacked packages from the cache, else downloaded ones."""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

from homeops_db.localdb import machine, recipe
from homeops_db.localdb.download import Package, fetch
from homeops_db.localdb.folders import cache_folder, make_ours
from homeops_db.localdb.installation import Installation, inspect
from homeops_db.localdb.lock import locked
from homeops_db.localdb.progress import Progress, silent
from homeops_db.localdb.unavailable import unavailable
from homeops_db.settings import Settings

STAMP: Final = "stamp.json"
"""Written last: a folder without it is half-finished, whatever is in it."""

ROOM: Final = 400_000_000
"""Bytes: the package index, the packages and the unpacked tree, with some to spare."""

ZONEINFO: Final = Path("/usr/share/zoneinfo")
"""Debian's server reads the machine's time zones from here, and has none of its own."""


def find_or_fetch(
    settings: Settings, progress: Progress = silent, *, major: int | None = None
) -> Installation:
    """Find the server's programs, or download them once for this machine.

    A re-run finds what the first one made, in milliseconds. Two at once download once.

    Args:
        settings: Names the cache folder.
        progress: Told about the download.
        major: The version to prefer, because a data folder of it exists.

    Raises:
        LocalServerError: Nothing on the machine serves, and the packages can't be had; says why.
    """
    on_machine = machine.installations()
    for installation in on_machine:
        if major in {None, installation.major}:
            return installation
    if on_machine and major != recipe.MAJOR:
        return on_machine[0]
    folder = cache_folder(settings)
    return cached(folder) or _fetch_once(folder, progress)


def tree_of(cache: Path) -> Path:
    """Name the folder of the unpacked packages."""
    return cache / f"postgresql-{recipe.MAJOR}-{recipe.fingerprint()}"


def cached(cache: Path) -> Installation | None:
    """Look for finished unpacked packages; half-finished or moved ones are none."""
    tree = tree_of(cache)
    try:
        stamp = json.loads((tree / STAMP).read_text())
        versions: dict[str, str] = stamp["packages"]
        if stamp["recipe"] != recipe.fingerprint() or stamp["folder"] != str(tree):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _inspect(tree, versions)


def _inspect(tree: Path, versions: dict[str, str]) -> Installation | None:
    named = ", ".join(f"{name} {versions.get(name, '?')}" for name in recipe.SERVER)
    return inspect(tree / recipe.BIN, f"Debian {recipe.SUITE} packages: {named}", tree / recipe.PGBOUNCER)


def _fetch_once(cache: Path, progress: Progress) -> Installation:
    architecture = _demand_tools()
    make_ours(cache, "HOMEOPS_CACHE_FOLDER")
    with locked(cache / "lock", progress, "Waiting for another process that downloads PostgreSQL"):
        if found := cached(cache):
            return found
        if shutil.disk_usage(cache).free < ROOM:
            raise unavailable(f"less than {ROOM // 1_000_000} MB are free in {cache}")
        try:
            return _fetch(cache, architecture, progress)
        except OSError as error:
            raise unavailable(f"{error.filename or cache}: {error.strerror}") from None


def _demand_tools() -> recipe.Architecture:
    """Refuse a machine on which the download can't work, before anything is written."""
    if sys.platform != "linux":
        raise unavailable("its packages are for Linux")
    for tool in ("apt-get", "dpkg", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise unavailable(f"no server with all six extensions is installed, and {tool} is not on PATH")
    if not (ZONEINFO / "UTC").exists():
        raise unavailable(f"{ZONEINFO} is missing (package tzdata)")
    return recipe.architecture(machine.debian_architecture())


def _fetch(cache: Path, architecture: recipe.Architecture, progress: Progress) -> Installation:
    tree, new, work = tree_of(cache), cache / "unpacking", cache / "downloading"
    packages = fetch(work, architecture, progress)
    _unpack(packages, new, tree, architecture, progress)
    versions = {package.name: package.version for package in packages}
    if (found := _inspect(tree, versions)) is None:
        raise unavailable(f"the programs unpacked in {tree} don't run, or lack an extension")
    _write_stamp(tree, versions)
    shutil.rmtree(work)
    return found


def _unpack(
    packages: list[Package], new: Path, tree: Path, architecture: recipe.Architecture, progress: Progress
) -> None:
    from homeops_db.localdb.unpack import patch, unpack  # noqa: PLC0415 - only a cold start needs it

    for leftover in (new, tree):
        if leftover.exists():
            shutil.rmtree(leftover)
    unpack(packages, new, progress)
    patch(new, tree, architecture)
    new.rename(tree)


def _write_stamp(tree: Path, versions: dict[str, str]) -> None:
    stamp = {"recipe": recipe.fingerprint(), "folder": str(tree), "packages": versions}
    unfinished = tree / f"{STAMP}.new"
    unfinished.write_text(json.dumps(stamp, indent=2) + "\n")
    unfinished.chmod(0o644)
    unfinished.replace(tree / STAMP)
