"""Download Debian packages with the machine's apt, in a state of our own: nothing is installed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeops_db.errors import LocalServerError
from homeops_db.localdb import apt, mirror, recipe
from homeops_db.localdb.progress import Progress
from homeops_db.localdb.unavailable import unavailable

_SOURCE: Final = """\
Types: deb
URIs: {archive}
Suites: {suite}
Components: main
Architectures: {architecture}
Targets: Packages
Signed-By: {keyring}
"""


@dataclass(frozen=True)
class Package:
    """One downloaded package file, verified against Debian's signed index."""

    name: str
    version: str
    file: Path


def fetch(work: Path, architecture: recipe.Architecture, progress: Progress) -> list[Package]:
    """Download the recipe's packages; a re-run takes what is there already and whole.

    Args:
        work: A folder of ours for apt's state and the package files.
        architecture: Whose packages.
        progress: Told what apt tells.

    Raises:
        LocalServerError: No archive answers with a good signature, or a package is missing or damaged.
    """
    apt.configure(work)
    _read_index(work, architecture, progress)
    expected = _expected(work)
    for file, digest in expected.items():
        if file.exists() and not _is(file, digest):
            file.unlink()
    stage = f"Downloading PostgreSQL {recipe.MAJOR} and its extensions"
    apt.run(work, ["download", *recipe.PACKAGES], cwd=work / "debs", progress=progress, stage=stage)
    for file, digest in expected.items():
        if not _is(file, digest):
            raise unavailable(f"{file.name} was downloaded damaged; run the command again")
    packages = [Package(file.name.split("_")[0], file.name.split("_")[1], file) for file in expected]
    if missing := set(recipe.PACKAGES) - {package.name for package in packages}:
        raise unavailable(f"Debian {recipe.SUITE} has no {', '.join(sorted(missing))} here")
    return packages


def _read_index(work: Path, architecture: recipe.Architecture, progress: Progress) -> None:
    """Read the package index of the first archive whose signature Debian's keyring knows."""
    stage = f"Reading the package index of Debian {recipe.SUITE}"
    failed: LocalServerError | None = None
    for archive in mirror.archives():
        (work / "debian.sources").write_text(
            _SOURCE.format(
                archive=archive, suite=recipe.SUITE, architecture=architecture.name, keyring=mirror.keyring()
            )
        )
        try:
            apt.run(work, ["update"], cwd=work, progress=progress, stage=stage)
        except LocalServerError as error:
            failed = failed or error
        else:
            return
    assert failed is not None
    raise failed


def _expected(work: Path) -> dict[Path, str]:
    """Ask for the package files and their hashes from the signed index."""
    # Asked from another folder: files that are there already would be left out of the answer.
    lines = apt.run(work, ["download", "--print-uris", *recipe.PACKAGES], cwd=work).splitlines()
    rows = [line.split() for line in lines if line.startswith("'")]
    return {work / "debs" / row[1]: row[3] for row in rows}


def _is(file: Path, digest: str) -> bool:
    algorithm, _, value = digest.partition(":")
    if algorithm not in {"SHA256", "SHA512"} or not file.exists():
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm.lower()).hexdigest() == value
