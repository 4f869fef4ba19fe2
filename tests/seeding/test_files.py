"""Which files are seeds, and in what order they run."""

import hashlib

import pytest

from homeops_db.errors import SeedError
from homeops_db.seeding import files
from tests.seeding.conftest import Seeds


def test_common_runs_first_then_the_environment_each_by_number(seeds: Seeds) -> None:
    for name in (
        "development/002_b.sql",
        "development/001_z.sql",
        "common/1000_last.sql",
        "common/999_a.sql",
    ):
        seeds.write(name, "")
    seeds.write("production/001_not_ours.sql", "")
    assert [file.name for file in files.read("development", seeds.folder)] == [
        "common/999_a.sql",
        "common/1000_last.sql",
        "development/001_z.sql",
        "development/002_b.sql",
    ]


def test_a_bulk_file_names_its_table(seeds: Seeds) -> None:
    seeds.write("common/001_financial.securities.csv", "")
    seeds.write("common/002_rooms.sql", "")
    assert [file.table for file in files.read("staging", seeds.folder)] == [("financial", "securities"), None]


@pytest.mark.parametrize(
    ("name", "since", "table"),
    [
        ("001_rooms.sql", "v1.0.0", None),
        ("001_v1.0.0_rooms.sql", "v1.0.0", None),
        ("001_v12.0.34_rooms.sql", "v12.0.34", None),
        ("001_v1.2.0_media.genres.csv", "v1.2.0", ("media", "genres")),
        ("001_v1_rooms.sql", "v1.0.0", None),
    ],
)
def test_a_file_says_from_which_version_on_it_suits(
    seeds: Seeds, name: str, since: str, table: tuple[str, str] | None
) -> None:
    seeds.write(f"common/{name}", "")
    (file,) = files.read("staging", seeds.folder)
    assert (file.since, file.table, file.number) == (since, table, 1)


@pytest.mark.parametrize(
    "name",
    [
        "001_v1.2_rooms.sql",
        "001_v1.2.0.sql",
        "rooms.sql",
        "01_rooms.sql",
        "001_rooms.csv",
        "001_a.b.c.csv",
        "001_rooms.sql~",
    ],
)
def test_an_unknown_file_is_named(seeds: Seeds, name: str) -> None:
    seeds.write(f"common/{name}", "")
    with pytest.raises(SeedError, match=f"common/{name} isn't a seed file"):
        files.read("development", seeds.folder)


def test_a_folder_is_no_seed_file(seeds: Seeds) -> None:
    (seeds.folder / "common" / "001_more.sql").mkdir()
    with pytest.raises(SeedError, match=r"common/001_more\.sql"):
        files.read("development", seeds.folder)


def test_a_readme_is_passed_over(seeds: Seeds) -> None:
    seeds.write("common/README.md", "")
    assert files.read("development", seeds.folder) == []


def test_a_missing_folder_is_named(seeds: Seeds) -> None:
    (seeds.folder / "staging").rmdir()
    with pytest.raises(SeedError, match=r"There is no folder .*staging"):
        files.read("staging", seeds.folder)


def test_the_checksum_is_sha256_of_the_bytes(seeds: Seeds) -> None:
    path = seeds.write("common/001_a.sql", "select 1;\r\n-- é\n")
    (file,) = files.read("development", seeds.folder)
    assert file.checksum() == hashlib.sha256(path.read_bytes()).hexdigest()
