import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from automl_core.problem import Trial
from automl_core.specs import Spec, Specs

AMP = Specs(
    [
        Spec("gain", minimum=60, unit="dB"),
        Spec("margin", minimum=60, weight=2, unit="deg"),
        Spec("power", maximum=200e-6, goal="minimize", unit="W"),
    ]
)
GOOD = {"gain": 61.0, "margin": 60.0, "power": 150e-6}


def trial(status: str) -> Trial:
    return Trial(0, np.zeros(1), np.zeros(1), {}, GOOD if status == "ok" else {}, status=status)  # type: ignore[arg-type]


def test_a_bound_that_is_reached_exactly_is_met() -> None:
    score = AMP.score(GOOD)
    assert score.feasible and score.violation == 0
    assert score.merit == pytest.approx(0.25)


def test_violations_are_normalised_saturated_and_weighted() -> None:
    score = AMP.score({"gain": 30.0, "margin": 45.0, "power": 300e-6})
    expected = (30 / 60) / (1 + 30 / 60) + 2 * (15 / 60) / (1 + 15 / 60) + 0.5 / 1.5
    assert score.violation == pytest.approx(expected)


def test_a_missing_metric_is_worse_than_any_measured_one() -> None:
    missing = AMP.score({**GOOD, "gain": math.nan})
    assert not missing.feasible
    assert AMP.score({**GOOD, "gain": -1e12}).better_than(missing)
    assert AMP.score({"margin": 60.0, "power": 150e-6}) == missing


metrics = st.fixed_dictionaries(
    {"gain": st.floats(-100, 100), "margin": st.floats(-180, 180), "power": st.floats(1e-9, 1e-2)}
)


@given(metrics, metrics)
def test_the_loss_has_the_order_of_the_score(a: dict[str, float], b: dict[str, float]) -> None:
    first, second = AMP.score(a), AMP.score(b)
    if first.better_than(second):
        assert first.loss <= second.loss
        assert not second.better_than(first)
    assert (first.loss <= 0) == first.feasible


@given(metrics)
def test_a_failed_trial_ranks_finitely_worst(a: dict[str, float]) -> None:
    failed = AMP.judge(trial("failed"))
    assert math.isfinite(failed.loss)
    assert AMP.score(a).better_than(failed)
    assert AMP.score({}).better_than(failed)
    assert AMP.judge(trial("timeout")) == failed


def test_feasible_designs_are_ordered_by_merit_only_infeasible_ones_by_violation_only() -> None:
    better = AMP.score({**GOOD, "power": 100e-6})
    assert better.better_than(AMP.score(GOOD))
    frugal_but_short = AMP.score({**GOOD, "power": 1e-6, "gain": 50.0})
    assert AMP.score({**GOOD, "gain": 59.0, "power": 199e-6}).better_than(frugal_but_short)


def test_the_worst_over_scenarios_is_taken_by_the_spec_not_by_size() -> None:
    specs = Specs([Spec("offset", minimum=-5.0, maximum=2.0), Spec("gain", minimum=10.0)])
    worst = specs.worst(
        {"a": {"offset": -3.0, "gain": 30.0, "other": 1.0}, "b": {"offset": 2.5, "gain": 12.0, "other": 2.0}}
    )
    assert worst == {"offset": 2.5, "gain": 12.0, "other": 1.0}
    assert math.isnan(specs.worst({"a": {"gain": 1.0, "offset": 0.0}, "b": {"offset": 0.0}})["gain"])


def test_a_goal_without_bound_is_measured_by_a_known_value() -> None:
    specs = Specs([Spec("gain", minimum=60.0), Spec("current", goal="minimize")])
    scaled = specs.scaled_by({"gain": 40.0, "current": -2e-5})
    assert scaled.by_metric["current"].scale == 2e-5 and scaled.by_metric["gain"] == specs.by_metric["gain"]
    designs = [{"gain": gain, "current": current} for gain in (50.0, 61.0) for current in (1e-5, 2e-5, 3e-5, -1e-5)]
    order = [[one.score(a).better_than(one.score(b)) for a in designs for b in designs] for one in (specs, scaled)]
    assert order[0] == order[1]
    losses = [np.float32(scaled.score(each).loss) for each in designs[4:]]
    assert min(abs(np.diff(losses))) > 0.04  # by a scale of 1: 5e-6
    assert specs.scaled_by({"current": 0.0}) is specs and specs.scaled_by({"current": math.nan}) is specs
    assert AMP.scaled_by(GOOD) is AMP


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Spec("gain"), "neither a bound nor a goal"),
        (lambda: Spec("gain", minimum=2.0, maximum=1.0), "min is 2 and max is 1"),
        (lambda: Spec("gain", minimum=1.0, weight=0.0), "weight must be positive"),
        (lambda: Spec("offset", minimum=0.0), "add a scale"),
        (lambda: Specs([]), "no specs"),
        (lambda: Specs([Spec("a", minimum=1.0), Spec("a", maximum=2.0)]), "same metric"),
        (lambda: Specs([Spec("a", goal="minimize"), Spec("b", goal="maximize")]), "add a scale"),
    ],
)
def test_specs_that_cannot_order_designs_are_refused(make: object, said: str) -> None:
    with pytest.raises(InputError) as caught:
        make()  # type: ignore[operator]
    assert said in str(caught.value)
