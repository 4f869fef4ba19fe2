"""Which archive is downloaded from: the machine's own, in either of apt's formats."""

import shutil
from pathlib import Path

import pytest

from homeops_db.errors import LocalServerError
from homeops_db.localdb import mirror

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get on this machine")

SOURCES = """\
Types: deb
URIs: http://third.example/archive
Suites: bookworm-extras
Components: main

Types: deb deb-src
URIs: http://first.example/archive http://second.example/archive
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://first.example/security
Suites: bookworm-security
Components: main
"""
LIST = """\
# deb http://commented.example/archive bookworm main
deb [arch=amd64,arm64] http://listed.example/archive trixie main non-free
deb http://vendor.example/archive trixie stable
"""


def test_debian_archives_are_found_in_both_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.list").write_text(LIST)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "debian.sources").write_text(SOURCES)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    names = ("listed", "first", "second")
    assert mirror.archives() == [f"http://{name}.example/archive/" for name in names]


def test_machine_without_a_debian_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt.conf").write_text(
        'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(LocalServerError, match="apt sources name no Debian archive"):
        mirror.archives()
