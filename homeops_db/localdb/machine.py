"""The server installations that the machine already has."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from homeops_db.localdb.installation import Installation, inspect, output

PATTERNS: Final = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
"""Debian's and the PGDG RPMs' folders."""


def installations(root: Path = Path("/")) -> list[Installation]:
    """Find the installations that can serve, newest version first.

    Args:
        root: Where the file system begins.
    """
    found = {folder: inspect(folder, f"installed in {folder}") for folder in folders(root)}
    return sorted((one for one in found.values() if one), key=_version, reverse=True)


def _version(installation: Installation) -> tuple[int, ...]:
    return tuple(int(part) for part in installation.version.split("."))


def folders(root: Path = Path("/")) -> Iterator[Path]:
    """Name the bin folders that may hold PostgreSQL's programs: the usual ones, and PATH's."""
    for pattern in PATTERNS:
        yield from (folder.resolve() for folder in root.glob(pattern))
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if (pg_config := shutil.which("pg_config")) and (said := output(pg_config, "--bindir").strip()):
        yield Path(said).resolve()


def debian_architecture() -> str:
    """Ask dpkg for the machine's architecture, like ``amd64``."""
    return output("dpkg", "--print-architecture").strip() or "unknown to dpkg"
