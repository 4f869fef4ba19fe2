"""Versions, and which one comes next."""

import pytest

from homeops_db.errors import VersionError
from homeops_db.history.versions import change_between, following, parse


@pytest.mark.parametrize(
    "text", ["1.2.3", "v1.2", "v1.2.3.4", "v1.2.3-rc1", "v1.2.3+b", "v01.2.3", "", "vv1.2.3"]
)
def test_malformed_versions_are_refused(text: str) -> None:
    with pytest.raises(VersionError, match="is no version"):
        parse(text)


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (None, "v1.0.0", "major"),
        ("v1.0.0", "v1.0.1", "patch"),
        ("v1.0.9", "v1.0.10", "patch"),
        ("v1.9.0", "v1.10.0", "minor"),
        ("v1.9.9", "v2.0.0", "major"),
    ],
)
def test_the_step_tells_the_change(old: str | None, new: str, change: str) -> None:
    assert change_between(old, new) == change


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "v1.10.0"),
        ({"bump": "patch"}, "v1.9.10"),
        ({"bump": "major"}, "v2.0.0"),
        ({"version": "v1.9.10"}, "v1.9.10"),
        ({"version": "3.0.0"}, "v3.0.0"),
    ],
)
def test_the_next_version(asked: dict[str, str], expected: str) -> None:
    assert following("v1.9.9", **asked) == expected


def test_an_empty_history_begins_with_the_first() -> None:
    assert following(None) == "v1.0.0"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"version": "v1.9.9"}, "taken"),
        ({"version": "v1.9.8"}, "not larger"),
        ({"version": "1.10"}, "is no version"),
        ({"bump": "huge"}, "is no bump"),
        ({"bump": "minor", "version": "v2.0.0"}, "both"),
    ],
)
def test_what_cannot_follow_is_refused(asked: dict[str, str], reason: str) -> None:
    with pytest.raises(VersionError, match=reason):
        following("v1.9.9", **asked)
