"""The laws of history that every revision obeys, by its version: seen on one walk up, down and up again."""

import pytest

from homeops_db.history import scripts
from tests.history import sent
from tests.history.conftest import made_database, once
from tests.history.stairs import Stairs, Step, climb, landings
from tests.history.walk import Note, walk

VERSIONS = [revision.version for revision in scripts.read()]
by_version = pytest.mark.parametrize("version", VERSIONS)
by_landing = pytest.mark.parametrize("version", landings())


def _walked() -> list[Note]:
    with made_database("walk") as url:
        return walk(url)


def _climbed() -> Stairs:
    with made_database("stairs") as url:
        return climb(url)


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> list[Note]:
    return once(tmp_path_factory, "walked", _walked)


@pytest.fixture(scope="session")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Stairs:
    return once(tmp_path_factory, "climbed", _climbed)


@pytest.fixture
def note(walked: list[Note], version: str) -> Note:
    (found,) = (note for note in walked if note.version == version)
    assert not found.error, found.error
    return found


@pytest.fixture
def step(climbed: Stairs, version: str) -> Step:
    (found,) = (step for step in climbed.steps if step.version == version)
    assert not found.error, found.error
    return found


@by_version
def test_what_drops_or_narrows_is_major(note: Note) -> None:
    assert note.change == "major" or note.narrowed == []


@by_version
def test_the_way_down_leads_to_the_schema_of_the_version_below(note: Note) -> None:
    assert not note.below, note.below


@by_version
def test_the_second_way_up_leads_to_the_same_schema(note: Note) -> None:
    assert not note.again, note.again


@by_version
@pytest.mark.parametrize("way", ["up", "down", "up again"])
def test_every_row_survives(note: Note, way: str) -> None:
    assert note.lost.get(way, []) == []


@by_version
def test_the_versions_own_application_works(note: Note) -> None:
    assert note.own == []
    assert note.written == []


@by_version
def test_the_application_sql_writes_to_every_new_table(note: Note) -> None:
    assert note.unwritten == []


@by_version
def test_the_applications_of_all_older_versions_go_on_working(note: Note) -> None:
    assert note.change == "major" or note.broken == []


@by_version
def test_sessions_that_prepared_their_statements_before_go_on_working(note: Note) -> None:
    assert note.change == "major" or note.prepared == []


def test_a_changed_type_asks_prepared_statements_to_be_repeated_once(walked: list[Note]) -> None:
    asked = {note.version for note in walked if any("financial.transactions" in s for s in note.repeated)}
    assert "v1.5.0" in asked
    assert "v1.4.0" not in asked


@by_version
def test_every_foreign_key_is_indexed(note: Note) -> None:
    assert note.unindexed == []


@by_version
def test_no_index_is_invalid(note: Note) -> None:
    assert note.unfinished == []


def test_at_the_head_every_constraint_is_proven(walked: list[Note]) -> None:
    assert not walked[-1].error
    assert walked[-1].unproven == []
    assert any(note.unproven for note in walked)


def test_at_the_head_nothing_is_left_of_a_type_change_or_a_restructure(walked: list[Note]) -> None:
    assert not walked[-1].error
    assert walked[-1].left == []
    assert any(note.left for note in walked)


@by_landing
def test_without_timescaledb_the_way_down_leads_back(step: Step) -> None:
    assert not step.back, step.back


@by_landing
def test_without_timescaledb_applications_meet_nothing_else(step: Step, note: Note) -> None:
    assert {statement: why for statement, why in step.failed.items() if statement not in note.refused} == {}


@by_landing
def test_without_timescaledb_the_catalog_obeys_the_same_laws(step: Step) -> None:
    assert step.unindexed == step.unfinished == []


def test_without_timescaledb_base_is_empty(climbed: Stairs) -> None:
    assert not climbed.steps[0].error
    assert climbed.extensions == {"plpgsql"}
    assert climbed.left == []


def test_there_is_application_sql_for_versions_that_exist_alone() -> None:
    assert set(sent.versions()) <= set(VERSIONS)


def test_application_sql_is_one_statement_a_paragraph() -> None:
    for version in sent.versions():
        for statement in sent.read(sent.FOLDER / f"{version}.sql"):
            assert statement.text.endswith(";"), statement
