"""One set of PostgreSQL programs, and whether it can serve: right version, all six extensions."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeops_db.naming import EXTENSIONS

OLDEST: Final = 15
NEWEST: Final = 18
PROGRAMS: Final = ("initdb", "pg_ctl", "pg_dump", "pg_restore", "postgres", "psql")

# Where Debian's programs, the PGDG's RPMs and a build from source look, seen from their bin folder.
_LAYOUTS: Final = (
    ("../../../../share/postgresql/{major}", "../lib"),
    ("../share", "../lib"),
    ("../share/postgresql", "../lib/postgresql"),
)


@dataclass(frozen=True)
class Installation:
    """Programs of one PostgreSQL server that has all six extensions.

    Attributes:
        bin: The folder of postgres, initdb, psql, pg_dump and so on.
        version: The server's version, like ``17.6``.
        source: Where it comes from, in words.
        pgbouncer: A pooler, where there is one.
    """

    bin: Path
    version: str
    source: str
    pgbouncer: Path | None = None

    @property
    def major(self) -> int:
        """The version's first part: data folders of another one can't be read."""
        return int(self.version.split(".")[0])


def inspect(folder: Path, source: str, pgbouncer: Path | None = None) -> Installation | None:
    """Look at a bin folder.

    Args:
        folder: A folder that may hold PostgreSQL's programs.
        source: Where it comes from, in words.
        pgbouncer: The pooler that belongs to it; the one on PATH when left out.

    Returns:
        None when a program or one of the six extensions is missing, or the version is not 15 to 18.
    """
    if not all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
        return None
    version = re.search(r"\) (\d+(?:\.\d+)?)", output(folder / "postgres", "--version"))
    if version is None or not OLDEST <= int(version[1].split(".")[0]) <= NEWEST:
        return None
    if not any(_has_extensions(share, lib) for share, lib in _layouts(folder, version[1])):
        return None
    if pgbouncer is None and (on_path := shutil.which("pgbouncer")):
        pgbouncer = Path(on_path)
    return Installation(folder, version[1], source, pgbouncer)


def _layouts(folder: Path, version: str) -> list[tuple[Path, Path]]:
    said = output(folder / "pg_config", "--sharedir", "--pkglibdir").splitlines()
    if len(said) == 2:  # noqa: PLR2004 - one line for each question
        return [(Path(said[0]), Path(said[1]))]
    major = version.split(".", maxsplit=1)[0]
    return [(folder / share.format(major=major), folder / lib) for share, lib in _LAYOUTS]


def _has_extensions(share: Path, lib: Path) -> bool:
    return all(_has_extension(share / "extension" / f"{name}.control", lib) for name in EXTENSIONS)


def _has_extension(control: Path, lib: Path) -> bool:
    try:
        library = re.search(r"^module_pathname\s*=\s*'\$libdir/([^']+)'", control.read_text(), re.MULTILINE)
    except OSError:
        return False
    return library is not None and (lib / f"{library[1]}.so").is_file()


def output(program: Path | str, *arguments: str) -> str:
    """Run a program and return what it printed; nothing when it can't be run or fails."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=clean_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Give PostgreSQL's programs an environment that can't lead them astray.

    PG* names other servers, and LD_* mixes the host's libraries with the tree's.
    """
    astray = ("PG", "LD_", "LC_", "LANG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(astray)}
    return kept | {"LC_ALL": "C"}
