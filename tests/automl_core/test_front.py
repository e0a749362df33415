"""The Pareto front: against its definition, and against a front that is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.front import feasible, goal_merits, pareto_front
from automl_core.problem import Trial
from automl_core.specs import Spec, Specs
from automl_core.testing import trial_of
from automl_core.toys import BinhKorn

POINT = np.array([0.5])
SPECS = Specs([Spec("cost", maximum=9.0, goal="minimize"), Spec("gain", minimum=1.0, goal="maximize")])


def _trial(number: int, cost: float, gain: float, status: str = "ok") -> Trial:
    return Trial(number, POINT, POINT, {"v": 0.5}, {"cost": cost, "gain": gain}, status=status)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=40))
def test_the_front_is_what_no_other_dominates(values: list[tuple[int, int]]) -> None:
    trials = [_trial(n, cost, gain) for n, (cost, gain) in enumerate(values)]
    allowed = [(n, c, g) for n, (c, g) in enumerate(values) if c <= 9 and g >= 1]
    front = [n for n, c, g in allowed if not any(c2 <= c and g2 >= g and (c2, g2) != (c, g) for _, c2, g2 in allowed)]
    found = pareto_front(trials, SPECS)
    assert sorted(trial.number for trial in found) == front
    costs = [trial.metrics["cost"] for trial in found]
    assert costs == sorted(costs), "from the best in the first goal"


def test_only_what_was_seen_whole_and_meets_every_spec_counts() -> None:
    trials = [_trial(0, 5, 5), _trial(1, 1, 9, "raced"), _trial(2, 99, 9), _trial(3, 1, 9, "failed"), _trial(4, 6, 5)]
    assert [trial.number for trial in feasible(trials, SPECS)] == [0, 4]
    assert [trial.number for trial in pareto_front(trials, SPECS)] == [0]
    assert pareto_front([], SPECS) == []


def test_a_missing_metric_has_no_merit() -> None:
    missing = Trial(0, POINT, POINT, {"v": 0.5}, {"cost": 3.0})
    assert goal_merits(missing, SPECS) == pytest.approx([6 / 9, 0.0])


def test_the_front_of_a_dense_sample_is_the_known_one() -> None:
    toy = BinhKorn()
    units = [np.array([x, y]) for x in np.linspace(0, 1, 51) for y in np.linspace(0, 1, 31)]
    front = pareto_front([trial_of(toy, n, unit) for n, unit in enumerate(units)], toy.specs)
    x, y = (np.array([float(trial.point[name]) for trial in front]) for name in "xy")
    assert len(front) > 50
    assert np.abs(y - np.minimum(x, 3.0)).max() < 0.11, "x = y up to 3, then y = 3: to one step of the grid"
    assert x.min() == 0 and x.max() == 5
