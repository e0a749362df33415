"""How soon a search is said to reach a reward."""

from __future__ import annotations

import numpy as np
import pytest

from automl_core.problem import Trial
from network_transfer import best_so_far, until


def trials(*accuracies: float | None) -> list[Trial]:
    """Trials of these accuracies; ``None`` failed."""
    made = []
    for number, accuracy in enumerate(accuracies):
        metrics = {} if accuracy is None else {"accuracy": accuracy}
        made.append(Trial(number, np.zeros(1), np.zeros(1), {}, metrics, status="ok" if metrics else "failed"))
    return made


def test_the_best_so_far_of_a_search_that_ended_early_stays() -> None:
    curve = best_so_far(trials(50.0, None, 40.0, 70.0, 60.0), "accuracy", 7)
    assert curve.tolist() == [50, 50, 50, 70, 70, 70, 70]


@pytest.mark.parametrize(("reward", "after"), [(50, 1), (60, 4), (70, 4), (71, 8)])
def test_evaluations_to_a_reward(reward: float, after: int) -> None:
    assert until(best_so_far(trials(50.0, None, 40.0, 70.0, 60.0), "accuracy", 7), reward) == after
