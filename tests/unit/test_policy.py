"""The limits of taking a lock, and the points where tests break off the work."""

import threading
from datetime import timedelta

import pytest

from homeops_db import faults
from homeops_db.errors import OnlineError
from homeops_db.locking.policy import Policy, current, policy


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (timedelta(seconds=2), ms(2000)),
        ("50ms", ms(50)),
        (" 1.5 s ", ms(1500)),
        ("2min", ms(120_000)),
        ("1h", ms(3_600_000)),
        (3, ms(3000)),
        (0.25, ms(250)),
    ],
)
def test_a_duration_is_a_timedelta_a_text_or_seconds(given: object, read: timedelta) -> None:
    with policy(lock_timeout=given):
        assert current(Policy()).lock_timeout == read


@pytest.mark.parametrize(
    "given",
    [0, -1, "", "5", "5 days", "-5ms", "50ms; drop table t", timedelta(0), timedelta(days=-1), float("nan"),
     float("inf"), "\u0665s", "9" * 400 + "s", "25000h", True, [5]],
)  # fmt: skip
@pytest.mark.parametrize("name", ["lock_timeout", "give_up_after", "old_after"])
def test_a_malformed_duration_is_refused_before_anything_happens(name: str, given: object) -> None:
    with pytest.raises(OnlineError, match=rf"{name} is .* Nothing was changed\."), policy(**{name: given}):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("given", [-1, 1.5, "5", True])
@pytest.mark.parametrize("name", ["max_victims", "max_victim_ms"])
def test_a_malformed_count_is_refused(name: str, given: object) -> None:
    with pytest.raises(OnlineError, match=f"{name} is .* whole number"), policy(**{name: given}):
        pytest.fail("the block was entered")


def test_no_victim_at_all_is_a_policy() -> None:
    with policy(max_victims=0):
        assert current(Policy()).max_victims == 0


def test_blocks_nest_and_end() -> None:
    base = Policy(give_up_after=ms(7))
    with policy(lock_timeout="20ms", max_victims=3):
        with policy(lock_timeout="10ms"):
            inner = current(base)
            assert (inner.lock_timeout, inner.max_victims, inner.give_up_after) == (ms(10), 3, ms(7))
        assert current(base).lock_timeout == ms(20)
        with pytest.raises(KeyError), policy(max_victims=1):
            raise KeyError
        assert current(base).max_victims == 3
    assert current(base) == base


def test_a_block_is_of_its_own_thread() -> None:
    seen: list[Policy] = []
    with policy(lock_timeout="20ms"):
        thread = threading.Thread(target=lambda: seen.append(current(Policy())))
        thread.start()
        thread.join()
    assert seen == [Policy()]


def test_a_point_tells_the_hook_of_the_block_and_nobody_afterwards() -> None:
    outer: list[str] = []
    inner: list[str] = []
    faults.point("unheard")
    with faults.injected(outer.append):
        faults.point("a")
        with faults.injected(inner.append):
            faults.point("b")
        faults.point("c")
    faults.point("unheard")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_a_hook_may_break_off_the_work_and_is_gone_afterwards() -> None:
    def stop(name: str) -> None:
        raise KeyboardInterrupt(name)

    with pytest.raises(KeyboardInterrupt, match="here"), faults.injected(stop):
        faults.point("here")
    faults.point("here")
