"""The project's own history, killed on its way up and down: the same command again ends as if nothing had been."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from homeops_db.history import scripts
from homeops_db.history.versions import FIRST
from homeops_db.localdb import server
from homeops_db.rehearsal import fill, sizes
from homeops_db.settings import load
from tests.faults.runs import Order, Runs
from tests.fixtures.databases import connect
from tests.history import catalog_laws
from tests.history.dumps import differences
from tests.history.rows import lost, rows
from tests.history.walk import dump

Way = Literal["up", "down"]
ROWS = 4000
TARGETS = {"up": "head", "down": FIRST}


@dataclass
class Undisturbed:
    """One way, as it is when nobody disturbs it: where it begins, where it ends, and the points in between."""

    begin: str
    end: str
    points: list[str]

    @property
    def committed(self) -> list[str]:
        """Points behind which something is committed that no version says yet: one of each operation and version."""
        ends = (": done", ": before the commit")
        found = {p.split(":")[0]: p for p in self.points if p.endswith(ends) or p.startswith("restructure")}
        return list(found.values())


@dataclass
class History:
    """Databases with generated rows, at the first version and at the last."""

    server: URL
    runs: Runs
    ways: dict[Way, Undisturbed]

    @contextmanager
    def copy(self, name: str) -> Iterator[URL]:
        """Copy a database."""
        copied = f"{name}_killed"
        with _made(self.server, copied, name) as url:
            yield url

    def run(self, url: URL, way: Way, but_not: list[str] | None = None) -> tuple[int, list[str], str]:
        """Go all the way; killed at the first point that isn't among ``but_not``."""
        order = Order(
            url.render_as_string(hide_password=False),
            str(scripts.VERSIONS_FOLDER),
            TARGETS[way],
            None if but_not is None else "kill",
            but_not=but_not,
            way=way,
            with_commits=True,
        )
        ended = self.runs.run(order)
        return ended.code, ended.points, ended.said


@pytest.fixture(scope="module")
def history(runs: Runs) -> Iterator[History]:
    home = server.ensure_running(load()).url
    made = History(home, runs, {})
    first, last, back = (f"tests_{os.getpid()}_{name}" for name in ("first", "last", "back"))
    with ExitStack() as stack:
        url = stack.enter_context(_made(home, first, "template0"))
        order = Order(url.render_as_string(hide_password=False), str(scripts.VERSIONS_FOLDER), FIRST)
        ended = runs.run(order)
        assert ended.code == 0, ended.said
        with closing(connect(url)) as db:
            fill.fill(db, sizes.sizes(ROWS), seed=1, show=lambda *_: None)
        ways: tuple[tuple[Way, str, str], ...] = (("up", first, last), ("down", last, back))
        for way, begin, end in ways:
            url = stack.enter_context(_made(home, end, begin))
            code, points, said = made.run(url, way)
            assert code == 0, said
            made.ways[way] = Undisturbed(begin, end, points)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("way", ["up", "down"])
def test_killed_again_and_again_it_gets_there(history: History, way: Way) -> None:
    """In one database: each run is killed at the first point that no run before it was killed at."""
    expected = history.ways[way]
    wanted = expected.committed
    hit: list[str] = []
    with history.copy(expected.begin) as url:
        while True:
            passed_by = [point for point in expected.points if point not in wanted]
            code, points, said = history.run(url, way, [*passed_by, *hit])
            if code == 0:
                break
            fresh = [point for point in points if point not in passed_by and point not in hit]
            assert fresh, f"after {hit[-1:]} it failed by itself: {said}"
            hit.append(fresh[0])
        assert set(wanted) <= set(hit)
        assert differences(dump(history.server.set(database=expected.end)), dump(url)) == ""
        with (
            closing(connect(history.server.set(database=expected.begin))) as begin,
            closing(connect(url)) as db,
        ):
            assert lost(rows(begin), rows(db)) == []
            assert catalog_laws.unfinished(db) == catalog_laws.left(db) == []
            assert catalog_laws.unproven(db) == []


@contextmanager
def _made(home: URL, name: str, template: str) -> Iterator[URL]:
    named, copied = sql.Identifier(name), sql.Identifier(template)
    with connect(home) as admin:
        # Files are copied as they are: see Bench.database().
        admin.execute(sql.SQL("create database {} template {} strategy file_copy").format(named, copied))
        try:
            yield home.set(database=name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(named))
