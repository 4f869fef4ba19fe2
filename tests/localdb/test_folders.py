"""Who may enter what, and which folders are never touched."""

import os
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest

from homeops_db import settings as settings_module
from homeops_db.errors import LocalServerError
from homeops_db.localdb import folders, server
from homeops_db.settings import Settings

from .conftest import query


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_servers_user_may_enter(shared: Settings) -> None:
    running = server.ensure_running(shared)
    assert mode(running.socket_folder) == 0o700
    assert mode(running.data) == 0o700
    assert mode(running.password_file) == 0o600
    assert mode(running.log) == 0o600


def test_tcp_wants_the_password(shared: Settings) -> None:
    running = server.ensure_running(shared)
    password = running.password_file.read_text().strip()
    with psycopg.connect(running.tcp, password=password) as connection:
        assert connection.execute("select inet_server_addr()::text").fetchone() == ("127.0.0.1/32",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(running.tcp, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(running.tcp, passfile="/dev/null")
    assert password not in running.tcp


def test_long_path_gets_a_short_private_socket_folder_and_destroy_removes_both(folder: Path) -> None:
    deep = folder / ("long" * 25) / "state"
    own = Settings(local_folder=deep)
    try:
        running = server.ensure_running(own)
        assert not running.socket_folder.is_relative_to(deep)
        assert folders.fits(running.socket_folder)
        assert mode(running.socket_folder) == 0o700
        assert running.socket_folder.stat().st_uid == running.data.stat().st_uid
        assert query(running, "select 1") == 1
        (deep / "notes").write_text("mine")
    finally:
        assert server.destroy(own) is True
    assert not running.socket_folder.exists()
    assert [path.name for path in deep.iterdir()] == ["notes"]
    assert server.status(own) is None


@pytest.mark.parametrize("length", [92, 93])
def test_socket_path_of_107_bytes_fits_and_one_more_does_not(length: int) -> None:
    folder = Path("/" + "x" * (length - 1))
    assert folders.fits(folder) is (len(f"{folder}/.s.PGSQL.65535") <= 107)


def test_path_that_reads_as_a_list_gets_a_short_socket_folder() -> None:
    assert folders.socket_folder(Path("/srv/a,b"), 1000).parent == Path(tempfile.gettempdir())
    assert folders.socket_folder(Path("/srv/ab"), 1000) == Path("/srv/ab/socket")


def test_socket_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "target").mkdir()
    (folder / "link").symlink_to(folder / "target")
    with pytest.raises(LocalServerError, match="belongs to another user"):
        folders.make_private(folder / "link", os.geteuid(), os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_socket_folder_of_another_user_is_refused(folder: Path) -> None:
    foreign = folder / "foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    with pytest.raises(LocalServerError, match="belongs to another user"):
        folders.make_private(foreign, 1234, 1234)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_folder_that_the_servers_user_may_not_enter(folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(LocalServerError, match=r"may not enter .*HOMEOPS_LOCAL_FOLDER"):
        server.ensure_running(Settings(local_folder=folder / "state"))


def test_destroy_refuses_a_foreign_folder(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "precious").touch()
    with pytest.raises(LocalServerError, match="Nothing was removed"):
        server.destroy(Settings(local_folder=folder))
    assert (folder / "data" / "precious").exists()


def test_start_refuses_a_folder_with_foreign_files(folder: Path) -> None:
    (folder / "precious").touch()
    with pytest.raises(LocalServerError, match=r"Nothing was changed.*HOMEOPS_LOCAL_FOLDER"):
        server.ensure_running(Settings(local_folder=folder))
    assert [path.name for path in folder.iterdir()] == ["precious"]


def test_destroy_of_nothing_is_nothing(folder: Path) -> None:
    assert server.destroy(Settings(local_folder=folder / "none")) is False


def test_folder_that_cannot_be_made_is_one_clear_line(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(LocalServerError) as error:
        server.ensure_running(Settings(local_folder=folder / "file" / "state"))
    assert "can't be written" in str(error.value)
    assert "HOMEOPS_LOCAL_FOLDER" in str(error.value)


def test_two_checkouts_have_two_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    one = folders.state_folder(Settings())
    monkeypatch.setattr(folders, "PROJECT_ROOT", Path("/elsewhere") / settings_module.PROJECT_ROOT.name)
    other = folders.state_folder(Settings())
    assert one != other
    assert one.parent == other.parent
    assert one.name[:-8] == other.name[:-8]
