"""A server that may be stopped at will, and the databases on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homeops_db.localdb import server
from homeops_db.settings import load
from tests.faults.cases import BEFORE, CASES, SHOP
from tests.faults.runs import Ended, Kind, Order, Runs
from tests.fixtures.databases import connect
from tests.fixtures.projects import Toy
from tests.fixtures.snapshot import snapshot
from tests.fixtures.stock import BIN_15, Stock, bin_18, serving

IMPORTS = "import sqlalchemy as sa\nfrom homeops_db import online\n"


@dataclass
class Undisturbed:
    """How a case ends when nobody breaks it off, and the points that it passes."""

    points: list[str]
    end: dict[str, list[str]]

    @property
    def boundaries(self) -> list[int]:
        """The numbers of the points between which something is done: between a step and the next are only reads."""
        return [
            number
            for number, point in enumerate(self.points, start=1)
            if number == 1 or not point.endswith(": before")
        ]


@dataclass
class Bench:
    """One server, and the cases run on it."""

    version: int
    server: Stock
    runs: Runs
    folder: Path
    _undisturbed: dict[str, Undisturbed] = field(default_factory=dict)
    _templates: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def database(self, case: str) -> Iterator[str]:
        """A database in which the shop is at v1.0.0, and the case is to be v1.1.0."""
        template = self._template(case)
        with connect(self.server.url) as admin:
            admin.execute("drop database if exists run with (force)")
            # By WAL a sequence comes over with values set aside that were never logged: after a crash it
            # would give them out twice. A checkpoint, as copying files takes one, makes it log again.
            admin.execute(f"create database run template {template} strategy file_copy")
        yield self._url("run")

    def run(
        self,
        case: str,
        url: str,
        fault: Kind | None = None,
        *,
        after: int = 0,
        but_not: Sequence[str] | None = None,
    ) -> Ended:
        """Upgrade to the case's revision; after a stop, the server is started again."""
        versions, programs = str(self._versions(case)), str(self.server.programs)
        ended = self.runs.run(Order(url, versions, "v1.1.0", fault, after, but_not, programs))
        if fault == "stop" and ended.code:
            self.server.start()
        return ended

    def undisturbed(self, case: str) -> Undisturbed:
        """Run the case once, and remember."""
        if case not in self._undisturbed:
            with self.database(case) as url:
                ended = self.run(case, url)
                assert ended.code == 0, ended.said
                self._undisturbed[case] = Undisturbed(ended.points, self.state())
        return self._undisturbed[case]

    def state(self) -> dict[str, list[str]]:
        """What the database is now."""
        with connect(self.server.url.set(database="run")) as db:
            return snapshot(db)

    def prepare(self) -> None:
        """Make the shop, once."""
        with connect(self.server.url) as admin:
            admin.execute("create database shop")
        order = Order(self._url("shop"), str(self._versions(next(iter(CASES)))), "v1.0.0")
        ended = self.runs.run(order)
        assert ended.code == 0, ended.said

    def _template(self, case: str) -> str:
        """The shop, or one in which something was done before the case begins; it is made once."""
        if case not in BEFORE:
            return "shop"
        if case not in self._templates:
            name = f"shop_{len(self._templates)}"
            with connect(self.server.url) as admin:
                admin.execute(f"drop database if exists {name}")
                admin.execute(f"create database {name} template shop")
            ended = self.runs.run(Order(self._url(name), body=BEFORE[case]))
            assert ended.code == 0, ended.said
            self._templates[case] = name
        return self._templates[case]

    def _versions(self, case: str) -> Path:
        folder = self.folder / case.replace(" ", "_").replace(",", "")
        if not folder.exists():
            folder.mkdir()
            toy = Toy(folder)
            toy.add("v1.0.0", f'op.execute("""{SHOP}""")', change="major")
            path = toy.add("v1.1.0", CASES[case])
            path.write_text(
                path.read_text().replace("from alembic import op\n", f"from alembic import op\n{IMPORTS}")
            )
        return folder

    def _url(self, database: str) -> str:
        return self.server.url.set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    process = Runs()
    yield process
    process.close()


@pytest.fixture(scope="session")
def bench(
    request: pytest.FixtureRequest, runs: Runs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """A bench on PostgreSQL of the version that the test is parametrized with."""
    programs: dict[int, Callable[[], Path]] = {
        15: lambda: BIN_15,
        17: lambda: server.ensure_running(load()).bin,
        18: bin_18,
    }
    with serving(programs[request.param]()) as stock:
        made = Bench(request.param, stock, runs, tmp_path_factory.mktemp(f"versions{request.param}"))
        made.prepare()
        yield made
