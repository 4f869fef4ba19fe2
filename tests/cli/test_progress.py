"""Progress on stderr: lines where it is piped, a bar in a terminal."""

import io
import re
import sys

import pytest

from homeops_db.cli import progress
from homeops_db.cli.progress import Lines


@pytest.fixture
def now() -> list[float]:
    return [0.0]


def tell(lines: Lines, now: list[float], *reports: tuple[float, str, float]) -> None:
    for moment, stage, fraction in reports:
        now[0] = moment
        lines(stage, fraction)


def test_one_line_a_stage(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(Lines(lambda: now[0]), now, (0, "scan", 0.0), (1, "scan", 0.1), (2, "sort", 0.2), (14, "sort", 0.3))
    assert capsys.readouterr().err == "scan\nsort\n"


def test_a_long_stage_is_told_again_with_its_end(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [(second / 4, "scan", second / 4 / 1000) for second in range(4 * 40)]
    tell(Lines(lambda: now[0]), now, *reports)
    assert capsys.readouterr().err.splitlines() == [
        "scan",
        "scan: 2%, about 16 min left",  # 15 of 1000 s
        "scan: 3%, about 16 min left",
    ]


def test_other_work_begins_anew(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(Lines(lambda: now[0]), now, (0, "a", 0.0), (100, "a", 1.0), (1000, "b", 0.0), (1020, "b", 0.5))
    assert capsys.readouterr().err.splitlines() == ["a", "a: 100%", "b", "b: 50%, about 20 s left"]


def test_nothing_done_promises_nothing(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(Lines(lambda: now[0]), now, (0, "wait", 0.0), (20, "wait", 0.0))
    assert capsys.readouterr().err.splitlines() == ["wait", "wait: 0%"]


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.shown_progress() as show:
        assert terminal.getvalue() == ""
        show("index core.ix: scanning", 0.25)
        show("index core.ix: sorting", 0.5)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "index core.ix: sorting" in shown
    assert "50%" in shown
    assert re.search(r"0:00:0\d (0:0|-:--:--)", shown)  # elapsed, and left
