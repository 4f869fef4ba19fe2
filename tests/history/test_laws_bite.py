"""The laws notice: a history whose every revision breaks one of them."""

import shutil

import pytest

from homeops_db.history import scripts
from tests.fixtures.projects import Toy
from tests.history import sent
from tests.history.conftest import made_database, once
from tests.history.walk import Note, walk

BAD = {
    "v1.0.1": (
        'op.execute("alter table media.items drop column file_path")',
        'op.execute("alter table media.items add file_path text")',
    ),
    "v1.0.2": (
        'op.execute("create index ix_x on media.people (born_on)")',
        'op.execute("drop index media.ix_x; create index if not exists ix_y on media.people (died_on)")',
    ),
    "v1.0.3": ('op.execute("delete from core.notifications where read_at is not null")', "pass"),
    "v1.0.4": (
        "op.execute(\"alter table core.users add boss uuid references core.users, add extra text not null default ''\")",
        'op.execute("alter table core.users drop boss, drop extra"); op.execute("update core.users set role = \'guest\'")',
    ),
    "v1.0.5": (
        'op.execute("alter table media.genres add constraint uq_length unique (id); create table core.empty (id int)");'
        'op.execute("create function core.no() returns trigger language plpgsql as $$ begin raise; end $$");'
        'op.execute("create trigger no before delete on media.libraries for each row execute function core.no()")',
        'op.execute("drop table core.empty; alter table media.genres drop constraint uq_length;'
        ' drop trigger no on media.libraries; drop function core.no()")',
    ),
    "v1.0.6": (
        'op.execute("create table core.log as select now() as at");'
        'op.execute("alter table media.people alter biography type text collate \\"C\\"")',
        'op.execute("drop table core.log")',
    ),
    "v1.0.7": ('op.execute("select 1/0")', "pass"),
}


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Note]:
    def made() -> list[Note]:
        toy = Toy(tmp_path_factory.mktemp("bad"), ["v1.0.0"])
        shutil.copy(scripts.read()[0].path, toy.folder)
        for version, (up, down) in BAD.items():
            toy.add(version, up, down, change="patch")
        with made_database("bad") as url:
            return walk(url, toy.folder)

    return {note.version: note for note in once(tmp_path_factory, "bad", made)}


def test_a_dropped_column_is_named_and_who_used_it(notes: dict[str, Note]) -> None:
    note = notes["v1.0.1"]
    assert "media.items.file_path is dropped" in note.narrowed
    assert {line.partition(":")[0] for line in note.broken if "42703" in line} == {
        str(statement).partition(":")[0]
        for statement in sent.up_to("v1.0.0")
        if "file_path" in statement.text
    }
    assert note.lost == {"up": [], "down": [], "up again": []}


def test_a_way_down_that_leads_elsewhere_is_shown(notes: dict[str, Note]) -> None:
    assert "ix_y" in notes["v1.0.2"].below
    assert "ix_y" in notes["v1.0.2"].again


def test_a_deleted_row_is_missed(notes: dict[str, Note]) -> None:
    (row,) = notes["v1.0.3"].lost["up"]
    assert row.startswith("core.notifications: lost ")
    assert notes["v1.0.3"].narrowed == notes["v1.0.3"].broken == []


def test_a_value_that_the_way_down_changes_is_missed_and_a_key_has_no_index(notes: dict[str, Note]) -> None:
    note = notes["v1.0.4"]
    assert any("core.users: lost" in row and "role = admin" in row for row in note.lost["down"])
    assert note.lost["up"] == note.lost["up again"] == note.narrowed == []
    assert note.unindexed == ["users_boss_fkey of core.users: no index begins with boss"]


def test_a_trigger_that_refuses_is_met_by_the_application(notes: dict[str, Note]) -> None:
    note = notes["v1.0.5"]
    assert note.narrowed == []
    assert any("DELETE FROM media.libraries" in line for line in note.broken)
    assert note.unwritten == ["core.empty"]


def test_what_the_way_down_leaves_behind_is_shown(notes: dict[str, Note]) -> None:
    note = notes["v1.0.6"]
    assert note.narrowed == ['media.people.biography was collated by "default" and is by "C"']
    assert "COLLATE" in note.below
    assert note.again == ""


def test_an_error_ends_the_walk_at_its_version(notes: dict[str, Note]) -> None:
    assert notes["v1.0.0"].error == notes["v1.0.6"].error == ""
    assert "division by zero" in notes["v1.0.7"].error
