"""Where the server's programs come from: the machine, the cache, the archive; and what is never taken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homeops_db.errors import LocalServerError
from homeops_db.localdb import machine, recipe
from homeops_db.localdb.folders import cache_folder
from homeops_db.localdb.installation import PROGRAMS, inspect
from homeops_db.localdb.packages import STAMP, cached, find_or_fetch, tree_of
from homeops_db.localdb.unavailable import ADVICE
from homeops_db.naming import EXTENSIONS
from homeops_db.settings import PROJECT_ROOT, Settings


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def fake_server(root: Path, version: str) -> Path:
    """Lay out a server as Debian's packages do, with all six extensions."""
    major = version.partition(".")[0]
    folder = root / f"usr/lib/postgresql/{major}/bin"
    share = root / f"usr/share/postgresql/{major}/extension"
    for program in PROGRAMS:
        script(folder / program, f"echo '{program} (PostgreSQL) {version} (Debian)'")
    share.mkdir(parents=True)
    (folder.parent / "lib").mkdir()
    for name in EXTENSIONS:
        (share / f"{name}.control").write_text(f"comment = 'x'\nmodule_pathname = '$libdir/{name}-1'\n")
        (folder.parent / "lib" / f"{name}-1.so").touch()
    return folder


@pytest.fixture
def no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH that holds nothing; programs can be put there."""
    empty = tmp_path / "path"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    return empty


def test_newest_complete_server_is_preferred(tmp_path: Path, no_path: Path) -> None:
    old, new = fake_server(tmp_path, "16.10"), fake_server(tmp_path, "17.9")
    assert [found.bin for found in machine.installations(tmp_path)] == [new, old]
    assert machine.installations(tmp_path)[0].major == 17


@pytest.mark.parametrize("name", EXTENSIONS)
def test_server_without_one_control_file_is_refused(tmp_path: Path, no_path: Path, name: str) -> None:
    folder = fake_server(tmp_path, "17.9")
    assert inspect(folder, "here") is not None
    (tmp_path / f"usr/share/postgresql/17/extension/{name}.control").unlink()
    assert inspect(folder, "here") is None
    assert machine.installations(tmp_path) == []


def test_server_without_one_library_is_refused(tmp_path: Path, no_path: Path) -> None:
    folder = fake_server(tmp_path, "17.9")
    (folder.parent / "lib" / "timescaledb-1.so").unlink()
    assert inspect(folder, "here") is None


def test_client_without_server_is_refused(tmp_path: Path, no_path: Path) -> None:
    folder = fake_server(tmp_path, "17.9")
    (folder / "initdb").unlink()
    assert inspect(folder, "here") is None


@pytest.mark.parametrize("version", ["14.19", "19beta1", "9.6.24"])
def test_server_of_an_untried_version_is_refused(tmp_path: Path, no_path: Path, version: str) -> None:
    assert inspect(fake_server(tmp_path, version), "here") is None


def test_pg_config_says_where_the_extensions_are(tmp_path: Path, no_path: Path) -> None:
    folder = fake_server(tmp_path, "17.9")
    (tmp_path / "usr/share/postgresql/17").rename(tmp_path / "share")
    assert inspect(folder, "here") is None
    script(folder / "pg_config", f"echo {tmp_path}/share; echo {folder.parent}/lib")
    assert inspect(folder, "here") is not None


@pytest.mark.parametrize("program", ["postgres", "pg_config"])
def test_server_on_path_beats_the_cache(tmp_path: Path, no_path: Path, program: str) -> None:
    folder = fake_server(tmp_path, "18.3")
    if program == "postgres":
        (no_path / "postgres").symlink_to(folder / "postgres")
    else:
        script(no_path / "pg_config", f"echo {folder}")
    assert find_or_fetch(Settings()).bin == folder


def test_server_of_the_datas_version_beats_a_newer_one(tmp_path: Path, no_path: Path) -> None:
    older, newer = fake_server(tmp_path, "16.10"), fake_server(tmp_path, "18.3")
    (no_path / "postgres").symlink_to(newer / "postgres")
    script(no_path / "pg_config", f"echo {older}")
    assert find_or_fetch(Settings(), major=16).bin == older
    assert find_or_fetch(Settings(), major=18).bin == newer


STOCK = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(not STOCK.exists(), reason="no stock PostgreSQL 15 on this machine")
def test_stock_server_without_timescaledb_is_not_chosen() -> None:
    if not (STOCK / "../../../../share/postgresql/15/extension/timescaledb.control").exists():
        assert inspect(STOCK, "here") is None


def empty_cache(folder: Path) -> Settings:
    return Settings(cache_folder=folder / "cache")


def refusal(settings: Settings) -> str:
    with pytest.raises(LocalServerError) as error:
        find_or_fetch(settings)
    assert str(error.value).endswith(ADVICE)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_machine_without_apt(folder: Path, no_path: Path) -> None:
    assert "apt-get is not on PATH" in refusal(empty_cache(folder))
    assert not (folder / "cache").exists()


def test_machine_of_another_architecture(folder: Path, no_path: Path) -> None:
    for tool in ("apt-get", "dpkg-deb", "tar"):
        script(no_path / tool, "exit 1")
    script(no_path / "dpkg", "echo riscv64")
    assert "amd64 and arm64, and this machine is riscv64" in refusal(empty_cache(folder))


needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get on this machine")


@needs_apt
def test_archive_that_does_not_answer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("apt-get")
    answer = "echo http://127.0.0.1:9/archive/ bookworm main"
    script(
        tmp_path / "apt-get", f'[ "$1" = indextargets ] && {answer} || exec {real} "$@" -o Acquire::Retries=0'
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "PATTERNS", ())
    assert "apt-get update failed: " in refusal(empty_cache(folder))
    with pytest.raises(LocalServerError):  # and what the failed download left is no download
        find_or_fetch(empty_cache(folder))


@pytest.fixture
def finished() -> Path:
    """The default cache's unpacked packages."""
    if find_or_fetch(Settings()).bin.is_relative_to("/usr"):
        pytest.skip("this machine has a server of its own")
    return tree_of(cache_folder(Settings()))


@pytest.fixture
def stamped(finished: Path, folder: Path) -> Path:
    """A cache whose tree is finished; its files are links to the default cache's."""
    tree = tree_of(folder / "cache")
    tree.mkdir(parents=True)
    (tree / "usr").symlink_to(finished / "usr")
    stamp = json.loads((finished / STAMP).read_text()) | {"folder": str(tree)}
    (tree / STAMP).write_text(json.dumps(stamp))
    return tree


def test_stamped_tree_is_taken(stamped: Path) -> None:
    found = cached(stamped.parent)
    assert found is not None
    assert found.bin == stamped / recipe.BIN
    assert found.pgbouncer == stamped / recipe.PGBOUNCER
    assert "postgresql-17-timescaledb 2." in found.source


@pytest.mark.parametrize(
    "stamp", [None, "", "{", "[]", '{"recipe": 1}', {"recipe": "other"}, {"folder": "/moved/away"}]
)
def test_tree_without_a_valid_stamp_is_not_taken(stamped: Path, stamp: str | dict[str, str] | None) -> None:
    path = stamped / STAMP
    match stamp:
        case None:
            path.unlink()
        case dict():
            path.write_text(json.dumps(json.loads(path.read_text()) | stamp))
        case _:
            path.write_text(stamp)
    assert cached(stamped.parent) is None


def test_pooler_of_the_packages_runs(finished: Path) -> None:
    done = subprocess.run(
        [finished / recipe.PGBOUNCER, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("PgBouncer 1.")


FETCH = """
import os, sys
from pathlib import Path
os.umask(0o077)
from homeops_db.localdb import machine
from homeops_db.localdb.packages import find_or_fetch
from homeops_db.settings import Settings
machine.PATTERNS = ()
told = []
def tell(stage, _):
    if told[-1:] != [stage]:
        told.append(stage)
        print(stage.split()[0], flush=True)
print(find_or_fetch(Settings(cache_folder=Path(sys.argv[1])), tell).bin)
"""


def fetching(cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(cache)]
    return subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_while_unpacking(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    told = [line for line in iter(process.stdout.readline, "Unpacking\n") if line]
    if told != ["Reading\n", "Downloading\n"]:
        error = process.communicate()[1]
        assert "apt-get update failed" in error, error
        pytest.skip("the Debian archive can't be reached")
    process.kill()
    process.communicate()


@pytest.mark.slow
@needs_apt
def test_half_finished_work_is_done_again_and_by_one_of_two_processes(folder: Path) -> None:
    cache = folder / "cache"
    tree = tree_of(cache)
    kill_while_unpacking(fetching(cache))
    assert cached(cache) is None
    [truncated] = (cache / "downloading" / "debs").glob("libc6_*.deb")
    os.truncate(truncated, 1000)
    [damaged] = (cache / "downloading" / "debs").glob("libpq5_*.deb")
    damaged.write_bytes(bytes(damaged.stat().st_size))
    (tree / recipe.BIN).mkdir(parents=True)  # renamed, but never stamped
    both = [fetching(cache) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out.split()[:-1] for out, _ in said) == [
        ["Reading", "Downloading", "Unpacking"],
        ["Waiting"],
    ]
    assert {out.split()[-1] for out, _ in said} == {str(tree / recipe.BIN)}
    assert cached(cache) is not None
    assert sorted(path.name for path in cache.iterdir()) == ["HOMEOPS-DB", "lock", tree.name]
    made = [path for path in (tree, *tree.rglob("*")) if not path.is_symlink()]
    closed = [path for path in made if not path.stat().st_mode & 0o004]
    assert closed == []  # the server's user reads them although root's umask was strict
