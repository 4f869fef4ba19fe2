"""Amounts as people read them; and what is shown of a limit can be typed again."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from homeops_db.locking import amounts
from homeops_db.locking.pace import Pace, read


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0, 0.2, "under 1 s"),
        (0.2, 3, "up to 3 s"),
        (12, 12.4, "about 12 s"),
        (40, 55, "40 to 55 s"),
        (70, 119, "70 to 119 s"),
        (130, 900, "2 to 15 min"),
        (3000, 8000, "0.8 to 2.2 h"),
        (40_000, 100_000, "11 to 28 h"),
        (90_000, 300_000, "1 to 3.5 days"),
        (5, 1e12, "5 s or more"),
        (1e10, 1e12, "nobody knows how long"),
    ],
)
def test_intervals(low: float, high: float, shown: str) -> None:
    assert amounts.between(low, high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (1.5, "1.5 s"),
        (9.96, "10 s"),
        (59.6, "60 s"),
        (1800, "30 min"),
        (7200, "2 h"),
    ],
)
def test_spans(seconds: float, shown: str) -> None:
    assert amounts.span(seconds) == shown


def test_counts_and_sizes() -> None:
    counts = [0, 950, 999.6, 1234, 9960, 152_300, 999_999, 1_200_000, 3_000_000, 2.5e9]
    assert [amounts.count(n) for n in counts] == [
        "0", "950", "1k", "1.2k", "10k", "152k", "1M", "1.2M", "3M", "2.5G",
    ]  # fmt: skip
    sizes = [0, 500, (1 << 20) - 1, 312 << 20, 1536 << 20, 1 << 62]
    assert [amounts.size(n) for n in sizes] == ["0 B", "500 B", "1 MB", "312 MB", "1.5 GB", "4194304 TB"]


@pytest.mark.parametrize(
    "pace", [Pace(), Pace(target=timedelta(microseconds=500), give_up_after=timedelta(hours=30))]
)
def test_what_is_shown_can_be_typed(pace: Pace) -> None:
    for field in fields(Pace):
        shown = amounts.limit(field.name, getattr(pace, field.name))
        assert read(field.name, "0" if shown == "off" else shown) == getattr(pace, field.name)


def test_off() -> None:
    off = replace(Pace(), max_queue=0, max_errors=0, max_replication_lag=timedelta(0))
    assert amounts.limit("max_queue", off.max_queue) == "off"
    assert amounts.limit("max_replication_lag", off.max_replication_lag) == "off"
    assert amounts.limit("max_errors", off.max_errors) == "0"
