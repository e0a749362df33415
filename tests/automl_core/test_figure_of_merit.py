"""The figure of merit, against its formula worked out by hand, and against the order that optimizers are given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from automl_core.figure_of_merit import FigureOfMerit, with_goals
from automl_core.problem import Trial
from automl_core.specs import Spec, Specs

BOUNDS = Specs(
    [Spec("gain", minimum=50.0), Spec("speed", minimum=4.0), Spec("power", maximum=2.0), Spec("noise", maximum=3.0)]
)
RANGES = {"gain": (-50.0, 70.0), "speed": (0.0, 20.0), "power": (0.5, 10.5), "noise": (1.0, 11.0)}
SPECS = with_goals(BOUNDS, {"speed": "maximize", "power": "minimize"}, RANGES)
MERIT = FigureOfMerit(SPECS, RANGES)


def test_the_formula_by_hand() -> None:
    # gain clipped at 50: 100/120; speed 10: 10/20; power 1.5 mirrored: 9/10; noise, mirrored and clipped at 3: 8/10
    design = {"gain": 60.0, "speed": 10.0, "power": 1.5, "noise": 1.2}
    assert MERIT(design) == pytest.approx(100 / 120 + 10 / 20 + 9 / 10 + 8 / 10)
    assert MERIT.of_goals(design) == pytest.approx(10 / 20 + 9 / 10)


def test_metrics_with_a_bound_alone_stop_counting_at_it_and_goals_do_not() -> None:
    design = {"gain": 60.0, "speed": 10.0, "power": 1.5, "noise": 1.2}
    assert MERIT({**design, "gain": 69.0, "noise": 1.0}) == pytest.approx(MERIT(design))
    assert MERIT({**design, "speed": 30.0}) == pytest.approx(MERIT(design) + 1)
    assert MERIT({**design, "power": 0.5}) == pytest.approx(MERIT(design) + 0.1)


def test_a_broken_spec_makes_it_negative() -> None:
    design = {"gain": 60.0, "speed": 400.0, "power": 1.5, "noise": 3.1}
    assert MERIT(design) == pytest.approx(-SPECS.score(design).violation) and MERIT(design) < 0
    assert MERIT({**design, "noise": float("nan")}) < MERIT(design)


@given(*(st.tuples(st.floats(0, 40), st.floats(0, 5)) for _ in range(2)))
def test_whoever_optimises_by_the_specs_optimises_the_figure_of_merit(
    one: tuple[float, float], two: tuple[float, float]
) -> None:
    designs = [{"gain": 60.0, "speed": speed, "power": power, "noise": 2.0} for speed, power in (one, two)]
    scores, merits = [SPECS.score(design) for design in designs], [MERIT(design) for design in designs]
    if all(score.feasible for score in scores):
        assert merits[0] - merits[1] == pytest.approx(scores[0].merit - scores[1].merit, abs=1e-9)
    elif any(score.feasible for score in scores):
        assert (merits[0] > merits[1]) == scores[0].better_than(scores[1])


def test_weights_count() -> None:
    specs = Specs([Spec("speed", goal="maximize", weight=3.0, scale=20.0)])
    assert FigureOfMerit(specs, RANGES)({"speed": 10.0}) == pytest.approx(3 * 10 / 20)


def samples(*values: float) -> list[Trial]:
    return [Trial(n, np.zeros(1), np.zeros(1), {}, {"speed": value}) for n, value in enumerate(values)]


def test_ranges_are_the_extremes_of_what_was_measured() -> None:
    merit = FigureOfMerit.normalised_by(
        samples(3.0, float("nan"), -1.0, float("inf"), 8.0), Specs([Spec("speed", minimum=4.0)])
    )
    assert merit.ranges == {"speed": (-1.0, 8.0)}


def test_a_metric_that_does_not_vary_is_refused() -> None:
    with pytest.raises(InputError, match="'speed' does not vary"):
        FigureOfMerit.normalised_by(samples(3.0, 3.0), Specs([Spec("speed", minimum=4.0)]))


def test_a_goal_without_a_spec_is_refused_and_other_goals_are_dropped() -> None:
    with pytest.raises(InputError, match="'area' has no spec"):
        with_goals(BOUNDS, {"area": "minimize"}, RANGES)
    again = with_goals(SPECS, {"speed": "maximize"}, RANGES)
    assert [spec.metric for spec in again.goals] == ["speed"]
    assert again.by_metric["speed"].scale == 20.0 and again.by_metric["speed"].minimum == 4.0
