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


def tell(lines: Lines, now: list[float], *reports: tuple[float, str, float, *tuple[str, ...]]) -> None:
    for moment, *report in reports:
        now[0] = moment
        lines(*report)


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


def test_the_works_own_note_takes_the_place_of_a_guess(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [(second, "fill", second / 100, f"{second}k rows, 9 to 12 s left") for second in range(20)]
    tell(Lines(lambda: now[0]), now, *reports)
    assert capsys.readouterr().err.splitlines() == ["fill", "fill: 15%, 15k rows, 9 to 12 s left"]


def test_a_wait_is_told_when_it_begins_and_when_it_ends(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    tell(
        Lines(lambda: now[0]),
        now,
        (0, "fill", 0.0, "0 rows"),
        (3, "fill", 0.1, "10 rows"),
        (4, "fill", 0.1, "waits: a standby is 312 MB behind"),
        (5, "fill", 0.1, "waits: a standby is 280 MB behind"),
        (18, "fill", 0.1, "waits: a standby is 270 MB behind"),
        (19, "fill", 0.1, "waits: a standby is 265 MB behind"),
        (20, "fill", 0.1, "10 rows"),
        (34, "fill", 0.2, "20 rows"),
        (35, "fill", 0.3, "30 rows"),
    )
    assert capsys.readouterr().err.splitlines() == [
        "fill",
        "fill: 10%, waits: a standby is 312 MB behind",
        "fill: 10%, waits: a standby is 265 MB behind",
        "fill: 10%, goes on, 10 rows",
        "fill: 30%, 30 rows",
    ]


def test_a_stage_may_begin_with_a_wait(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(
        Lines(lambda: now[0]),
        now,
        (0, "fill", 0.5, "waits: paused"),
        (1, "close", 0.0, "waits: paused"),
        (2, "close", 0.0, "1 row"),
    )
    assert capsys.readouterr().err.splitlines() == [
        "fill", "fill: 50%, waits: paused", "close", "close: 0%, waits: paused", "close: 0%, goes on, 1 row",
    ]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()  # made in the test itself: pytest puts its own stderr there when one begins
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return terminal


def drawn(terminal: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = in_a_terminal(monkeypatch)
    with progress.shown_progress() as show:
        assert terminal.getvalue() == ""
        show("index core.ix: scanning", 0.25)
        show("index core.ix: sorting", 0.5)
    shown = drawn(terminal)
    assert "index core.ix: sorting" in shown
    assert "50%" in shown
    assert re.search(r"0:00:0\d (0:0|-:--:--)", shown)  # elapsed, and left


def test_a_note_stands_below_the_bar_in_place_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = in_a_terminal(monkeypatch)
    with progress.shown_progress() as show:
        show(
            "backfill financial.transactions: filling", 0.43, "1.2M of ~3M rows, 152k rows/s, 12 to 15 s left"
        )
    *_, bar, note = [line.rstrip() for line in re.split(r"[\r\n]+", drawn(terminal)) if line.strip()]
    assert re.fullmatch(r"backfill financial.transactions: filling ━+╸?╺?━+\s+43% 0:00:0\d", bar)
    assert note == "  1.2M of ~3M rows, 152k rows/s, 12 to 15 s left"


def test_names_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = in_a_terminal(monkeypatch)
    with progress.shown_progress() as show:
        show("index core.[bold]ix", 0.5, "waits: standby [red]a is behind")
    assert "index core.[bold]ix" in drawn(terminal)
    assert "waits: standby [red]a is behind" in drawn(terminal)
