"""`homeops-db rehearse`: what it says, and its exit code."""

import json
import subprocess
from collections.abc import Callable

import pytest

from homeops_db.localdb import server
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


def test_a_good_end(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ended = command("--rows", "2k", "--to", "v1.1.0")
    assert ended.returncode == 0, ended.stderr
    title, *lines = ended.stdout.splitlines()
    assert title.startswith("Rehearsal on 2,000 rows, seed 1, PostgreSQL ")
    (line,) = [line for line in lines if line.startswith(" v1.1.0 ")]
    assert line.split()[-3:-1] == ["0", "0"]
    assert lines[-1].startswith("1 revision: 0 of ")
    assert lines[-1].endswith("rows compared after each, all as they should be")
    assert "\x1b" not in ended.stdout
    assert ended.stderr.splitlines()[:2] == ["filling: 2,000 rows", "v1.1.0"]


def test_a_bad_end(command: Callable[..., subprocess.CompletedProcess[str]], checkout: Checkout) -> None:
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
