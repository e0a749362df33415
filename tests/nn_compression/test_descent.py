"""The smallest cost at which something holds, against thresholds that are known."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nn_compression.run.descent import next_cost

WHOLE, LEAST = 1000.0, 10.0


def _tried(threshold: float, first: float, tries: int) -> dict[float, bool]:
    held, cost = dict[float, bool](), first
    while len(held) < tries:
        held[cost] = cost >= threshold
        following = next_cost(held, LEAST, WHOLE)
        if following is None:
            break
        cost = following
    return held


@given(threshold=st.floats(LEAST, WHOLE), first=st.floats(LEAST, WHOLE))
def test_it_comes_within_three_percent_of_the_least_that_holds(threshold: float, first: float) -> None:
    held = _tried(threshold, first, 40)
    smallest = min([cost for cost, holds in held.items() if holds], default=WHOLE)
    assert threshold <= smallest <= 1.03 * threshold * (1 + 1e-9)
    assert len(held) < 30 and all(LEAST <= cost <= WHOLE for cost in held)


@given(threshold=st.floats(200, WHOLE), first=st.floats(200, WHOLE))
def test_what_failed_is_halved_in_every_trial(threshold: float, first: float) -> None:
    """Once something failed below what held, five trials leave a thirty-second of the way between, in logarithms."""
    assume(first < threshold)
    smallest = min([cost for cost, holds in _tried(threshold, first, 6).items() if holds], default=WHOLE)
    assert smallest / threshold <= max((WHOLE / first) ** (1 / 32), 1.03) * (1 + 1e-9)


def test_it_goes_down_to_the_least() -> None:
    assert list(_tried(0.0, 20.0, 9)) == pytest.approx([20, 15, 11.25, 10])


def test_nothing_is_tried_beyond_the_whole() -> None:
    assert next_cost({WHOLE: False}, LEAST, WHOLE) is None
    assert next_cost({WHOLE: False, 400.0: True}, LEAST, WHOLE) == 300.0, "a failure above what holds tells nothing"
