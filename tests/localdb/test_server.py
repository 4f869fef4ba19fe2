"""A server's whole life: started, found, killed, started again, stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from homeops_db.errors import LocalServerError
from homeops_db.localdb import processes, server
from homeops_db.naming import EXTENSIONS
from homeops_db.settings import PROJECT_ROOT, Settings

from .conftest import query


def family(pid: int) -> set[int]:
    """The process and its children, as the kernel tells them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid, *(int(child) for child in children)}


def wait_until_gone(pids: set[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() and _state(pid) != "Z" for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def kill_postmaster(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait_until_gone({pid})


def test_all_six_extensions_can_be_created(shared: Settings) -> None:
    running = server.ensure_running(shared)
    for name in EXTENSIONS:
        query(running, f'create extension "{name}" cascade')
    found = query(running, "select array_agg(extname::text) from pg_extension")
    assert set(EXTENSIONS) <= set(found)  # type: ignore[call-overload]
    assert query(running, "select count(*) from pg_stat_statements") is not None


def test_running_server_is_found_without_starting_a_program(
    shared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server.ensure_running(shared)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert server.ensure_running(shared) == first
    assert server.status(shared) == first


def test_url_and_libpq_lead_to_the_same_database(shared: Settings) -> None:
    running = server.ensure_running(shared)
    assert running.url.drivername == "postgresql+psycopg"
    assert running.url.username == "homeops"
    assert running.url.database == "homeops_development"
    assert running.url.query == {"host": str(running.socket_folder), "port": str(running.port)}
    assert query(running, "select current_database()") == "homeops_development"


def test_stop_leaves_no_process(shared: Settings) -> None:
    running = server.ensure_running(shared)
    assert running.pid is not None
    everyone = family(running.pid)
    assert len(everyone) > 3
    with psycopg.connect(running.libpq):
        assert server.stop(shared) is True
    assert wait_until_gone(everyone)
    stopped = server.status(shared)
    assert stopped is not None
    assert stopped.pid is None
    assert server.stop(shared) is False


def test_killed_server_starts_again_with_its_data(shared: Settings) -> None:
    first = server.ensure_running(shared)
    assert first.pid is not None
    query(first, "create table if not exists kept (n int)")
    query(first, "insert into kept values (42)")
    kill_postmaster(first.pid)
    second = server.ensure_running(shared)
    assert second.pid != first.pid
    assert query(second, "select max(n) from kept") == 42


def test_backend_that_outlives_its_killed_postmaster_is_ended(shared: Settings) -> None:
    first = server.ensure_running(shared)
    assert first.pid is not None
    connection = psycopg.connect(first.libpq, autocommit=True)
    backend = connection.info.backend_pid

    def spin() -> None:
        with connection, pytest.raises(psycopg.OperationalError):
            connection.execute("do $$ begin loop end loop; end $$")  # never looks whether its parent lives

    busy = threading.Thread(target=spin)
    busy.start()
    while query(first, f"select state from pg_stat_activity where pid = {backend}") != "active":
        time.sleep(0.005)
    kill_postmaster(first.pid)
    assert _state(backend) != "Z"
    second = server.ensure_running(shared)
    busy.join(10)
    assert wait_until_gone({backend})
    assert query(second, "select 1") == 1


def test_process_number_that_now_belongs_to_another_process(shared: Settings) -> None:
    first = server.ensure_running(shared)
    assert first.pid is not None
    everyone = family(first.pid)
    kill_postmaster(first.pid)
    assert wait_until_gone(everyone)
    owner = first.data.stat().st_uid
    with subprocess.Popen(["/bin/sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        try:
            for stale in (first.data / "postmaster.pid", first.socket_folder / f".s.PGSQL.{first.port}.lock"):
                rest = stale.read_text().partition("\n")[2]
                stale.write_text(f"{stranger.pid}\n{rest}")
            before = server.status(shared)
            second = server.ensure_running(shared)
            assert stranger.poll() is None
        finally:
            stranger.terminate()
    assert before is not None
    assert before.pid is None
    assert query(second, "select 1") == 1


def test_taken_port_is_replaced_and_the_new_one_kept(shared: Settings) -> None:
    first = server.ensure_running(shared)
    server.stop(shared)
    with socket.create_server(("127.0.0.1", first.port)):
        second = server.ensure_running(shared)
        assert second.port != first.port
    server.stop(shared)
    third = server.ensure_running(shared)
    assert third.port == second.port
    assert query(third, "show port") == str(third.port)


START = """
import sys
from pathlib import Path
from homeops_db.localdb import server
from homeops_db.settings import Settings
print(server.ensure_running(Settings(local_folder=Path(sys.argv[1]))).pid)
"""


def test_two_processes_start_it_once_and_it_outlives_them(second: Settings) -> None:
    assert second.local_folder is not None
    half = second.local_folder / "data.new"  # as an interrupted initdb leaves it
    half.mkdir(parents=True)
    (second.local_folder / "HOMEOPS-DB").touch()
    (half / "PG_VERSION").write_text("17\n")
    command = [sys.executable, "-c", START, str(second.local_folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    starters = [subprocess.Popen(command, cwd=PROJECT_ROOT, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    # Ends only when nobody holds the pipes open any more: neither may the server.
    said = [starter.communicate(timeout=60) for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0], said
    pids = {int(out) for out, _ in said}
    assert len(pids) == 1
    pid = pids.pop()
    assert os.getsid(pid) == pid  # a session of its own: Ctrl-C in a terminal doesn't reach it
    running = server.status(second)
    assert running is not None
    assert running.pid == pid
    assert not half.exists()
    assert query(running, "select 1") == 1


def test_processes_of_two_servers_are_told_apart(shared: Settings, second: Settings) -> None:
    one, other = server.ensure_running(shared), server.ensure_running(second)
    assert one.pid is not None
    assert other.pid is not None
    assert one.port != other.port
    before, found = family(one.pid), set(processes.running(one.data))
    assert before & family(one.pid) <= found  # those that lived through the look
    assert not set(processes.running(one.data)) & set(processes.running(other.data))
    server.stop(second)
    assert query(one, "select 1") == 1


def test_start_that_was_not_finished_is_done_again(shared: Settings) -> None:
    running = server.ensure_running(shared)
    (running.folder / "server.json").unlink()  # written last
    again = server.ensure_running(shared)
    assert again.pid != running.pid
    assert query(again, "select 1") == 1


def test_dropped_development_database_comes_back_at_the_next_start(shared: Settings) -> None:
    query(
        server.ensure_running(shared), "drop database homeops_development with (force)", database="postgres"
    )
    server.stop(shared)
    assert query(server.ensure_running(shared), "select current_database()") == "homeops_development"


def test_data_of_another_major_version_are_left_alone(shared: Settings) -> None:
    running = server.ensure_running(shared)
    server.stop(shared)
    version = running.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(LocalServerError, match=r"of PostgreSQL 9, and the server here is 1.*local destroy"):
        server.ensure_running(shared)
    version.write_text(f"{running.version.split('.')[0]}\n")
    assert query(server.ensure_running(shared), "select 1") == 1


def test_failed_start_shows_why_in_one_line(shared: Settings) -> None:
    running = server.ensure_running(shared)
    server.stop(shared)
    configuration = running.data / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "shared_preload_libraries = 'no_such_library'\n")
    with pytest.raises(LocalServerError) as error:
        server.ensure_running(shared)
    configuration.write_text(good)
    assert 'could not access file "no_such_library"' in str(error.value)
    assert str(running.log) in str(error.value)
    assert "\n" not in str(error.value)


def test_record_says_what_status_says(shared: Settings) -> None:
    running = server.ensure_running(shared)
    record = json.loads((running.folder / "server.json").read_text())
    assert record["port"] == running.port
    assert record["version"] == running.version
    assert query(running, "show server_version").startswith(running.version)  # type: ignore[attr-defined]
