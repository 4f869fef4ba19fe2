"""Write a backup: pg_dump's directory format, a manifest of every file, and a look by pg_restore.

A backup counts as one when its folder has its final name: until then it is called ``….partial``.
"""

import hashlib
import json
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL

from homeops_db.backup import tools
from homeops_db.errors import BackupError
from homeops_db.urls import masked

MANIFEST: Final = "manifest.json"
MANIFEST_SUM: Final = "manifest.json.sha256"
PARTIAL: Final = ".partial"
_JOBS: Final = 2
_LOCK_WAIT: Final = "60s"


@dataclass(frozen=True)
class Manifest:
    """What is in a backup: where it came from, and each file's size in bytes and sha256."""

    database: str
    server: str
    server_version: str
    version: str | None
    taken_at: str
    pg_dump: str
    entries: int
    files: dict[str, dict[str, Any]]


def create(
    url: URL, folder: Path, *, bin_folder: Path, server_version: str, version: str | None, application: str
) -> Path:
    """Back up a database into a new folder, and check it with ``pg_restore --list``.

    pg_dump holds ACCESS SHARE on every table until it ends: reads and writes go on, DDL waits. It waits
    a minute at most for its own locks. What a killed backup of the same database left is removed: only
    the holder of the migration lock may call this.

    Args:
        url: The database.
        folder: Where backups are kept; made, with mode 0700, when missing.
        bin_folder: Where pg_dump and pg_restore are; not older than the server.
        server_version: The server's own version, for the manifest.
        version: The schema's version, for the name and the manifest.
        application: The application_name of pg_dump's connections, by which the next run ends them
            should this one die.

    Returns:
        The backup's folder. It is never an existing one.

    Raises:
        BackupError: pg_dump or pg_restore failed, or the folder can't be written. What was written
            is removed.
    """
    taken_at = datetime.now(UTC)
    prefix = _prefix(url)
    final = folder / f"{prefix}{version or 'empty'}-{taken_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    partial = final.with_name(final.name + PARTIAL)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob(f"{prefix}*{PARTIAL}"):
            shutil.rmtree(left)
        partial.mkdir(mode=0o700)
        data = partial / "data"
        tools.run(
            bin_folder / "pg_dump",
            [
                "--format=directory",
                f"--jobs={_JOBS}",
                f"--lock-wait-timeout={_LOCK_WAIT}",
                f"--file={data}",
            ],
            url=url,
            application=application,
        )
        manifest = Manifest(
            database=url.database or "",
            server=masked(url),
            server_version=server_version,
            version=version,
            taken_at=taken_at.isoformat(),
            pg_dump=tools.run(bin_folder / "pg_dump", ["--version"]).strip(),
            entries=_entries(data, bin_folder),
            files={path.name: _fingerprint(path) for path in sorted(data.iterdir())},
        )
        _write_manifest(partial, manifest)
        partial.rename(final)
    except OSError as error:
        raise BackupError(
            f"The backup can't be written to {folder}: {error.strerror}. Nothing was changed."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def verify(backup: Path, *, bin_folder: Path) -> Manifest:
    """Check a backup: the manifest's own sum, every file's sum, and that pg_restore can list it.

    Raises:
        BackupError: Something is missing, changed, or unreadable; the text names the file.
    """
    try:
        text = (backup / MANIFEST).read_text(encoding="utf-8")
        recorded = (backup / MANIFEST_SUM).read_text(encoding="utf-8").split()[0]
    except OSError as error:
        raise BackupError(f"{backup} is no backup: {error.filename} can't be read.") from None
    if hashlib.sha256(text.encode()).hexdigest() != recorded:
        raise BackupError(f"{backup / MANIFEST} was changed after the backup was taken. Use another backup.")
    manifest = Manifest(**json.loads(text))
    found = {path.name: _fingerprint(path) for path in sorted((backup / "data").iterdir())}
    for name in sorted(manifest.files.keys() | found.keys()):
        if manifest.files.get(name) != found.get(name):
            raise BackupError(
                f"{backup / 'data' / name} isn't as it was when the backup was taken. Use another backup."
            )
    if _entries(backup / "data", bin_folder) != manifest.entries:
        raise BackupError(
            f"pg_restore lists other entries in {backup} than when it was taken. Use another backup."
        )
    return manifest


def _prefix(url: URL) -> str:
    """Begin a folder's name with the database's, without what could lead out of the folder."""
    return re.sub(r"[^\w.-]", "_", url.database or "").lstrip(".") + "-"


def _entries(data: Path, bin_folder: Path) -> int:
    listed = tools.run(bin_folder / "pg_restore", ["--list", str(data)])
    return sum(1 for line in listed.splitlines() if line and not line.startswith(";"))


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST_SUM).write_text(f"{digest}  {MANIFEST}\n", encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
