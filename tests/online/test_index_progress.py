from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy.engine import URL

from homeops_db import faults, online
from homeops_db.catalog.progress import Build
from homeops_db.history.hooks import Recorder
from homeops_db.online import index_watch
from tests.fixtures.databases import connect
from tests.fixtures.waiting import until
from tests.online.columns import MOSTLY_HERE
from tests.online.conftest import revision
from tests.online.test_create_index import found, in_background

BIG = "create table t (a int, b text); insert into t select g, md5(g::text) from generate_series(1, 200000) g"


@dataclass
class Display:
    """What a command would show."""

    opened: int = 0
    told: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[Callable[[str, float], None]]:
        self.opened += 1
        yield lambda stage, fraction: self.told.append((stage, fraction))


def run_shown(url: URL, operation: Callable[..., Any], *arguments: Any, **keywords: Any) -> Display:
    return run_on(Display(), url, operation, *arguments, **keywords)


def run_on(
    display: Display, url: URL, operation: Callable[..., Any], *arguments: Any, **keywords: Any
) -> Display:
    with revision(url, homeops_recorder=Recorder({}, None, show_progress=display)):
        operation(*arguments, **keywords)
    return display


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_watch, "INTERVAL", 0.005)


def test_a_build_is_shown(db: Connection, any_url: URL) -> None:
    db.execute(BIG)
    display = run_shown(any_url, online.create_index, "ix", "t", ["b"])
    stages = list(dict.fromkeys(stage for stage, _ in display.told))
    fractions = [fraction for _, fraction in display.told]
    assert display.opened == 1
    assert "index public.ix: building index: loading tuples in tree" in stages
    assert any(stage.startswith("index public.ix: index validation: ") for stage in stages)
    assert fractions == sorted(fractions)
    assert 0.6 < fractions[-1] <= 1


@MOSTLY_HERE
def test_a_wait_is_shown(db: Connection, any_url: URL) -> None:
    db.execute("create table t (a int)")
    display = Display()
    with connect(any_url) as writer:
        writer.execute("begin; insert into t values (1)")
        with in_background(lambda: run_on(display, any_url, online.create_index, "ix", "t", ["a"])):
            until(lambda: ("index public.ix: waiting for writers before build", 0.0) in display.told)
            writer.execute("commit")
    assert found(db)["ix"][1]


@MOSTLY_HERE
def test_partitions_are_parts_of_a_whole(db: Connection, any_url: URL) -> None:
    db.execute("""
        create table p (a int, b text) partition by list (a);
        create table p1 partition of p for values in (1); create table p2 partition of p for values in (2);
        insert into p select 1 + g % 2, md5(g::text) from generate_series(1, 200000) g
    """)
    display = run_shown(any_url, online.create_index, "ix", "p", ["b"])
    fractions = [fraction for _, fraction in display.told]
    assert display.opened == 1
    assert fractions == sorted(fractions)
    assert max(f for stage, f in display.told if "of public.p1:" in stage) <= 0.51
    assert min(f for stage, f in display.told if "of public.p2:" in stage) >= 0.49


@MOSTLY_HERE
def test_a_rebuild_is_shown(db: Connection, any_url: URL) -> None:
    db.execute(BIG + "; create index ix on t (b)")
    display = run_shown(any_url, online.reindex, "ix")
    assert any("loading tuples" in stage for stage, _ in display.told)
    assert display.opened == 1


@MOSTLY_HERE
def test_a_lost_watching_connection_does_not_end_the_build(db: Connection, any_url: URL) -> None:
    db.execute("create table t (a int)")
    killed = []

    def kill(point: str) -> None:
        if point == "create_index: build: before":
            killed.extend(
                db.execute(
                    # the youngest
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                    " and backend_type = 'client backend' order by backend_start desc limit 1"
                ).fetchall()
            )

    with faults.injected(kill):
        run_shown(any_url, online.create_index, "ix", "t", ["a"])
    assert killed
    assert found(db)["ix"][1]


@MOSTLY_HERE
def test_a_display_that_breaks_does_not_end_the_build(
    db: Connection, any_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def broken() -> Iterator[Callable[[str, float], None]]:
        def show(stage: str, fraction: float) -> None:
            raise BrokenPipeError(stage)

        yield show

    db.execute(BIG)
    with revision(any_url, homeops_recorder=Recorder({}, None, show_progress=broken)):
        online.create_index("ix", "t", ["b"])
    assert "goes on unwatched" in caplog.text
    assert found(db)["ix"][1]


@pytest.mark.parametrize(
    ("phase", "blocks", "tuples", "expected"),
    [
        ("initializing", (0, 0), (0, 0), 0.0),
        ("building index: scanning table", (50, 100), (0, 0), 0.1),
        ("building index: loading tuples in tree", (0, 0), (50, 100), 0.455),
        ("building index", (50, 100), (0, 0), 0.315),
        ("building index: of another method", (50, 100), (0, 0), 0.315),
        ("index validation: scanning table", (100, 100), (0, 0), 1.0),
        ("waiting for old snapshots", (0, 0), (0, 0), 1.0),
        ("a phase of a later version", (1, 2), (0, 0), 0.0),
    ],
)
def test_how_far_a_build_is(
    phase: str, blocks: tuple[int, int], tuples: tuple[int, int], expected: float
) -> None:
    assert index_watch.fraction(Build(phase, *blocks, *tuples, "t")) == pytest.approx(expected)
