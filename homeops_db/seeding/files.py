"""The seed files on disk: which ones an environment has, and in what order they run."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeops_db.errors import SeedError
from homeops_db.history import versions
from homeops_db.settings import PROJECT_ROOT, Environment

SEEDS_FOLDER: Final = PROJECT_ROOT / "seeds"
COMMON: Final = "common"

_NAME: Final = re.compile(
    r"(?P<number>\d{3,})_(?:(?P<since>v\d+\.\d+\.\d+)_)?(?:\w+\.sql|(?P<schema>\w+)\.(?P<table>\w+)\.csv)"
)
_NOT_SEEDS: Final = frozenset({"README.md"})


@dataclass(frozen=True)
class SeedFile:
    """One seed file.

    Attributes:
        number: Its place in its folder.
        since: The version of the database that it is written for; it suits all later ones too.
        table: (schema, name) of a bulk file's target, None for SQL.
    """

    path: Path
    number: int
    since: str
    table: tuple[str, str] | None

    @property
    def name(self) -> str:
        """Folder and file name: what messages show and ``migrations.seed_runs`` keeps."""
        return f"{self.path.parent.name}/{self.path.name}"

    def checksum(self) -> str:
        """Compute the sha256 of the file's bytes, in hexadecimal."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def read(environment: Environment, folder: Path = SEEDS_FOLDER) -> list[SeedFile]:
    """List the seed files of an environment in the order in which they run: ``common`` first, by number.

    Args:
        environment: Whose folder follows ``common``.
        folder: Holds ``common``, ``development``, ``staging`` and ``production``.

    Raises:
        SeedError: A folder is missing, or holds something that isn't a seed file.
    """
    return [file for name in (COMMON, environment) for file in _in_order(folder / name)]


def _in_order(folder: Path) -> list[SeedFile]:
    if not folder.is_dir():
        raise SeedError(f"There is no folder {folder}. Nothing was changed. Restore it from version control.")
    found = [_seed_file(path) for path in folder.iterdir() if path.name not in _NOT_SEEDS]
    return sorted(found, key=lambda file: (file.number, file.name))


def _seed_file(path: Path) -> SeedFile:
    match = _NAME.fullmatch(path.name)
    if match is None or not path.is_file():
        raise SeedError(
            f"{path.parent.name}/{path.name} isn't a seed file: those are called NNN_name.sql or "
            "NNN_schema.table.csv, with the version they need behind the number (NNN_vX.Y.Z_name.sql). "
            "Nothing was changed. Rename it, or move it elsewhere."
        )
    table = (match["schema"], match["table"]) if match["table"] else None
    return SeedFile(path, int(match["number"]), match["since"] or versions.FIRST, table)
