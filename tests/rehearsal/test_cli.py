"""`homeops-db rehearse`: what it says, and its exit code."""

import io
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from homeops_db.cli.main import app
from homeops_db.cli.rehearse_shown import listed
from homeops_db.localdb import server
from homeops_db.rehearsal import run
from homeops_db.rehearsal.observer import Held
from homeops_db.rehearsal.run import Result
from homeops_db.rehearsal.worker import Request
from homeops_db.settings import Settings
from tests.fixtures.projects import Checkout, Toy


@pytest.fixture
def command(
    checkout: Checkout, settings: Settings, name: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        local = str(server.ensure_running(settings).folder)
        return checkout.run(
            *("homeops-db", "rehearse", "--database", name, *words),
            check=False,
            HOMEOPS_LOCAL_FOLDER=local,
            **environment,
        )

    return command


GOOD = Result(
    "v1.1.0",
    "Something new",
    1.25,
    [Held("core.users", "ACCESS EXCLUSIVE", 12.3), Held("core.sessions", "ROW EXCLUSIVE", 900.0)],
    Request(45.6, "spend"),
    1234,
    Counter(),
    Counter({"balance": 2}),
    20_000,
    [],
)
BAD = replace(
    GOOD, failed=Counter({"void: no (SQLSTATE XX000)": 3}), wrong=["core.users: 1 row lost (ffffffff)"]
)


@pytest.mark.parametrize(
    ("result", "code", "line", "last"),
    [
        (
            GOOD,
            0,
            "v1.1.0 1.2 s 46 ms spend 1,234 0 2 20,000",
            "1 revision: 0 of 1,234 requests failed, 2 repeated once; 20,000 rows compared after each, all as they should be",
        ),
        (
            BAD,
            1,
            "v1.1.0 1.2 s 46 ms spend 1,234 3 2 20,000",
            "1 revision: 3 of 1,234 requests failed, 2 repeated once; 20,000 rows compared after each, 1 finding",
        ),
    ],
    ids=["good", "bad"],
)
def test_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, result: Result, code: int, line: str, last: str
) -> None:
    monkeypatch.setattr(run, "rehearse", lambda rehearsal, **_: rehearsal.results.append(result))
    ended = CliRunner().invoke(app, ["rehearse", "--rows", "2k"])
    assert ended.exit_code == code
    shown = [" ".join(one.split()) for one in ended.output.splitlines()]
    assert shown[0].startswith("Rehearsal on 2,000 rows, seed 1, PostgreSQL")
    assert line in shown
    assert "v1.1.0 core.users ACCESS EXCLUSIVE 12 ms" in shown
    assert not any("ROW EXCLUSIVE" in one for one in shown)
    assert shown[-1] == last
    assert "v1.1.0: balance was repeated 2 times, as docs/type-change.md has it" in shown
    assert ("v1.1.0: 3 times: void: no (SQLSTATE XX000)" in shown) is bool(result.failed)
    assert ("v1.1.0: core.users: 1 row lost (ffffffff)" in shown) is bool(result.wrong)


def test_harm_is_red(settings: Settings) -> None:
    rehearsal = run.Rehearsal(run.Order(settings, 2000), lambda *_: None, results=[GOOD, BAD])
    shown = io.StringIO()
    Console(file=shown, force_terminal=True, color_system="standard", width=200).print(listed(rehearsal))
    good, bad = (line for line in shown.getvalue().splitlines() if "v1.1.0" in line)
    assert "\x1b[32mv1.1.0" in good
    assert "\x1b[31m" not in good
    assert "\x1b[31mv1.1.0" in bad


def test_a_whole_run(command: Callable[..., subprocess.CompletedProcess[str]], checkout: Checkout) -> None:
    versions = checkout.root / "alembic" / "versions"
    for path in sorted(versions.glob("*.py"))[1:]:
        path.unlink()
    history = Toy(versions, ["v1.0.0"])
    history.add("v1.1.0", "op.execute('delete from core.sessions')")
    ended = command("--rows", "2k", "--json")
    assert ended.returncode == 1, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["ok"], found["failed"], found["rows"], found["seed"], found["to"]) == (
        False,
        0,
        2000,
        1,
        "head",
    )
    (revision,) = found["revisions"]
    assert revision["version"] == "v1.1.0"
    assert revision["wrong"] == ["core.sessions: 0 generated rows instead of 20"]
    assert revision["worst"].keys() == {"ms", "kind"}
    assert {lock["table"] for lock in revision["locks"]} <= {"core.sessions"}


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (
            (),
            {"HOMEOPS_DATABASE_URL": "postgresql://homeops@localhost/homeops"},
            "HOMEOPS_DATABASE_URL is set",
        ),
        (("--rows", "many"), {}, "'many' is no number of rows"),
        (("--to", "v9.9.9"), {}, "v9.9.9 is neither head nor a version on disk"),
    ],
    ids=["a URL", "rows", "to"],
)
def test_what_is_refused(
    command: Callable[..., subprocess.CompletedProcess[str]],
    words: tuple[str, ...],
    environment: dict[str, str],
    said: str,
) -> None:
    ended = command(*words, **environment)
    assert ended.returncode == 2
    assert ended.stderr.startswith(said)
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
