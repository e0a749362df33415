"""How soon a search is said to reach a reward."""

from __future__ import annotations

import math

import pytest

from network_transfer import best_so_far, until

REWARDS = (-0.5, -math.inf, -0.6, -0.3, -0.4)
"""Of the trials of a search; the second one failed."""


def test_the_best_so_far_of_a_search_that_ended_early_stays() -> None:
    assert best_so_far(REWARDS, 7) == [-0.5, -0.5, -0.5, -0.3, -0.3, -0.3, -0.3]


@pytest.mark.parametrize(("reward", "after"), [(-0.5, 1), (-0.4, 4), (-0.3, 4), (-0.29, 8)])
def test_evaluations_to_a_reward(reward: float, after: int) -> None:
    assert until(best_so_far(REWARDS, 7), reward) == after
