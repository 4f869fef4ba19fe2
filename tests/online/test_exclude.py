import pytest

from homeops_db import online
from homeops_db.errors import ObjectError, UnsafeError


def test_it_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        UnsafeError,
        match=r"ex on media\.loans can't be made online.*Nothing was changed.*new table.*op\.create_exclude",
    ) as caught:
        online.create_exclude_constraint(
            "ex", "loans", ("room", "="), ("during", "&&"), schema="media", using="gist"
        )
    assert "\n" not in str(caught.value)


def test_it_needs_a_name_all_the_same() -> None:
    with pytest.raises(ObjectError, match="has no name"):
        online.create_exclude_constraint(None, "loans", ("room", "="))
