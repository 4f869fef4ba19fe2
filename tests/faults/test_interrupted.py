"""Every operation, broken off at every boundary between two steps, and run again: it ends as if nothing had been."""

import itertools
from collections.abc import Sequence

import pytest

from homeops_db import online
from tests.faults.cases import CASES, GOES_ON, NO_OPERATIONS, WHOLE
from tests.faults.conftest import Bench
from tests.faults.runs import KINDS, Kind
from tests.fixtures.snapshot import differences

FIRST = {case.split()[0]: case for case in reversed(CASES) if case != WHOLE}.values()
"""The first case of every operation: the quick run takes no more time than it may."""


def test_every_exported_operation_has_a_case() -> None:
    assert {case.split()[0] for case in CASES if case != WHOLE} == set(online.__all__) - NO_OPERATIONS


@pytest.mark.parametrize("bench", [17], indirect=True)
@pytest.mark.parametrize("case", FIRST)
def test_broken_off_again_and_again_it_gets_there(bench: Bench, case: str) -> None:
    """In one database: each run is broken off at the first boundary that no run before it was broken off at."""
    expected = bench.undisturbed(case)
    hit: list[str] = []
    kinds: Sequence[Kind] = ("kill",) if case.split(maxsplit=1)[0] in GOES_ON else ("kill", "terminate")
    with bench.database(case) as url:
        for kind in itertools.cycle(kinds):
            ended = bench.run(case, url, kind, but_not=hit)
            if ended.code == 0:
                break
            assert ended.points, ended.said
            fresh = [point for point in ended.points if point not in hit]
            assert fresh, f"it failed by itself: {ended.said}"
            hit.append(fresh[0])
        assert set(expected.points) <= set(hit)
        assert differences(expected.end, bench.state()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("bench", [15, 17, 18], indirect=True, ids=lambda version: f"PG{version}")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_broken_off_at_any_boundary_a_re_run_ends_alike(bench: Bench, case: str, kind: Kind) -> None:
    if case == WHOLE and bench.version != 17:
        pytest.skip("its steps are there one by one on every version")
    expected = bench.undisturbed(case)
    for after in expected.boundaries:
        point = expected.points[after - 1]
        with bench.database(case) as url:
            broken = bench.run(case, url, kind, after=after)
            assert broken.code != 0, f"the fault at {point} did nothing"
            way = f"{broken.said}\n{broken.points[:after]}\nand not\n{expected.points[:after]}"
            assert broken.points[:after] == expected.points[:after], way
            again = bench.run(case, url)
            assert again.code == 0, f"after the fault at {point}: {again.said}"
            assert differences(expected.end, bench.state()) == {}, f"after the fault at {point}"
