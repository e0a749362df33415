"""The best so far over evaluations, cut anywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.anytime import Curve, quartiles
from automl_core.problem import Status, Trial
from automl_core.specs import Spec, Specs

UNIT = np.array([0.5])
SPECS = Specs([Spec("x", maximum=1.0, goal="minimize")])


def trials(*values: float, cost: int = 1, status: Status = "ok") -> list[Trial]:
    return [Trial(n, UNIT, UNIT, {"v": n}, {"x": x}, status=status, cost=cost) for n, x in enumerate(values)]


def test_a_curve_holds_the_improvements_alone() -> None:
    curve = Curve.of(trials(3.0, 5.0, 2.0, 2.5, 0.8, 0.9, 0.2), SPECS)
    assert [(step.evaluations, step.trial, step.metrics["x"]) for step in curve.steps] == [
        (1, 0, 3.0),
        (3, 2, 2.0),
        (5, 4, 0.8),
        (7, 6, 0.2),
    ]
    assert curve.to_specs() == 5


def test_a_curve_is_cut_at_any_number_of_evaluations() -> None:
    curve = Curve.of(trials(3.0, 5.0, 2.0, 2.5, 0.8, 0.9, 0.2), SPECS)
    assert curve.to_specs(4) == math.inf
    assert curve.to_specs(5) == 5
    assert curve.score(4).violation == pytest.approx(0.5)  # a shortfall of the bound itself counts 1 / (1 + 1)
    assert [curve.score(at).merit for at in (5, 6, 7, 100)] == pytest.approx([0.2, 0.2, 0.8, 0.8])
    assert curve.best(0) is None
    assert curve.score(0).violation == SPECS.worst_violation


def test_a_trial_counts_when_all_of_its_evaluations_are_done() -> None:
    curve = Curve.of(trials(3.0, 0.5, cost=3), SPECS)
    assert curve.to_specs() == 6
    assert not curve.score(5).feasible and curve.score(6).feasible


@pytest.mark.parametrize("status", ["failed", "timeout", "raced"])
def test_what_was_not_measured_whole_is_charged_and_never_leads(status: Status) -> None:
    first, *_ = trials(0.5, status=status)
    curve = Curve.of([first, *(trial for trial in trials(3.0, 0.7) if trial.number)], SPECS)
    assert [(step.evaluations, step.trial) for step in curve.steps] == [(2, 1)]


def test_a_curve_survives_the_record() -> None:
    specs = Specs([Spec("x", maximum=1.0), Spec("y", minimum=1.0)])
    kept = [
        Trial(0, UNIT, UNIT, {"v": 0}, {"x": 0.5, "y": math.nan}),
        Trial(1, UNIT, UNIT, {"v": 1}, {"x": 0.5, "y": 2}),
    ]
    curve = Curve.of(kept, specs)
    content = [
        {**step, "metrics": {k: None if v != v else v for k, v in step["metrics"].items()}} for step in curve.as_json()
    ]
    again = Curve.from_json(content, specs)
    assert [(s.evaluations, s.trial, s.score) for s in again.steps] == [
        (s.evaluations, s.trial, s.score) for s in curve.steps
    ]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_quartiles_are_numpys(values: list[float]) -> None:
    assert quartiles(values) == pytest.approx(tuple(np.quantile(values, [0.25, 0.5, 0.75])))


def test_quartiles_of_what_is_infinite() -> None:
    assert quartiles([100.0, 200.0, math.inf, math.inf]) == (175.0, math.inf, math.inf)
    assert quartiles([math.inf] * 3) == (math.inf,) * 3
    assert quartiles([-math.inf, 1.0, 2.0]) == (-math.inf, 1.0, 1.5)
    assert all(map(math.isnan, quartiles([])))
