"""`homeops-db local`: what is printed, and the exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homeops_db.cli.local import app, shown_progress
from homeops_db.errors import LocalServerError
from homeops_db.localdb import server
from homeops_db.settings import PROJECT_ROOT, Settings

RUN = [sys.executable, "-c", "from homeops_db.cli.local import app; app()"]


@pytest.fixture
def environment(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOPS_LOCAL_FOLDER", str(shared.local_folder))
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGDATABASE", "another")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.mark.usefixtures("environment")
def test_start_shows_stages_on_stderr_and_the_place_on_stdout(shared: Settings) -> None:
    server.ensure_running(shared)
    server.stop(shared)
    done = run("start")
    assert done.returncode == 0, done.stderr
    running = server.status(shared)
    assert running is not None
    assert running.libpq in done.stdout
    assert done.stderr == f"Starting PostgreSQL {running.version}\n"


@pytest.mark.usefixtures("environment")
def test_status_as_json(shared: Settings) -> None:
    running = server.ensure_running(shared)
    done = CliRunner().invoke(app, ["status", "--json"])
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["running"] is True
    assert said["pid"] == running.pid
    assert said["url"] == running.libpq
    assert said["data_folder"] == str(running.data)
    assert running.password_file.read_text().strip() not in done.stdout
    server.stop(shared)
    done = CliRunner().invoke(app, ["status", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout) | {"running": True, "pid": running.pid} == said


def test_status_where_there_never_was_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOPS_LOCAL_FOLDER", str(folder / "none"))
    done = CliRunner().invoke(app, ["status"])
    assert (done.exit_code, done.stdout) == (1, "never started\n")
    assert json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)["running"] is False


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("arguments", [["-Atc"], ["--", "-Atc"]])
def test_psql_takes_all_further_arguments(arguments: list[str]) -> None:
    done = run("psql", *arguments, "select current_database(), 'a b'")
    assert done.stdout == "homeops_development|a b\n", done.stderr


@pytest.mark.usefixtures("environment")
def test_psql_takes_another_database() -> None:
    assert run("psql", "-Atc", "select current_database()", "postgres").stdout == "postgres\n"


@pytest.mark.usefixtures("environment")
def test_stop_says_whether_it_ran(shared: Settings) -> None:
    server.ensure_running(shared)
    assert CliRunner().invoke(app, ["stop"]).stdout == "stopped\n"
    assert CliRunner().invoke(app, ["stop"]).stdout == "it was not running\n"


def test_destroy_without_a_terminal_wants_yes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder / "state" / "data"
    data.mkdir(parents=True)
    (folder / "state" / "HOMEOPS-DB").touch()
    monkeypatch.setenv("HOMEOPS_LOCAL_FOLDER", str(folder / "state"))
    done = CliRunner().invoke(app, ["destroy"], input="y\n")
    assert isinstance(done.exception, LocalServerError)
    assert "--yes" in str(done.exception)
    assert data.exists()
    assert CliRunner().invoke(app, ["destroy", "--yes"]).stdout == f"removed {folder / 'state'}\n"
    assert not (folder / "state").exists()
    assert CliRunner().invoke(app, ["destroy", "--yes"]).stdout == "there was none\n"


def test_terminal_gets_a_bar_and_only_when_there_is_work() -> None:
    program = (
        "import sys\n"
        "from homeops_db.cli.local import shown_progress\n"
        "with shown_progress() as progress:\n"
        "    loaded = 'rich.progress' in sys.modules\n"
        "    progress('Downloading', 0.5)\n"
        "print(loaded, 'rich.progress' in sys.modules)\n"
    )
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=True,
        env=environment,
    )
    os.close(theirs)
    drawn = os.read(ours, 10000).decode()
    os.close(ours)
    assert done.stdout == "False True\n"
    assert "Downloading" in drawn


def test_lines_name_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        for stage, fraction in (("a", 0.0), ("a", 0.7), ("b", 0.0)):
            progress(stage, fraction)
    assert capsys.readouterr().err == "a\nb\n"
