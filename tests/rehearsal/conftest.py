import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from homeops_db.history import scripts
from homeops_db.rehearsal import run, scratch
from homeops_db.settings import Settings, load
from tests.fixtures.projects import Toy


@pytest.fixture
def settings() -> Settings:
    return load(dotenv=Path("no.env"))


@pytest.fixture
def name() -> str:
    return f"{scratch.NAME}_{os.getpid()}"


@pytest.fixture
def planted(tmp_path: Path) -> Toy:
    """A history that goes on from v1.0.0."""
    folder = tmp_path / "versions"
    folder.mkdir()
    first = scripts.read()[0]
    shutil.copy(first.path, folder)
    return Toy(folder, [first.version])


@pytest.fixture
def rehearse(settings: Settings, name: str) -> Callable[..., run.Rehearsal]:
    """Rehearse to the end, in a scratch database of this process."""

    def rehearse(rows: int, **order: object) -> run.Rehearsal:
        given = run.Order(settings, rows, database=name)
        rehearsal = run.Rehearsal(replace(given, **order), lambda *_: None)
        run.rehearse(rehearsal)
        return rehearsal

    return rehearse
