"""`homeops-db seed`: what it prints and how it ends."""

import json
import sys

import pytest
from sqlalchemy.engine import URL, make_url

from homeops_db.cli import main

NOWHERE = make_url("postgresql://nobody@127.0.0.1:1/nowhere")


class Seed:
    """The command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: str, url: URL = NOWHERE) -> tuple[int, str, str]:
        self._monkeypatch.setenv("HOMEOPS_ENVIRONMENT", "production")
        self._monkeypatch.setenv("HOMEOPS_DATABASE_URL", url.render_as_string(hide_password=False))
        self._monkeypatch.setattr(sys, "argv", ["homeops-db", "seed", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        printed = self._capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Seed:
    return Seed(monkeypatch, capsys)


def test_a_run_ends_with_one_line_that_says_it(seed: Seed, first_url: URL) -> None:
    code, out, err = seed(url=first_url)
    assert (code, err) == (0, "")
    assert "common/001_system_config.sql" in out
    assert out.splitlines()[-1] == "Seeded: 221 rows in 7 files. 12 more need a later version."
    code, out, _ = seed(url=first_url)
    assert code == 0
    assert out.splitlines()[-1] == "Nothing to do: all 7 files unchanged. 12 more need a later version."
    assert "\x1b" not in out


def test_json(seed: Seed, first_url: URL) -> None:
    code, out, err = seed("--json", url=first_url)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["environment"], told["rows_changed"]) == ("production", 221)
    first = told["files"][0]
    assert (first["file"], first["rows_changed"], first["unchanged"]) == (
        "common/001_system_config.sql",
        20,
        False,
    )
    assert isinstance(first["execution_time_ms"], int)


def test_development_seeds_are_refused_in_one_line(seed: Seed) -> None:
    code, out, err = seed("--env", "development")
    assert (code, out) == (2, "")
    assert err.startswith("Development seeds are refused: HOMEOPS_ENVIRONMENT is production.")
    assert err.count("\n") == 1


def test_an_error_in_json(seed: Seed) -> None:
    code, out, err = seed("--env", "development", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out)["error"].startswith("Development seeds are refused")


def test_help_has_an_example(seed: Seed) -> None:
    code, out, _ = seed("--help")
    assert code == 0
    assert "Example: homeops-db seed" in out
